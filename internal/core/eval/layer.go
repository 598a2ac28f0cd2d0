package eval

import (
	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// layer is a compiled flag.Layer.
type layer struct {
	key     string
	seed    bucket.Seed
	holdout uint32 // first place of the holdout
}

// gate says on which units a flag may try something: to those that it keeps out splits and trials
// do not apply.
type gate struct {
	layer    *layer // nil: in none
	from, to uint32 // the flag's slot in it
	global   *layer // nil: there is no global holdout
}

// compileLayers gives the layers' gates by flag, and the gate of all other flags.
func (c *compiler) compileLayers(from []flag.Layer) {
	var global *layer
	for i := range from {
		if l := &from[i]; l.Global && l.Holdout > 0 {
			global = newLayer(l)
			c.gate = &gate{global: global}
		}
	}
	c.gates = map[string]*gate{}
	for i := range from {
		l := newLayer(&from[i])
		for _, slot := range from[i].Slots {
			c.gates[slot.Flag] = &gate{layer: l, from: uint32(slot.From), to: uint32(slot.To), global: global}
		}
	}
}

func newLayer(from *flag.Layer) *layer {
	salt := from.Salt
	if salt == "" {
		salt = from.Key
	}
	return &layer{key: from.Key, seed: bucket.NewSeed(salt), holdout: uint32(flag.TotalWeight - from.Holdout)}
}

// gateOf gives the gate of a flag, nil if nobody is kept out.
func (c *compiler) gateOf(flag string) *gate {
	if g := c.gates[flag]; g != nil {
		return g
	}
	return c.gate
}

// admits reports whether something may be tried on the unit. Who has no targeting key has no place
// in a layer. A nil gate admits everybody.
func (g *gate) admits(u *unit) bool {
	if g == nil {
		return true
	}
	if u.key == "" || g.global != nil && g.global.place(u) >= g.global.holdout {
		return false
	}
	if g.layer == nil {
		return true
	}
	place := g.layer.place(u)
	return g.from <= place && place < g.to // which ends before the holdout
}

// place is where the unit is in the layer, in [0, flag.TotalWeight).
func (l *layer) place(u *unit) uint32 { return bucket.Of(l.seed.Sum(u.key), flag.TotalWeight) }
