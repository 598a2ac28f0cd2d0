package flag

import (
	"fmt"
	"slices"
	"strings"
)

func (v *validator) prerequisites(at path, f *Flag) {
	v.count(at.to("prerequisites"), len(f.Prerequisites), MaxNeeds, "prerequisites")
	for i := range f.Prerequisites {
		p, at := &f.Prerequisites[i], at.item("prerequisites", i)
		if slices.ContainsFunc(f.Prerequisites[:i], func(other Prerequisite) bool { return other.Flag == p.Flag }) {
			v.add(at.to("flag"), "flag %q is a prerequisite twice; name it once, with all variants that are meant", p.Flag)
		}
		v.prerequisite(at, f, p)
	}
}

func (v *validator) prerequisite(at path, f *Flag, p *Prerequisite) {
	if len(p.Variants) == 0 {
		v.add(at.to("variants"), "there are none; name at least one variant of flag %q", p.Flag)
	}
	v.count(at.to("variants"), len(p.Variants), MaxVariants, "variants")
	needed := v.findFlag(p.Flag)
	switch {
	case p.Flag == f.Key:
		v.add(at.to("flag"), "a flag cannot be its own prerequisite; remove it")
	case needed == nil:
		v.unknown(at.to("flag"), p.Flag, keys(v.in.Flags, flagKey), "there is no flag %q; create it first", p.Flag)
	case needed.Archived:
		v.add(at.to("flag"), "flag %q is archived; restore it, or remove the prerequisite", p.Flag)
	default:
		v.prerequisiteVariants(at, needed, p)
	}
}

func (v *validator) prerequisiteVariants(at path, needed *Flag, p *Prerequisite) {
	known := v.variantsOf(needed)
	for i, name := range p.Variants {
		if !slices.Contains(known, name) {
			v.unknown(at.item("variants", i), name, slices.Values(known), "flag %q has no variant %q; name one of its variants", needed.Key, name)
		}
	}
}

// dependents checks that what the set has on a flag still finds what it names.
func (v *validator) dependents(at path, f *Flag) {
	v.underTrial(at, f)
	for i := range v.in.Layers {
		for _, slot := range v.in.Layers[i].Slots {
			if slot.Flag == f.Key && f.HasDefinition() {
				v.add(at.to("definition"), "the flag has a slot in layer %q, and layers cannot hold definitions back; take it out of the layer first", v.in.Layers[i].Key)
			}
		}
	}
	for i := range v.in.Flags {
		other := &v.in.Flags[i]
		for j := range other.Prerequisites {
			if p := &other.Prerequisites[j]; p.Flag == f.Key {
				v.neededBy(at, f, other.Key, p)
			}
		}
	}
}

func (v *validator) underTrial(at path, f *Flag) {
	for i := range v.in.Allocations {
		a := &v.in.Allocations[i]
		switch {
		case a.Flag != f.Key:
		case f.Archived:
			v.add(at.to("archived"), "trial %q is running on the flag; end it before archiving", a.Trial)
		case f.HasDefinition():
			v.add(at.to("definition"), "trial %q is running on the flag; end it first", a.Trial)
		default:
			for _, variant := range []string{a.Treatment, a.Control} {
				if !f.has(variant) {
					v.add(at.to("variants"), "trial %q is running on variant %q; keep it until the trial has ended", a.Trial, variant)
				}
			}
		}
	}
}

// neededBy checks a flag that is the prerequisite p of another.
func (v *validator) neededBy(at path, f *Flag, other string, p *Prerequisite) {
	if f.Archived && other != f.Key {
		v.add(at.to("archived"), "flag %q has this one as a prerequisite; change that flag before archiving", other)
	}
	known := v.variantsOf(f)
	for _, name := range p.Variants {
		if other != f.Key && !slices.Contains(known, name) {
			v.add(at.to("variants"), "flag %q has variant %q as a prerequisite; change that flag first", other, name)
		}
	}
}

// reach is how far a flag's prerequisites go.
type reach struct {
	depth   int // of the longest chain, MaxChain+1 or more if that is too long or never ends
	lookups int // flags evaluated for one evaluation, itself included, MaxLookups+1 if more
}

// reaches gives the reach of each flag that has prerequisites. Each round takes all chains one
// step further, so after one more than MaxChain every chain that is not too long is at its end.
func reaches(flags []Flag) map[string]reach {
	all := map[string]reach{}
	for range MaxChain + 1 {
		for i := range flags {
			f, r := &flags[i], reach{lookups: 1}
			if len(f.Prerequisites) == 0 {
				continue
			}
			for j := range f.Prerequisites {
				needed, ok := all[f.Prerequisites[j].Flag]
				r.depth = max(r.depth, needed.depth+1)
				r.lookups = min(MaxLookups+1, r.lookups+needed.lookups+btoi(!ok))
			}
			all[f.Key] = r
		}
		if len(all) == 0 {
			return nil
		}
	}
	return all
}

// chains checks how far the prerequisites of all flags go.
func (v *validator) chains(at path, s *Set) {
	all := reaches(s.Flags)
	for i := range s.Flags {
		at := at.item("flags", i)
		v.reach(at.to("prerequisites"), &s.Flags[i], all[s.Flags[i].Key])
	}
}

// chain checks how far the prerequisites of a flag go, and those of flags that need it.
func (v *validator) chain(at path, f *Flag) {
	all := reaches(v.in.Flags)
	v.reach(at.to("prerequisites"), f, all[f.Key])
	if len(v.List) > 0 {
		return
	}
	for i := range v.in.Flags {
		if other := &v.in.Flags[i]; all[other.Key].depth > MaxChain || all[other.Key].lookups > MaxLookups {
			v.add(at.to("prerequisites"), "flag %q needs this one, and its chain of prerequisites would get too long; remove some", other.Key)
			return
		}
	}
}

func (v *validator) reach(at path, f *Flag, r reach) {
	switch {
	case r.depth > MaxChain:
		if circle := v.circle(f); circle != nil {
			v.add(at, "flag %q comes back to itself: %s; remove one of these prerequisites", f.Key, strings.Join(circle, " → "))
			return
		}
		v.add(at, "the prerequisites of prerequisites go deeper than %d flags; make the chain shorter", MaxChain)
	case r.lookups > MaxLookups:
		v.add(at, "the prerequisites and their prerequisites take more than %d evaluations; remove some", MaxLookups)
	}
}

// circle gives a way along prerequisites from f back to f, nil if there is none. The way is
// shortened in the middle. Once there are problems enough nothing is looked for.
func (v *validator) circle(f *Flag) []string {
	if len(v.List) >= maxProblems {
		return nil
	}
	from := map[string]string{f.Key: ""} // flag → the flag that needs it
	for todo := []string{f.Key}; len(todo) > 0; todo = todo[1:] {
		needs := v.findFlag(todo[0])
		if needs == nil {
			continue
		}
		for i := range needs.Prerequisites {
			key := needs.Prerequisites[i].Flag
			if key == f.Key {
				return wayBack(from, todo[0], f.Key)
			}
			if _, seen := from[key]; !seen {
				from[key] = todo[0]
				todo = append(todo, key)
			}
		}
	}
	return nil
}

// wayBack gives the flags from end to end, over last.
func wayBack(from map[string]string, last, end string) []string {
	way := []string{end}
	for key := last; key != ""; key = from[key] {
		way = append(way, key)
	}
	slices.Reverse(way)
	if n := len(way); n > MaxChain {
		way = append(append(way[:3:3], fmt.Sprintf("(%d more)", n-5)), way[n-2:]...)
	}
	return way
}
