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

// An interval of a guardrail allocates nothing, whatever is asked of it.
func TestIntervalNoAlloc(t *testing.T) {
	g, r, f, m, b := NewGuard(0.2, 0.001), RatioSequence{}, NewFlow(0.05), NewMeans(0.1, 1), NewBackstop(0.01)
	allocs := testing.AllocsPerRun(100, func() {
		s := NewSplit(0.2, 500, 500)
		bound(&s, &g, &r, 1)
		low, high, _ := r.Interval(0.05)
		f.Add(480, 500, 0.5)
		m.Add(Moments{40, 100, 400}, Moments{90, 220, 800})
		b.Add(3, 500)
		sink += low + high + f.LogHarm() + m.LogHarm() + m.LogNoWorse() + b.LogE()
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
