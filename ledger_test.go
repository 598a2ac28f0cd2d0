package seatrial

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// model is a ledger as its documentation says it, without a bound: sets of names.
type model struct {
	known, wasBad map[string]bool // ever
	active        map[string]bool // in this epoch
	had           map[string]eventSet
}

func newModel() *model {
	return &model{known: map[string]bool{}, wasBad: map[string]bool{}, active: map[string]bool{}, had: map[string]eventSet{}}
}

func (m *model) see(unit string, bad bool, events eventSet) sighting {
	s := sighting{
		isNew:    !m.known[unit],
		atRisk:   !m.wasBad[unit] && !m.active[unit],
		firstBad: !m.wasBad[unit] && bad,
	}
	for bit := eventSet(1); bit != 0; bit <<= 1 {
		if had := m.had[unit]&bit != 0; !had && !m.active[unit] {
			s.mayHave |= bit
		}
		if had := m.had[unit]&bit != 0; !had && events&bit != 0 {
			s.has |= bit
		}
	}
	m.had[unit] |= events
	m.known[unit], m.active[unit] = true, true
	m.wasBad[unit] = m.wasBad[unit] || bad
	return s
}

func (m *model) nextEpoch() { m.active = map[string]bool{} }

func drawEvents(t *rapid.T) eventSet {
	return eventSet(rapid.SampledFrom([]uint16{0, 0, 0, 1, 2, 5, 1 << 15}).Draw(t, "events"))
}

func TestLedgerCountsAsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLedger(1000), newModel()
		start := rapid.Uint32Range(1, math.MaxInt32).Draw(t, "epoch")
		l.epoch = start
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			unit := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "unit"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				l.nextEpoch()
				m.nextEpoch()
			case 1:
				bad, events := rapid.Bool().Draw(t, "bad"), drawEvents(t)
				l.spoil(unitHash("s", unit), bad, events)
				if m.known[unit] {
					m.wasBad[unit] = m.wasBad[unit] || bad
					m.had[unit] |= events
				}
			default:
				bad := rapid.IntRange(0, 3).Draw(t, "bad") == 0
				events := drawEvents(t)
				if got, want := l.see(unitHash("s", unit), bad, events), m.see(unit, bad, events); got != want {
					t.Fatalf("unit %s, bad %v, events %b: %+v, want %+v", unit, bad, events, got, want)
				}
			}
		}
	})
}

// However small the ledger: what it says of the units that it still keeps at the end is exact,
// and it never holds more than it may.
func TestLedgerThinsWithoutBias(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 40).Draw(t, "capacity")
		l, m := newLedger(capacity), newModel()
		type note struct {
			hash      uint64
			got, want sighting
		}
		var notes []note
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if rapid.IntRange(0, 19).Draw(t, "what") == 0 {
				l.nextEpoch()
				m.nextEpoch()
			}
			unit := fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "unit"))
			bad := rapid.Bool().Draw(t, "bad")
			hash, events := unitHash("s", unit), drawEvents(t)
			notes = append(notes, note{hash, l.see(hash, bad, events), m.see(unit, bad, events)})
			if len(l.units) > capacity {
				t.Fatalf("%d units, capacity %d", len(l.units), capacity)
			}
		}
		for _, n := range notes {
			if n.hash <= l.threshold && n.got != n.want {
				t.Fatalf("unit kept to the end: %+v, want %+v", n.got, n.want)
			}
		}
	})
}

func TestUnitHashSpreads(t *testing.T) {
	const units = 1 << 16
	var ones [64]int
	seen := map[uint64]bool{}
	for i := range units {
		h := unitHash("salt", fmt.Sprint("user-", i))
		seen[h] = true
		for bit := range ones {
			ones[bit] += int(h >> bit & 1)
		}
	}
	if len(seen) != units {
		t.Errorf("%d of %d units collide", units-len(seen), units)
	}
	for bit, n := range ones {
		if dev := math.Abs(float64(n)-units/2) / math.Sqrt(units/4); dev > 5 {
			t.Errorf("bit %d is set in %d of %d: %.1f standard deviations off", bit, n, units, dev)
		}
	}
	if unitHash("a", "b") == unitHash("ab", "") || unitHash("", "ab") == unitHash("a", "b") {
		t.Error("salt and key run together")
	}
}
