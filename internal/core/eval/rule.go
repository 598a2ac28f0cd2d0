package eval

import (
	"cmp"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// rule serves a variant, or has a split (then serve is noVariant).
type rule struct {
	when  *condition
	split *split
	serve int
	name  string
}

type split struct {
	by     *path // nil: the targeting key
	seed   bucket.Seed
	shares []share
}

// share is [end of the share before, end) of flag.TotalWeight.
type share struct {
	end     uint32
	variant int
}

func (c *compiler) rules(f *Flag, from []flag.Rule) (err error) {
	if len(from) == 0 {
		return nil
	}
	f.rules = make([]rule, len(from))
	for i := range from {
		r := &f.rules[i]
		r.name, r.serve = from[i].Name, noVariant
		if r.when, err = c.condition(from[i].When); err != nil {
			return err
		}
		if from[i].Split != nil {
			r.split = c.split(f, from[i].Split)
		} else {
			r.serve = f.index(from[i].Serve)
		}
	}
	return nil
}

func (c *compiler) split(f *Flag, from *flag.Split) *split {
	s := &split{seed: bucket.NewSeed(cmp.Or(from.Salt, f.key)), shares: make([]share, len(from.Weights))}
	if from.BucketBy != "" && from.BucketBy != targetingKey {
		s.by = c.path(from.BucketBy)
	}
	end := uint32(0)
	for i, w := range from.Weights {
		end += uint32(w.Weight)
		s.shares[i] = share{end: end, variant: f.index(w.Variant)}
	}
	return s
}

// choose gives the variant whose half-open share holds the unit's bucket, or noVariant if the
// bucket was left free or the unit cannot be hashed.
func (s *split) choose(u *unit) int {
	hash, ok := u.hash(&s.seed, s.by)
	if !ok {
		return noVariant
	}
	place := bucket.Of(hash, flag.TotalWeight)
	for i := range s.shares {
		if place < s.shares[i].end {
			return s.shares[i].variant
		}
	}
	return noVariant
}
