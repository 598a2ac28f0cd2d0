package seatrial

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// How often, and how much at once, the control plane is told which flags are evaluated. What is
// left over goes with the next report.
const (
	seenEvery = time.Minute
	maxSeen   = 2_000 // flags and variants in one report
	mostOfOne = flag.MaxVariants + 1
)

// sightings notes what was evaluated in one snapshot, by eval.Result.Slot. In the steady state
// everything is noted already, so that evaluations only read.
type sightings []atomic.Bool

// note notes what an evaluation gave.
func (s sightings) note(r *eval.Result) {
	if i := int(r.Slot); i < len(s) && !s[i].Load() {
		s[i].Store(true)
	}
}

// served is what was evaluated since the last report. An empty variant is the code's default.
type served struct{ flag, variant string }

// seenReports is when and from where the next report of sightings is taken. It is guarded by
// reporter.mu.
type seenReports struct {
	last time.Time
	from string // the key of the flag to begin with; empty: the first
}

// takeSeen gives what was evaluated since it was told last, at most maxSeen: nothing within a minute
// of the last report, unless force is true.
func (c *Client) takeSeen(state *seenReports, now time.Time, force bool) []served {
	at := c.current.Load()
	if at == nil || !force && now.Sub(state.last) < seenEvery {
		return nil
	}
	state.last = now
	var list []served
	flags := at.flags.Flags()
	begin, _ := slices.BinarySearchFunc(flags, state.from, func(f *eval.Flag, key string) int { return cmp.Compare(f.Key(), key) })
	state.from = ""
	for i := range flags {
		i = (begin + i) % len(flags)
		if len(list) > maxSeen-mostOfOne {
			state.from = flags[i].Key()
			break
		}
		list = at.seen.take(flags, i, list)
	}
	return list
}

// take moves what was noted for the i-th of the snapshot's flags into list.
func (s sightings) take(flags []*eval.Flag, i int, list []served) []served {
	first, end := int(flags[i].Slot()), len(s)
	if i+1 < len(flags) {
		end = int(flags[i+1].Slot())
	}
	var variants []eval.Variant
	for slot := first; slot < end; slot++ {
		if !s[slot].Load() || !s[slot].Swap(false) {
			continue
		}
		name := ""
		if slot > first {
			if variants == nil {
				variants = flags[i].Variants()
			}
			name = variants[slot-first-1].Name
		}
		list = append(list, served{flags[i].Key(), name})
	}
	return list
}

// inherit notes what was noted in the snapshot before and not told yet. Flags and variants that
// are gone are nobody's concern any more.
func (next *snapshot) inherit(before *snapshot) {
	if before == nil {
		return
	}
	var list []served
	flags := before.flags.Flags()
	for i := range flags {
		if list = before.seen.take(flags, i, list[:0]); len(list) == 0 {
			continue
		}
		f := next.flags.Flag(flags[i].Key())
		for _, s := range list {
			next.noteBy(f, s.variant)
		}
	}
}

func (s *snapshot) noteBy(f *eval.Flag, variant string) {
	if f == nil {
		return
	}
	if variant == "" {
		s.seen[f.Slot()].Store(true)
	}
	for i, v := range f.Variants() {
		if v.Name == variant {
			s.seen[int(f.Slot())+1+i].Store(true)
		}
	}
}
