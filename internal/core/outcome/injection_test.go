package outcome

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// Property: with room for all, the counts are those of a map, in whatever order they come; the list
// is sorted, and what went in stays as it is.
func TestInjectionsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) Injection {
			name := func(label string) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label) }
			return Injection{name("point"), name("kind"), name("phase"), rapid.Uint64Range(0, 1_000).Draw(t, "calls")}
		})
		want := map[Injection]uint64{}
		var list []Injection
		for range rapid.IntRange(0, 20).Draw(t, "batches") {
			more := rapid.SliceOfN(draw, 0, 5).Draw(t, "more")
			before := fmt.Sprint(list)
			next := AddInjections(list, more...)
			if fmt.Sprint(list) != before {
				t.Fatalf("the list was changed: %s, %v", before, list)
			}
			list = next
			for _, one := range more {
				calls := one.Calls
				one.Calls = 0
				want[one] += calls
			}
		}
		got := map[Injection]uint64{}
		for i, one := range list {
			if i > 0 && compareInjections(list[i-1], one) >= 0 {
				t.Fatalf("not sorted: %v", list)
			}
			calls := one.Calls
			one.Calls = 0
			got[one] = calls
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestInjectionsAreBounded(t *testing.T) {
	var list []Injection
	for i := range 2 * MaxInjections {
		list = AddInjections(list, Injection{Point: fmt.Sprintf("%03d", i), Kind: "error", Phase: "before", Calls: 1})
	}
	list = AddInjections(list, Injection{Point: "000", Kind: "error", Phase: "before", Calls: math.MaxUint64})
	if len(list) != MaxInjections || list[0].Calls != math.MaxUint64 {
		t.Errorf("%d places, %d calls", len(list), list[0].Calls)
	}
}
