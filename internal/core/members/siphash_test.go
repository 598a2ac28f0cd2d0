package members

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

func TestHashIsSipHash24(t *testing.T) {
	data, err := os.ReadFile("testdata/siphash.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Outputs []string }
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Outputs) != 64 {
		t.Fatalf("%d vectors, want 64", len(vectors.Outputs))
	}
	key, err := ParseKey("000102030405060708090a0b0c0d0e0f")
	if err != nil {
		t.Fatal(err)
	}
	var input []byte
	for i, want := range vectors.Outputs {
		b, err := hex.DecodeString(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := key.Hash(string(input)); got != word(string(b)) {
			t.Errorf("%d bytes: %016x, want %016x", i, got, word(string(b)))
		}
		input = append(input, byte(i))
	}
}

func TestParseKey(t *testing.T) {
	for _, c := range []struct {
		name, text string
		ok         bool
	}{
		{"hex", "00112233445566778899aabbccddeeff", true},
		{"empty", "", false},
		{"short", "00112233445566778899aabbccddee", false},
		{"long", "00112233445566778899aabbccddeeff00", false},
		{"odd letters", "00112233445566778899aabbccddeefg", false},
	} {
		if _, err := ParseKey(c.text); (err == nil) != c.ok {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}
