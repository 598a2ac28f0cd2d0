package eval

import (
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// prerequisite asks that another flag gives the unit one of some variants.
type prerequisite struct {
	flag     *Flag
	variants []int
}

// prerequisites links the flag to those it needs, all of which have their variants by now.
func (c *compiler) prerequisites(f *Flag, from []flag.Prerequisite) {
	for i := range from {
		needed := c.byKey[from[i].Flag]
		p := prerequisite{flag: needed, variants: make([]int, len(from[i].Variants))}
		for j, name := range from[i].Variants {
			p.variants[j] = needed.index(name)
		}
		f.needs = append(f.needs, p)
	}
}

// met evaluates the other flag. It ends, as valid prerequisites are a bounded tree.
func (p *prerequisite) met(u *unit) bool {
	outer := u.flag
	u.flag = p.flag.key
	variant := p.flag.decide(u).variant
	u.flag = outer
	return slices.Contains(p.variants, variant) // never noVariant
}
