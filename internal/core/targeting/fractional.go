package targeting

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/bucket"
)

// maxWeight bounds each weight and their sum, as flagd does.
const maxWeight = math.MaxInt32

// shares are the entries of a fractional whose weights are constants. Entries that flagd refuses
// make it valid false: the operator then gives null.
type shares struct {
	valid    bool
	implicit bool // the entries begin with the first argument
	ends     []uint32
	variants []*node
}

// newShares gives nil if a weight depends on the input, or if it does so where the entries begin.
func newShares(args []node) *shares {
	if len(args) == 0 {
		return nil
	}
	s := &shares{valid: true}
	entries := args[1:]
	if first := &args[0]; first.op == opList || first.op == opConst && first.value.kind == isList {
		s.implicit, entries = true, args
	}
	sum := 0.0
	for i := range entries {
		variant, weight, constant := constantEntry(&entries[i])
		if !constant {
			return nil
		}
		w, ok := toWeight(weight)
		sum += w
		s.valid = s.valid && ok && variant != nil
		s.ends, s.variants = append(s.ends, uint32(min(sum, maxWeight))), append(s.variants, variant)
	}
	s.valid = s.valid && sum > 0 && sum <= maxWeight
	return s
}

// constantEntry takes an entry apart whose weight is a constant. The variant is nil if it is no
// entry.
func constantEntry(entry *node) (variant *node, weight value, constant bool) {
	switch {
	case entry.op == opConst:
		if entry.value.len() == 0 {
			return nil, value{}, true
		}
		if entry.value.len() > 1 {
			weight = entry.value.at(1)
		}
		return &node{value: entry.value.at(0)}, weight, true
	case entry.op != opList:
		return nil, value{}, false
	case len(entry.args) > 1:
		return &entry.args[0], entry.args[1].value, entry.args[1].op == opConst
	}
	return &entry.args[0], value{}, true
}

// toWeight reads a weight: null is 1, negative ones are 0.
func toWeight(v value) (weight float64, ok bool) {
	switch {
	case v.kind == isNull:
		return 1, true
	case v.kind != isNumber || v.number != math.Trunc(v.number) || v.number > maxWeight:
		return 0, false
	}
	return max(v.number, 0), true
}

// fractional is flagd's fractional v2: murmur3 of a text, or else of flag key and targeting key,
// spread over the entries by weight. What flagd refuses gives null. Variants that are not chosen
// are not evaluated.
func (r *run) fractional(n *node) value {
	if r.scope != atRoot || len(n.args) == 0 {
		return value{} // flagd knows neither flag key nor targeting key there
	}
	s := n.shares
	if s == nil {
		return r.fractionalOf(n)
	}
	if !s.valid {
		return value{}
	}
	hash, place := uint32(0), isNull
	if !s.implicit {
		hash, place = r.hashFirst(&n.args[0])
	}
	switch {
	case place == isList:
		return r.fractionalOf(n)
	case place == isNull && r.in.TargetingKey != "":
		hash = r.hashUnit()
	case place != isText:
		return value{}
	}
	at := bucket.Of(hash, s.ends[len(s.ends)-1])
	i := 0
	for at >= s.ends[i] {
		i++
	}
	return r.variant(s.variants[i])
}

// hashUnit is the hash of flag key and targeting key, without anything between them.
func (r *run) hashUnit() uint32 { return bucket.Seed{}.Absorb(r.in.FlagKey).Sum(r.in.TargetingKey) }

// hashFirst evaluates the first argument and hashes it if it is a text; place is its kind.
func (r *run) hashFirst(first *node) (hash uint32, place kind) {
	if first.op == opCat {
		return r.hash(first), isText
	}
	v := r.eval(first)
	if v.kind != isText {
		return 0, v.kind
	}
	return bucket.Seed{}.Sum(v.text), isText
}

// variant gives what an entry serves; flagd refuses lists and objects.
func (r *run) variant(n *node) value {
	v := r.eval(n)
	if v.kind == isList || v.kind == isObject {
		return value{}
	}
	return v
}

type entry struct {
	variant *node
	weight  uint64
}

// fractionalOf is fractional with weights, or entries, that depend on the input.
func (r *run) fractionalOf(n *node) value {
	hash, place := uint32(0), isList
	entries := n.args
	if first := &n.args[0]; first.op != opList {
		hash, place = r.hashFirst(first)
	}
	if place == isText || place == isNull {
		entries = entries[1:]
	}
	if place != isText {
		if r.in.TargetingKey == "" {
			return value{}
		}
		hash = r.hashUnit()
	}
	var few [8]entry
	shared, total := few[:0], uint64(0)
	for i := range entries {
		e, ok := r.entry(&entries[i])
		if total += e.weight; !ok || total > maxWeight {
			return value{}
		}
		shared = append(shared, e)
	}
	at := uint64(bucket.Of(hash, uint32(total)))
	for _, e := range shared {
		if at < e.weight {
			return r.variant(e.variant)
		}
		at -= e.weight
	}
	return value{}
}

// entry takes an entry apart and evaluates its weight.
func (r *run) entry(n *node) (e entry, ok bool) {
	weight := value{}
	if n.op == opList {
		if len(n.args) > 1 {
			weight = r.eval(&n.args[1])
		}
		e.variant = &n.args[0]
	} else {
		v := r.eval(n)
		if v.len() == 0 {
			return e, false
		}
		if v.len() > 1 {
			weight = v.at(1)
		}
		e.variant = &node{value: v.at(0)}
	}
	w, ok := toWeight(weight)
	e.weight = uint64(w)
	return e, ok
}
