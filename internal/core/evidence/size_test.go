package evidence

import (
	"encoding/json"
	"testing"
)

// What a checkpoint holds per kind of bad event stays small: decimals took 2,900 and 1,500 bytes.
func TestStoredStateIsCompact(t *testing.T) {
	g, r := NewGuard(0.2, 0.001), RatioSequence{}
	for i := range uint64(50) {
		c := Counts{X: 3 + i%3, Mc: 500, Y: 2 + i%4, Mb: 500}
		g.Add(c)
		r.Add(c)
	}
	for _, test := range []struct {
		name string
		v    any
		most int
	}{
		{"guard", g, 1350}, {"ratio", r, 460}, {"fresh guard", NewGuard(0.2, 0.001), 60}, {"zero guard", Guard{}, 2}, {"zero ratio", RatioSequence{}, 2},
	} {
		data, err := json.Marshal(test.v)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", test.name, len(data))
		if len(data) > test.most {
			t.Errorf("%s takes %d bytes, at most %d are meant: %s", test.name, len(data), test.most, data)
		}
	}
}
