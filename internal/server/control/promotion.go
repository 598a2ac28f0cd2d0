package control

import (
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Selection says what of an environment goes to another.
type Selection struct {
	// Keys of what goes; all three empty: everything.
	Flags    []string
	Segments []string
	Layers   []string
	// State takes along whether flags are enabled. Without it a flag that exists keeps its own.
	State bool
	// Prune deletes what the source does not have; only together with everything.
	Prune bool
}

func (s Selection) everything() bool {
	return len(s.Flags)+len(s.Segments)+len(s.Layers) == 0
}

// Promotion gives the batch that makes of the definitions in to those in from, as far as selected.
// Archived flags and member lists do not go along: a list that the target has is kept. Errors are
// CodeInvalid, or CodeNotFound for a key that neither side has.
func Promotion(from, to flag.Set, pick Selection) (Batch, error) {
	if pick.Prune && !pick.everything() {
		return Batch{}, invalid("/prune", "promote: prune deletes what the source does not have, so it goes with everything only: leave out the keys or prune")
	}
	m := promotion{pick: pick, all: pick.everything()}
	var b Batch
	live := slices.DeleteFunc(slices.Clone(from.Flags), func(f flag.Flag) bool { return f.Archived })
	var err error
	b.Flags, b.DeleteFlags, err = differences(m, KindFlag, pick.Flags, live, to.Flags, func(f flag.Flag) string { return f.Key }, m.flag)
	if err != nil {
		return Batch{}, err
	}
	b.Segments, b.DeleteSegments, err = differences(m, KindSegment, pick.Segments, from.Segments, to.Segments, func(s flag.Segment) string { return s.Key }, segmentInto)
	if err != nil {
		return Batch{}, err
	}
	b.Layers, b.DeleteLayers, err = differences(m, KindLayer, pick.Layers, from.Layers, to.Layers, func(l flag.Layer) string { return l.Key },
		func(l flag.Layer, _ *flag.Layer) flag.Layer { return l })
	return b, err
}

type promotion struct {
	pick Selection
	all  bool
}

// flag gives f as it is to be in the target, where was is what it replaces.
func (m promotion) flag(f flag.Flag, was *flag.Flag) flag.Flag {
	if was != nil && !m.pick.State {
		f.Enabled = was.Enabled
	}
	return f
}

func segmentInto(s flag.Segment, was *flag.Segment) flag.Segment {
	s.List = nil
	if was != nil {
		s.List = was.List
	}
	return s
}

// differences gives what has to be put into the target and what has to be deleted there.
func differences[T any](m promotion, kind EntityKind, picked []string, from, to []T, key func(T) string, into func(T, *T) T) (put []T, deleted []string, err error) {
	there := make(map[string]*T, len(to))
	for i := range to {
		there[key(to[i])] = &to[i]
	}
	here := make(map[string]bool, len(from))
	for i := range from {
		k := key(from[i])
		here[k] = true
		if !m.all && !slices.Contains(picked, k) {
			continue
		}
		was := there[k]
		value := into(from[i], was)
		if was == nil || !sameJSON(value, *was) {
			put = append(put, value)
		}
	}
	for _, k := range picked {
		if !here[k] {
			return nil, nil, &Error{Code: CodeNotFound, Message: fmt.Sprintf("promote: the source has no %s %q (archived flags do not count)", kind, k)}
		}
	}
	for k := range there {
		if m.pick.Prune && !here[k] {
			deleted = append(deleted, k)
		}
	}
	slices.Sort(deleted)
	return put, deleted, nil
}
