package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrFormat is what the error of a [Guard] or a [RatioSequence] wraps that another version stored.
// Its evidence cannot go on; it may start anew.
var ErrFormat = errors.New("stored by another version")

// guardFormat is the version of what a [Guard] stores: its grids and their order.
const guardFormat = 3

// guardJSON leaves out what follows from the margins and what several processes have in common.
type guardJSON struct {
	Format    int     `json:"format,omitempty"` // 0 for the zero Guard
	Relative  float64 `json:"relative,omitempty"`
	Absolute  float64 `json:"absolute,omitempty"`
	Intervals uint64  `json:"intervals,omitempty"` // with events
	Sum       *Counts `json:"sum,omitempty"`       // of all intervals
	State     []byte  `json:"state,omitempty"`     // packed, see floats
}

// maxGuardFloats is how many numbers a guard with both margins stores.
const maxGuardFloats = anyHarmPoints + harmPoints + noWorsePoints + latePoints + 1 + 8

// MarshalJSON writes the state so that UnmarshalJSON restores the same bits.
func (g Guard) MarshalJSON() ([]byte, error) {
	if g.AnyHarm.IsZero() {
		return []byte("{}"), nil
	}
	stored := guardJSON{Format: guardFormat, Relative: g.Relative, Absolute: g.Absolute, Intervals: g.HarmLate.intervals}
	if sum := g.HarmDifference.Sum; sum != (Counts{}) {
		stored.Sum = &sum
	}
	var numbers [maxGuardFloats]float64
	stored.State = pack(g.floats(numbers[:0]))
	return json.Marshal(stored)
}

// floats appends all numbers that change with the intervals.
func (g *Guard) floats(to []float64) []float64 {
	to = append(to, g.AnyHarm.logS[:]...)
	for _, e := range g.rates() {
		to = append(to, e.logS[:len(e.steps())]...)
	}
	if !g.HarmLate.IsZero() {
		n := g.HarmLate.numbers()
		to = append(to, n[:]...)
	}
	if !g.HarmDifference.IsZero() {
		r := &g.HarmRecent
		to = append(to, g.HarmDifference.Log, g.NoWorseDifference.Log, r.Log, g.NoWorseRecent.Log, r.X, r.Mc, r.Y, r.Mb)
	}
	return to
}

func (g *Guard) rates() [2]*RelativeRate {
	return [2]*RelativeRate{&g.HarmRate, &g.NoWorseRate}
}

// UnmarshalJSON restores a state; it refuses one of another format, so that a stored guard never
// goes on under other rules than it began with.
func (g *Guard) UnmarshalJSON(data []byte) error {
	var stored guardJSON
	if err := json.Unmarshal(data, &stored); err != nil {
		return fmt.Errorf("evidence: guard: %w", err)
	}
	restored, err := stored.guard()
	if err != nil {
		return fmt.Errorf("evidence: guard: %w", err)
	}
	*g = restored
	return nil
}

func (stored *guardJSON) guard() (Guard, error) {
	if stored.Format == 0 {
		return Guard{}, nil
	}
	g := NewGuard(stored.Relative, stored.Absolute)
	if stored.Format != guardFormat {
		return g, fmt.Errorf("%w in format %d, want %d; start the guard anew", ErrFormat, stored.Format, guardFormat)
	}
	if g.Relative != stored.Relative || g.Absolute != stored.Absolute {
		return g, fmt.Errorf("margins %v and %v are out of range; start the guard anew", stored.Relative, stored.Absolute)
	}
	var room [maxGuardFloats]float64
	numbers := g.floats(room[:0])
	if err := unpack(stored.State, numbers); err != nil {
		return g, err
	}
	return g, g.restore(stored, numbers)
}

// restore sets what changes with the intervals, in the order of floats.
func (g *Guard) restore(stored *guardJSON, numbers []float64) error {
	numbers = numbers[copy(g.AnyHarm.logS[:], numbers):]
	for _, e := range g.rates() {
		numbers = numbers[copy(e.logS[:len(e.steps())], numbers):]
	}
	if !g.HarmLate.IsZero() {
		if err := g.HarmLate.restore(numbers); err != nil {
			return err
		}
		g.HarmLate.intervals = stored.Intervals
		numbers = numbers[latePoints+1:]
	}
	if g.HarmDifference.IsZero() {
		return nil
	}
	if stored.Sum != nil {
		g.HarmDifference.Sum, g.NoWorseDifference.Sum = *stored.Sum, *stored.Sum
	}
	h, n := &g.HarmRecent, &g.NoWorseRecent
	g.HarmDifference.Log, g.NoWorseDifference.Log, h.Log, n.Log = numbers[0], numbers[1], numbers[2], numbers[3]
	h.X, h.Mc, h.Y, h.Mb = numbers[4], numbers[5], numbers[6], numbers[7]
	n.X, n.Mc, n.Y, n.Mb = h.X, h.Mc, h.Y, h.Mb
	return nil
}

type ratioJSON struct {
	LogL []byte `json:"logL,omitempty"` // packed
}

// MarshalJSON writes the state so that UnmarshalJSON restores the same bits.
func (s RatioSequence) MarshalJSON() ([]byte, error) {
	return json.Marshal(ratioJSON{pack(s.logL[:])})
}

// UnmarshalJSON restores a state; it refuses one of another grid.
func (s *RatioSequence) UnmarshalJSON(data []byte) error {
	var form struct {
		LogL json.RawMessage `json:"logL"`
	}
	err := json.Unmarshal(data, &form)
	if err == nil && bytes.HasPrefix(form.LogL, []byte("[")) {
		return fmt.Errorf("evidence: ratio sequence: %w, as a list; start it anew", ErrFormat)
	}
	var stored ratioJSON
	if err == nil {
		err = json.Unmarshal(data, &stored)
	}
	if err != nil {
		return fmt.Errorf("evidence: ratio sequence: %w", err)
	}
	var restored RatioSequence
	if err := unpack(stored.LogL, restored.logL[:]); err != nil {
		return fmt.Errorf("evidence: ratio sequence: %w", err)
	}
	*s = restored
	return nil
}
