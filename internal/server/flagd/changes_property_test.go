package flagd

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/flagtest"
)

// TestNoChangeGoesUntold changes one thing of random sets. Every flag that then evaluates
// differently for some context must be named.
func TestNoChangeGoesUntold(t *testing.T) {
	differ, valid := 0, 0
	for seed := range uint64(1500) {
		options := flagtest.Options{Flags: 8, Contexts: 12, Raw: true}
		from, other := flagtest.New(seed, options), flagtest.New(seed+100_000, options)
		rng := rand.New(rand.NewPCG(seed, 1))
		to := from.Set
		switch rng.IntN(4) {
		case 0:
			to.Flags = exchange(rng, to.Flags, other.Set.Flags, func(f flag.Flag) string { return f.Key })
		case 1:
			to.Segments = exchange(rng, to.Segments, other.Set.Segments, func(s flag.Segment) string { return s.Key })
		case 2:
			to.Allocations = exchange(rng, to.Allocations, nil, func(a flag.Allocation) string { return a.Trial })
		case 3:
			to.Layers = exchange(rng, to.Layers, other.Set.Layers, func(l flag.Layer) string { return l.Key })
		}
		before, err1 := eval.Compile(from.Set)
		after, err2 := eval.Compile(to)
		if err1 != nil || err2 != nil { // the other set's part does not fit
			continue
		}
		valid++
		for client, told := range map[bool]map[string]change{false: changesOf(&from.Set, &to, false), true: changesOf(&from.Set, &to, true)} {
			differ += wantTold(t, seed, from, before, after, client, told)
		}
	}
	if valid < 300 || differ < 200 {
		t.Errorf("only %d sets and %d differences were looked at", valid, differ)
	}
}

// exchange gives the list with one element exchanged for the other list's of the same key, or
// without it.
func exchange[T any](rng *rand.Rand, list, other []T, key func(T) string) []T {
	if len(list) == 0 {
		return list
	}
	list = slices.Clone(list)
	at := rng.IntN(len(list))
	if i := slices.IndexFunc(other, func(v T) bool { return key(v) == key(list[at]) }); i >= 0 {
		list[at] = other[i]
		return list
	}
	return slices.Delete(list, at, at+1)
}

func wantTold(t *testing.T, seed uint64, c flagtest.Case, before, after *eval.Snapshot, client bool, told map[string]change) (differ int) {
	t.Helper()
	for _, f := range before.Flags() {
		if client && !f.ClientSide() && !after.Flag(f.Key()).ClientSide() {
			if told[f.Key()] != "" {
				t.Errorf("seed %d: a browser hears of flag %s", seed, f.Key())
			}
			continue
		}
		for _, context := range c.Contexts {
			who := &eval.Context{TargetingKey: context.TargetingKey, Attributes: context.Attributes}
			old, now := before.Evaluate(f.Key(), who), after.Evaluate(f.Key(), who)
			if old.Variant == now.Variant && reflect.DeepEqual(old.Value, now.Value) && old.Reason == now.Reason &&
				old.Error == now.Error && old.Role == now.Role && reflect.DeepEqual(old.Trial, now.Trial) {
				continue
			}
			differ++
			if told[f.Key()] == "" {
				t.Errorf("seed %d: flag %s gave %v and gives %v, but is not among %v", seed, f.Key(), old, now, told)
			}
		}
	}
	return differ
}
