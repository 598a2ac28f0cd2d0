package flag

import (
	"cmp"
	"slices"
)

// layers checks all layers of the set.
func (v *validator) layers(at path, layers []Layer) {
	global := ""
	taken := map[string]string{} // flag → layer
	for i := range layers {
		l, at := &layers[i], at.item("layers", i)
		v.layer(at, l, taken)
		v.unique(at.to("key"), "layer", l.Key)
		if l.Global && global != "" {
			v.add(at.to("global"), "layer %q is global already; at most one may be", global)
		}
		if l.Global {
			global = l.Key
		}
	}
}

// layerAmong checks one layer that is put among others, in the place of an older form of it.
func (v *validator) layerAmong(at path, l *Layer, others []Layer) {
	taken := map[string]string{}
	for i := range others {
		other := &others[i]
		if other.Key == l.Key {
			continue
		}
		if other.Global && l.Global {
			v.add(at.to("global"), "layer %q is global already; at most one may be", other.Key)
		}
		for _, slot := range other.Slots {
			taken[slot.Flag] = other.Key
		}
	}
	v.layer(at, l, taken)
}

// layer checks one layer; taken has the layers that flags are in already, and gets its own.
func (v *validator) layer(at path, l *Layer, taken map[string]string) {
	v.check(at.to("key"), CheckKey(l.Key))
	v.check(at.to("description"), checkText(l.Description, MaxText))
	if l.Salt != "" {
		v.check(at.to("salt"), CheckKey(l.Salt))
	}
	v.weight(at.to("holdout"), l.Holdout)
	v.count(at.to("slots"), len(l.Slots), MaxSlots, "slots")
	if l.Global && len(l.Slots) > 0 {
		v.add(at.to("slots"), "a global layer has no slots, only a holdout; put flags into another layer")
	}
	for i := range l.Slots {
		v.slot(at.item("slots", i), l, &l.Slots[i], taken)
	}
	v.overlaps(at, l.Slots)
}

func (v *validator) slot(at path, l *Layer, s *Slot, taken map[string]string) {
	v.weight(at.to("from"), s.From)
	v.weight(at.to("to"), s.To)
	if s.From >= s.To {
		v.add(at.to("to"), "%d is not above from, which is %d; a slot goes from one weight up to, not including, another", s.To, s.From)
	} else if s.To > TotalWeight-l.Holdout {
		v.add(at.to("to"), "%d reaches into the holdout, which begins at %d; end the slot there", s.To, TotalWeight-l.Holdout)
	}
	switch f, other := v.findFlag(s.Flag), taken[s.Flag]; {
	case f == nil:
		v.unknown(at.to("flag"), s.Flag, keys(v.in.Flags, flagKey), "there is no flag %q; create it first", s.Flag)
	case f.HasDefinition():
		v.add(at.to("flag"), "flag %q is a flagd definition, which layers cannot hold back; take it out of the layer", s.Flag)
	case other != "":
		v.add(at.to("flag"), "flag %q has a slot in layer %q already; a flag is in one layer, with one slot", s.Flag, other)
	}
	taken[s.Flag] = l.Key
}

// overlaps finds slots that share units, whatever their order in the list.
func (v *validator) overlaps(at path, slots []Slot) {
	order := make([]int, len(slots))
	for i := range slots {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(slots[a].From, slots[b].From) })
	for i := 1; i < len(order); i++ {
		if before, s := slots[order[i-1]], slots[order[i]]; s.From < before.To {
			v.add(at.item("slots", order[i]), "flags %q and %q share units from %d on; move one of their slots", before.Flag, s.Flag, s.From)
		}
	}
}
