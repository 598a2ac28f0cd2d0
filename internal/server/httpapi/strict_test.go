package httpapi

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

func TestStrictReadingForgivesNothing(t *testing.T) {
	for _, test := range []struct{ name, doc, pointer, detail string }{
		{"unknown field", `{"flagg":"x"}`, "/flagg", `did you mean "flag"`},
		{"other case", `{"Flag":"x"}`, "/Flag", `did you mean "flag"`},
		{"unknown field inside", `{"steps":[{},{"shar":1}]}`, "/steps/1/shar", `did you mean "share"`},
		{"twice", `{"flag":"x","flag":"y"}`, "/flag", "twice"},
		{"wrong kind", `{"flag":7}`, "/flag", "a string"},
		{"text for a list", `{"steps":"50%"}`, "/steps", "a list"},
		{"object for a list", `{"steps":{"share":1}}`, "/steps", "write a list"},
		{"list for text", `{"flag":["x"]}`, "/flag", "write a string"},
		{"fraction", `{"steps":[{"share":0.5}]}`, "/steps/0/share", "a whole number"},
		{"negative count", `{"maxUnits":-1}`, "/maxUnits", "not negative"},
		{"too large", `{"steps":[{"share":1e99}]}`, "/steps/0/share", "a whole number"},
		{"duration", `{"interval":"15"}`, "/interval", "unit"},
		{"number for a duration", `{"interval":15}`, "/interval", "string such as"},
		{"text for truth", `{"steps":[{"requireSafe":"yes"}]}`, "/steps/0/requireSafe", "true or false"},
		{"not an object", `[]`, "", "an object"},
		{"text", `"x"`, "", "an object"},
		{"nothing", ``, "", "too early"},
		{"cut off", `{"steps":[{"share":1}`, "/steps", "too early"},
		{"broken", `{"flag":}`, "/flag", "not valid JSON"},
		{"more", `{} {}`, "", "something follows"},
		{"deep", `{"audience":` + strings.Repeat(`{"not":`, 100) + `{}` + strings.Repeat(`}`, 101), "", "deeper"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var problems *flag.Problems
			if err := decodeStrict("trial", []byte(test.doc), &trial.Spec{}); !errors.As(err, &problems) {
				t.Fatalf("got %v", err)
			}
			first := problems.List[0]
			if test.name != "deep" && first.Pointer != test.pointer || !strings.Contains(first.Detail, test.detail) {
				t.Fatalf("got %q: %s", first.Pointer, first.Detail)
			}
		})
	}
}

func TestStrictReadingCollectsProblems(t *testing.T) {
	var problems *flag.Problems
	err := decodeStrict("trial", []byte(`{"a":1,"flag":2,"steps":[{"b":[1,{"c":null}]},{"share":"x"}]}`), &trial.Spec{})
	if !errors.As(err, &problems) || len(problems.List) != 4 {
		t.Fatalf("got %v", err)
	}
}

// What is read strictly is what encoding/json reads; and what encoding/json refuses is refused.
func FuzzStrict(f *testing.F) {
	for _, seed := range []string{`{}`, `{"name":"x","steps":[{"share":5,"minTime":"5m","segments":["a"]}],"audience":{"all":[{"attribute":"a","op":"in","values":[1,"b",true]}]},"alpha":0.1}`,
		`{"flag":null,"steps":null}`, `{"a":{"b":[{}]}}`, `[[[]]]`, `{"steps":[{"share":1,"share":2}]}`, `{"interval":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, lax trial.Spec
		err := decodeStrict("trial", data, &strict)
		laxErr := json.Unmarshal(data, &lax)
		if err == nil && laxErr != nil {
			t.Fatalf("strict reads %q, encoding/json says %v", data, laxErr)
		}
		if err != nil {
			return
		}
		a, _ := json.Marshal(strict)
		b, _ := json.Marshal(lax)
		if string(a) != string(b) {
			t.Fatalf("%s, but %s", a, b)
		}
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&lax); err != nil {
			t.Fatalf("strict reads %q, encoding/json with known fields only says %v", data, err)
		}
	})
}
