package flagd

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// change is what happened to a flag, in flagd's words.
type change string

const (
	written change = "write"
	updated change = "update"
	deleted change = "delete"
)

// diff is what happened between two states, for the clients of one kind.
type diff struct {
	from, to *state
	client   bool
	changes  map[string]change
}

// keptDiffs bounds what a site keeps: streams are at few different states at a time.
const keptDiffs = 8

// changes gives what happened between two states, computed once for all streams. Do not modify it.
func (t *site) changes(from, to *state, client bool) map[string]change {
	t.comparing.Lock()
	defer t.comparing.Unlock()
	for _, d := range t.diffs {
		if d.from == from && d.to == to && d.client == client {
			return d.changes
		}
	}
	if len(t.diffs) == keptDiffs {
		t.diffs = slices.Delete(t.diffs, 0, 1)
	}
	d := diff{from: from, to: to, client: client, changes: changesOf(from.set, to.set, client)}
	t.diffs = append(t.diffs, d)
	return d.changes
}

// changesOf names the flags that may evaluate differently: because they changed themselves, or
// because a trial, segment, layer or prerequisite of theirs did. For clients only ClientSide flags
// exist.
func changesOf(from, to *flag.Set, client bool) map[string]change {
	touched := touchedBy(from, to)
	changes := map[string]change{}
	old := byKey(from.Flags, func(f *flag.Flag) string { return f.Key })
	var same []*flag.Flag // those that did not change themselves, or are to be told of
	for i := range to.Flags {
		f := &to.Flags[i]
		before, known := old[f.Key]
		delete(old, f.Key)
		switch {
		case !known:
			changes[f.Key] = written
		case touched.own(f) || !reflect.DeepEqual(before, f):
			changes[f.Key] = updated
		default:
			same = append(same, f)
		}
	}
	for key := range old {
		changes[key] = deleted
	}
	addDependents(changes, same)
	if client {
		hide(changes, from, to)
	}
	return changes
}

// addDependents adds the flags whose prerequisites changed, and those of which these are
// prerequisites, and so on.
func addDependents(changes map[string]change, same []*flag.Flag) {
	for more := true; more; {
		more = false
		same = slices.DeleteFunc(same, func(f *flag.Flag) bool {
			depends := slices.ContainsFunc(f.Prerequisites, func(p flag.Prerequisite) bool { return changes[p.Flag] != "" })
			if depends {
				changes[f.Key], more = updated, true
			}
			return depends
		})
	}
}

// hide takes out what browsers' keys cannot see. A flag that they could see before is gone, one that
// they see from now on is new.
func hide(changes map[string]change, from, to *flag.Set) {
	before, after := clientSideOf(from), clientSideOf(to)
	for key := range changes {
		switch {
		case before[key] && after[key]:
		case before[key]:
			changes[key] = deleted
		case after[key]:
			changes[key] = written
		default:
			delete(changes, key)
		}
	}
}

func clientSideOf(set *flag.Set) map[string]bool {
	keys := map[string]bool{}
	for i := range set.Flags {
		if f := &set.Flags[i]; f.ClientSide {
			keys[f.Key] = true
		}
	}
	return keys
}

// touched says what changed besides flags.
type touched struct {
	flags    map[string]bool // with a trial or a slot that changed
	segments map[string]bool
	rules    bool // one of the segments is an evaluator
	global   bool // the layer for all flags
	trials   map[string][]flag.Allocation
}

func touchedBy(from, to *flag.Set) touched {
	t := touched{flags: map[string]bool{}, segments: map[string]bool{}, trials: byFlag(to.Allocations)}
	for key := range differing(byFlag(from.Allocations), t.trials) {
		t.flags[key] = true
	}
	name := func(g *flag.Segment) string { return g.Key }
	for key, pair := range differing(byKey(from.Segments, name), byKey(to.Segments, name)) {
		t.segments[key] = true
		t.rules = t.rules || pair[0] != nil && pair[0].Rule != nil || pair[1] != nil && pair[1].Rule != nil
	}
	key := func(l *flag.Layer) string { return l.Key }
	for _, pair := range differing(byKey(from.Layers, key), byKey(to.Layers, key)) {
		for _, layer := range pair {
			if layer == nil {
				continue
			}
			t.global = t.global || layer.Global
			for _, slot := range layer.Slots {
				t.flags[slot.Flag] = true
			}
		}
	}
	return t
}

// own reports whether something that f names changed.
func (t *touched) own(f *flag.Flag) bool {
	trials := t.trials[f.Key]
	hashes := len(trials) > 0 || slices.ContainsFunc(f.Rules, func(r flag.Rule) bool { return r.Split != nil })
	switch {
	case t.flags[f.Key], t.global && hashes, t.rules && bytes.Contains(f.Definition, []byte(`"$ref"`)):
		return true
	case len(t.segments) == 0:
		return false
	}
	return slices.ContainsFunc(f.Rules, func(r flag.Rule) bool { return t.inCondition(r.When) }) ||
		slices.ContainsFunc(trials, t.inTrial)
}

func (t *touched) inTrial(a flag.Allocation) bool {
	return t.inCondition(a.Audience) || slices.ContainsFunc(a.Strata, func(s flag.Stratum) bool {
		return slices.ContainsFunc(s.Segments, func(key string) bool { return t.segments[key] })
	})
}

func (t *touched) inCondition(c *flag.Condition) bool {
	if c == nil {
		return false
	}
	in := func(part flag.Condition) bool { return t.inCondition(&part) }
	return t.segments[c.Segment] || slices.ContainsFunc(c.All, in) || slices.ContainsFunc(c.Any, in) || t.inCondition(c.Not)
}

// byKey indexes a list without copying it.
func byKey[T any](list []T, key func(*T) string) map[string]*T {
	m := make(map[string]*T, len(list))
	for i := range list {
		m[key(&list[i])] = &list[i]
	}
	return m
}

func byFlag(list []flag.Allocation) map[string][]flag.Allocation {
	m := map[string][]flag.Allocation{}
	for _, a := range list {
		m[a.Flag] = append(m[a.Flag], a)
	}
	for _, trials := range m {
		slices.SortFunc(trials, func(a, b flag.Allocation) int { return strings.Compare(a.Trial, b.Trial) })
	}
	return m
}

// differing gives the keys whose values differ between two maps, with both values.
func differing[T any](from, to map[string]T) map[string][2]T {
	m := map[string][2]T{}
	for key, before := range from {
		if after := to[key]; !reflect.DeepEqual(before, after) {
			m[key] = [2]T{before, after}
		}
	}
	for key, after := range to {
		if _, known := from[key]; !known {
			m[key] = [2]T{from[key], after}
		}
	}
	return m
}
