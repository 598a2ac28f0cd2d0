package seatrial

import (
	"bytes"
	"maps"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// changedFlags gives the keys of the flags that may evaluate differently in next than in old,
// sorted. Both may be nil. It errs on the side of naming a flag too many.
func changedFlags(old, next *snapshot) []string {
	before, after := setOf(old), setOf(next)
	c := changes{keys: map[string]bool{}, before: before, after: after, lists: listsThatCame(old, next)}
	d := before.Diff(*after)
	for i := range d.Flags {
		c.keys[d.Flags[i].Key] = true
	}
	for _, key := range d.DeletedFlags {
		c.keys[key] = true
	}
	c.trials(&d)
	c.segments(&d)
	c.layers(&d)
	c.prerequisites()
	return slices.Sorted(maps.Keys(c.keys))
}

func setOf(s *snapshot) *flag.Set {
	if s == nil {
		return &flag.Set{}
	}
	return &s.set
}

// changes collects the keys of flags that changed.
type changes struct {
	keys          map[string]bool
	before, after *flag.Set
	lists         []string // segments that got another member list without a change of the set
}

// listsThatCame gives the segments that were behind the set and are not any more, or the other way
// round.
func listsThatCame(old, next *snapshot) (keys []string) {
	if old == nil || next == nil {
		return nil
	}
	for _, pair := range [][2][]string{{old.behind, next.behind}, {next.behind, old.behind}} {
		for _, key := range pair[0] {
			if !slices.Contains(pair[1], key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// trials adds the flags on which a trial began, moved or ended.
func (c *changes) trials(d *flag.Delta) {
	moved := map[string]bool{}
	for i := range d.Allocations {
		moved[d.Allocations[i].Trial] = true
		c.keys[d.Allocations[i].Flag] = true
	}
	for _, trial := range d.EndedTrials {
		moved[trial] = true
	}
	for i := range c.before.Allocations {
		if a := &c.before.Allocations[i]; moved[a.Trial] {
			c.keys[a.Flag] = true
		}
	}
}

// segments adds the flags that name a segment that changed, themselves or by a trial.
func (c *changes) segments(d *flag.Delta) {
	changed := map[string]bool{}
	for i := range d.Segments {
		changed[d.Segments[i].Key] = true
	}
	for _, key := range slices.Concat(d.DeletedSegments, c.lists) {
		changed[key] = true
	}
	if len(changed) == 0 {
		return
	}
	for i := range c.after.Flags {
		if f := &c.after.Flags[i]; flagNames(f, changed) {
			c.keys[f.Key] = true
		}
	}
	for i := range c.after.Allocations {
		a := &c.after.Allocations[i]
		byStratum := slices.ContainsFunc(a.Strata, func(s flag.Stratum) bool {
			return slices.ContainsFunc(s.Segments, func(key string) bool { return changed[key] })
		})
		if byStratum || conditionNames(a.Audience, changed) {
			c.keys[a.Flag] = true
		}
	}
}

// flagNames reports whether the flag's rules name one of the segments. A raw definition that
// refers to segments at all counts as one that names them.
func flagNames(f *flag.Flag, segments map[string]bool) bool {
	if bytes.Contains(f.Definition, []byte(`"$ref"`)) {
		return true
	}
	return slices.ContainsFunc(f.Rules, func(r flag.Rule) bool { return conditionNames(r.When, segments) })
}

// conditionNames reports whether the condition names one of the segments. Its depth is that of a
// valid set.
func conditionNames(c *flag.Condition, segments map[string]bool) bool {
	if c == nil {
		return false
	}
	names := func(child flag.Condition) bool { return conditionNames(&child, segments) }
	return segments[c.Segment] || conditionNames(c.Not, segments) ||
		slices.ContainsFunc(c.All, names) || slices.ContainsFunc(c.Any, names)
}

// layers adds the flags of the layers that changed, and every flag if that of all flags did.
func (c *changes) layers(d *flag.Delta) {
	changed := map[string]bool{}
	for i := range d.Layers {
		changed[d.Layers[i].Key] = true
	}
	for _, key := range d.DeletedLayers {
		changed[key] = true
	}
	for _, set := range []*flag.Set{c.before, c.after} {
		for i := range set.Layers {
			if l := &set.Layers[i]; changed[l.Key] {
				c.layer(l)
			}
		}
	}
}

func (c *changes) layer(l *flag.Layer) {
	for i := range l.Slots {
		c.keys[l.Slots[i].Flag] = true
	}
	if l.Global {
		for i := range c.after.Flags {
			c.keys[c.after.Flags[i].Key] = true
		}
	}
}

// prerequisites adds the flags that need one of those collected so far, and those that need
// these, and so on: at most flag.MaxChain times.
func (c *changes) prerequisites() {
	for grown := len(c.keys) > 0; grown; {
		grown = false
		for i := range c.after.Flags {
			f := &c.after.Flags[i]
			if !c.keys[f.Key] && slices.ContainsFunc(f.Prerequisites, func(p flag.Prerequisite) bool { return c.keys[p.Flag] }) {
				c.keys[f.Key], grown = true, true
			}
		}
	}
}
