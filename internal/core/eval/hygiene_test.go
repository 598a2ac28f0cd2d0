package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// The tests of this file are named after the defects of the founding sketch's flags, F1 to F9, that
// must not come back (reference, chaos, section 3).

// ids are populations as they occur, as in the tests of package bucket; the founding sketch put all of
// some of them into one bucket.
var ids = map[string]func(i int) string{
	"sequential":  func(i int) string { return fmt.Sprintf("user-%d", i) },
	"zero-padded": func(i int) string { return fmt.Sprintf("user-%06d", i) },
	"decimal":     func(i int) string { return fmt.Sprint(i + 1) },
	"e-mail":      func(i int) string { return fmt.Sprintf("jane.doe%d@example.com", i) },
	"uuid": func(i int) string {
		h := uint64(i+1) * 0x9e3779b97f4a7c15
		h ^= h >> 29
		return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(h), uint16(h>>32), uint16(h>>48)&0xfff, i&0xfff, h*0xbf58476d1ce4e5b9&0xffffffffffff)
	},
}

const population = 10_000

// borders are the shares that F1 asks for, as the ends of a split's variants.
var borders = []flag.Weight{1_000, 5_000, 10_000, 50_000, 90_000}

// bands gives a flag whose variants band0, band1, … end at the borders.
func bands(key string) flag.Flag {
	f, from := flag.Flag{Key: key, Kind: flag.KindRelease, Type: flag.TypeInteger, Enabled: true}, flag.Weight(0)
	split := &flag.Split{}
	for i, to := range borders {
		name := fmt.Sprint("band", i)
		f.Variants = append(f.Variants, flag.Variant{Name: name, Value: json.RawMessage(fmt.Sprint(i))})
		split.Weights = append(split.Weights, flag.Share{Variant: name, Weight: to - from})
		from = to
	}
	f.Rules = []flag.Rule{{Split: split}}
	return f
}

// bandsOf evaluates a flag for all units of a kind and gives the band of each, -1 for none.
func bandsOf(f *Flag, units []Context) []int64 {
	list := make([]int64, len(units))
	for i := range list {
		list[i] = -1
		if band, ok := f.Evaluate(&units[i]).Value.(int64); ok {
			list[i] = band
		}
	}
	return list
}

// F1: of 200 flags each gets the shares it asks for, within four standard deviations (five where
// 1,000 are compared), for every kind of id.
func TestF1SharesAreAsAskedFor(t *testing.T) {
	set := flag.Set{}
	for i := range 200 {
		set.Flags = append(set.Flags, bands(fmt.Sprint("flag-", i)))
	}
	s := compile(t, set)
	for name, id := range ids {
		outside, units := 0, make([]Context, population*2/5) // enough, and not long with -race
		for i := range units {
			units[i].TargetingKey = id(i)
		}
		for _, f := range s.Flags() {
			var in [5]float64
			for _, band := range bandsOf(f, units) {
				for i := max(band, 0); band >= 0 && i < 5; i++ {
					in[i]++
				}
			}
			n := float64(len(units))
			for i, border := range borders {
				p := float64(border) / flag.TotalWeight
				sd := math.Abs(in[i]-p*n) / math.Sqrt(n*p*(1-p))
				if sd > 5 {
					t.Errorf("%s: flag %s at %v has %v of %v units", name, f.Key(), p, in[i], n)
				}
				outside += btoi(sd > 4)
			}
		}
		if outside > 2 { // 0.06 are expected
			t.Errorf("%s: %d of 1,000 shares are off by more than four standard deviations", name, outside)
		}
	}
}

// F2: being in one flag, or in a trial, says nothing about being in another.
func TestF2FlagsAreIndependent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	set := flag.Set{}
	for i := range 40 {
		set.Flags = append(set.Flags, bands(fmt.Sprint("flag-", i)))
	}
	for i := range 20 { // trials of flags that would be alike but for the trial's salt
		f := stringFlag(fmt.Sprint("tried-", i))
		set.Flags = append(set.Flags, f)
		set.Allocations = append(set.Allocations, flag.Allocation{Trial: fmt.Sprint("trial-", i), Flag: f.Key, Salt: fmt.Sprint("trial-", i),
			Treatment: "on", Control: "off", Strata: []flag.Stratum{{Treatment: 10_000, Control: 10_000}}})
	}
	flags := compile(t, set).Flags()
	for name, id := range ids {
		in := make([][]bool, len(flags))
		for i, f := range flags {
			in[i] = make([]bool, population)
			for u := range in[i] {
				r := f.Evaluate(&Context{TargetingKey: id(u)})
				band, banded := r.Value.(int64)
				in[i][u] = banded && band <= 2 || r.Role == RoleTreatment // one in ten
			}
		}
		for range 100 {
			a, b := random.IntN(len(in)), random.IntN(len(in)-1)
			if b >= a {
				b++
			}
			n, both := 0.0, 0.0
			for u := range population {
				n += float64(btoi(in[a][u]))
				both += float64(btoi(in[a][u] && in[b][u]))
			}
			if sd := math.Abs(both-0.1*n) / math.Sqrt(0.09*n); sd > 4.5 { // 500 are compared
				t.Errorf("%s: of %v units in %s, %v are in %s", name, n, flags[a].Key(), both, flags[b].Key())
			}
		}
	}
}

// F3: salt and unit are told apart, however they are cut: no salt can hold the colon that ends it.
func TestF3SaltAndUnitAreToldApart(t *testing.T) {
	for _, pair := range [][2][2]string{{{"beta", "1user"}, {"beta1", "user"}}, {{"x", "Aa"}, {"x", "BB"}}, {{"a", "b:c"}, {"a.b", "c"}}, {{"flag-a", "u"}, {"flag-b", "u"}}} {
		if bucket.Hash(pair[0][0], pair[0][1]) == bucket.Hash(pair[1][0], pair[1][1]) {
			t.Errorf("%q hash alike", pair)
		}
	}
	colon := flag.Set{Flags: []flag.Flag{stringFlag("a", flag.Rule{Split: &flag.Split{Salt: "a:b", Weights: []flag.Share{{Variant: "on", Weight: 1}}}})}}
	if _, err := Compile(colon); err == nil || !strings.Contains(err.Error(), "salt") {
		t.Errorf("a salt with a colon: %v", err)
	}
}

// F4: the places of units are the same on every platform. The vectors were computed by an
// implementation in another language.
func TestF4GoldenPlaces(t *testing.T) {
	var golden []struct {
		Salt, Unit string
		Place      flag.Weight
	}
	data, err := os.ReadFile("testdata/places.json")
	if err == nil {
		err = json.Unmarshal(data, &golden)
	}
	if err != nil || len(golden) == 0 {
		t.Fatal(err, len(golden))
	}
	for _, v := range golden {
		split := &flag.Split{Salt: v.Salt, Weights: []flag.Share{{Variant: "off", Weight: v.Place}, {Variant: "on", Weight: 1}}}
		if got := compile(t, flag.Set{Flags: []flag.Flag{stringFlag("f", flag.Rule{Split: split})}}).Evaluate("f", &Context{TargetingKey: v.Unit}); got.Variant != "on" || got.Reason != ReasonSplit {
			t.Errorf("%.20q is not at place %d of %.20q: %+v", v.Unit, v.Place, v.Salt, got)
		}
	}
}

// F5: shares are half-open: a unit in bucket b is outside of a share of b, and inside of one of b+1;
// the same from the top for a trial's control.
func TestF5SharesAreHalfOpen(t *testing.T) {
	for i := range 200 {
		unit := Context{TargetingKey: fmt.Sprint("u", i)}
		place := flag.Weight(bucket.Of(bucket.Hash("f", unit.TargetingKey), flag.TotalWeight))
		in := func(w flag.Weight) bool {
			split := &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: w}}}
			return compile(t, flag.Set{Flags: []flag.Flag{stringFlag("f", flag.Rule{Split: split})}}).Evaluate("f", &unit).Variant == "on"
		}
		role := func(s flag.Stratum) Role {
			return compile(t, flag.Set{Flags: []flag.Flag{stringFlag("g")}, Allocations: []flag.Allocation{
				{Trial: "t", Flag: "g", Salt: "f", Treatment: "on", Control: "off", Strata: []flag.Stratum{s}}}}).Evaluate("g", &unit).Role
		}
		if in(place) || !in(place+1) {
			t.Errorf("bucket %d: in a share of %d %v, of %d %v", place, place, in(place), place+1, in(place+1))
		}
		if role(flag.Stratum{Treatment: place}) != RoleNone || role(flag.Stratum{Treatment: place + 1}) != RoleTreatment {
			t.Errorf("bucket %d: the treatment's border is not half-open", place)
		}
		rest := flag.TotalWeight - place
		if role(flag.Stratum{Control: rest - 1}) != RoleNone || role(flag.Stratum{Control: rest}) != RoleControl {
			t.Errorf("bucket %d: the control's border is not half-open", place)
		}
	}
}

// F5: so are slots and holdouts of layers.
func TestF5SlotsAreHalfOpen(t *testing.T) {
	for i := range 200 {
		unit := Context{TargetingKey: fmt.Sprint("u", i)}
		place := flag.Weight(bucket.Of(bucket.Hash("layer", unit.TargetingKey), flag.TotalWeight))
		tried := func(l flag.Layer) bool {
			f := stringFlag("f", flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight}}}})
			return compile(t, flag.Set{Flags: []flag.Flag{f}, Layers: []flag.Layer{l}}).Evaluate("f", &unit).Reason == ReasonSplit
		}
		slot := func(from, to flag.Weight) bool {
			return tried(flag.Layer{Key: "layer", Slots: []flag.Slot{{Flag: "f", From: from, To: to}}})
		}
		if !slot(place, place+1) || slot(0, place) || slot(place+1, flag.TotalWeight) {
			t.Errorf("the borders of a slot at %d are not half-open", place)
		}
		holdout := func(from flag.Weight) bool {
			return !tried(flag.Layer{Key: "layer", Global: true, Holdout: flag.TotalWeight - from})
		}
		if !holdout(place) || holdout(place+1) {
			t.Errorf("the border of a holdout at %d is not half-open", place)
		}
	}
}

// Who has no targeting key has no place in a layer, also where a split goes by something else. A
// holdout of nobody is none.
func TestLayersWantATargetingKey(t *testing.T) {
	f := stringFlag("f", flag.Rule{Split: &flag.Split{BucketBy: "account", Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight}}}})
	for name, test := range map[string]struct {
		layer flag.Layer
		key   string
		tried bool
	}{
		"slot": {flag.Layer{Key: "l", Slots: []flag.Slot{{Flag: "f", To: flag.TotalWeight}}}, "", false}, "slot with a key": {flag.Layer{Key: "l", Slots: []flag.Slot{{Flag: "f", To: flag.TotalWeight}}}, "u", true},
		"holdout": {flag.Layer{Key: "l", Global: true, Holdout: 1}, "", false}, "holdout of nobody": {flag.Layer{Key: "l", Global: true}, "", true}, "another's layer": {flag.Layer{Key: "l"}, "", true},
	} {
		r := compile(t, flag.Set{Flags: []flag.Flag{f}, Layers: []flag.Layer{test.layer}}).Evaluate("f", &Context{TargetingKey: test.key, Attributes: map[string]any{"account": 7}})
		if (r.Reason == ReasonSplit) != test.tried {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// F5: a share of nothing has nobody, and one of everything has everybody, also at the ends: units
// whose hashes are 0 and 2^32-1, as flagd's test kit has them.
func TestF5NobodyAndEverybody(t *testing.T) {
	for name, id := range ids {
		for _, w := range []flag.Weight{0, flag.TotalWeight} {
			f := ramp(t, w)
			split := compile(t, flag.Set{Flags: []flag.Flag{stringFlag("f", flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: w}}}})}}).Flag("f")
			for i := range population {
				c := Context{TargetingKey: id(i)}
				if in := split.Evaluate(&c).Reason == ReasonSplit; in != (w > 0) {
					t.Fatalf("%s: %s is in a share of %d: %v", name, c.TargetingKey, w, in)
				}
				if role := f.Evaluate(&c).Role; (role == RoleTreatment) != (w > 0) {
					t.Fatalf("%s: %s has role %s at a share of %d", name, c.TargetingKey, role, w)
				}
			}
		}
	}
	if bucket.Of(0, flag.TotalWeight) != 0 || bucket.Of(math.MaxUint32, flag.TotalWeight) != flag.TotalWeight-1 {
		t.Error("the first or the last hash is not in the first or the last place")
	}
}

// F6: what is no share is refused, before anybody is evaluated with it.
func TestF6WeightsAreChecked(t *testing.T) {
	for name, weights := range map[string]string{
		"fraction": `[{"variant":"on","weight":0.05}]`, "text": `[{"variant":"on","weight":"5"}]`, "not a number": `[{"variant":"on","weight":NaN}]`,
		"below": `[{"variant":"on","weight":-1}]`, "above": `[{"variant":"on","weight":100001}]`, "huge": `[{"variant":"on","weight":1e30}]`,
		"sum": `[{"variant":"on","weight":60000},{"variant":"off","weight":40001}]`, "overflow": `[{"variant":"on","weight":9223372036854775807},{"variant":"off","weight":9223372036854775807}]`,
	} {
		f, err := flag.DecodeFlag([]byte(`{"key":"f","kind":"release","type":"boolean","enabled":true,"variants":[{"name":"on","value":true},{"name":"off","value":false}],"rules":[{"split":{"weights":` + weights + `}}]}`))
		if err == nil {
			_, err = Compile(flag.Set{Flags: []flag.Flag{f}})
		}
		if err == nil {
			t.Errorf("%s: weights %s are accepted", name, weights)
		}
	}
}

// F7: what is published shares no memory with what its owner goes on to write to.
func TestF7SnapshotsAreTheirOwn(t *testing.T) {
	set := benchSet()
	s := compile(t, set)
	many := users(200)
	answers := func() (list []Result) {
		for _, f := range s.Flags() {
			for i := range many {
				list = append(list, f.Evaluate(&many[i]))
			}
		}
		return list
	}
	before := fmt.Sprint(answers())
	var wait sync.WaitGroup
	wait.Go(func() { answers() })
	for i := range set.Flags {
		f := &set.Flags[i]
		f.Enabled, f.DefaultVariant = false, "gone"
		for j := range f.Rules {
			f.Rules[j] = flag.Rule{Serve: "gone"}
		}
		for j := range f.Variants {
			f.Variants[j].Name = "gone"
			for k := range f.Variants[j].Value {
				f.Variants[j].Value[k] = 'x'
			}
		}
		for j := range f.Overrides {
			f.Overrides[j].Units[0] = many[0].TargetingKey
		}
		for k := range f.Definition {
			f.Definition[k] = 'x'
		}
	}
	for i := range set.Segments {
		set.Segments[i].When.Values[0][1] = 'x'
	}
	set.Allocations[0].Strata[0], set.Layers[0].Slots[0] = flag.Stratum{}, flag.Slot{}
	wait.Wait()
	if after := fmt.Sprint(answers()); after != before {
		t.Error("what was written to the set after it was compiled changed answers")
	}
}

// F8: while a share is raised in steps, evaluations see one whole step or another, and nobody goes
// back. Run with -race.
func TestF8PromotionWhileOthersEvaluate(t *testing.T) {
	steps := []flag.Weight{1_000, 5_000, 10_000, 25_000, 50_000}
	var current atomic.Pointer[Flag]
	current.Store(ramp(t, steps[0]))
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			treated := map[int]bool{}
			for round := range 20 {
				for i := range 500 {
					r := current.Load().Evaluate(&Context{TargetingKey: ids["sequential"](i)})
					if treated[i] && r.Role != RoleTreatment {
						t.Errorf("round %d: unit %d left the treatment", round, i)
						return
					}
					treated[i] = treated[i] || r.Role == RoleTreatment
					if (r.Trial != nil) != (r.Role != RoleNone) || (r.Variant == "on") != (r.Role == RoleTreatment) {
						t.Errorf("half of one step and half of another: %+v", r)
						return
					}
				}
			}
		})
	}
	for _, w := range steps[1:] {
		current.Store(ramp(t, w))
	}
	wait.Wait()
}

// F9: along a ramp nobody leaves the treatment, and up to 50 % no control user enters it; the shares
// are as asked for, in the group and outside.
func TestF9RampsAreMonotone(t *testing.T) {
	shares := []flag.Weight{0, 1, 1_000, 5_000, 10_000, 25_000, 50_000, 80_000, flag.TotalWeight}
	for name, id := range ids {
		before := make([]Role, population)
		for _, w := range shares {
			f := ramp(t, w)
			count := map[[2]int]float64{} // by group and role
			for i := range population {
				group := i % 20
				c := Context{TargetingKey: id(i)}
				if group == 0 {
					c.Attributes = map[string]any{"plan": "pro"}
				}
				role := f.Evaluate(&c).Role
				if before[i] == RoleTreatment && role != RoleTreatment {
					t.Fatalf("%s: %s left the treatment at %d", name, c.TargetingKey, w)
				}
				if w <= 50_000 && before[i] == RoleControl && role != RoleControl {
					t.Fatalf("%s: control %s became %s at %d", name, c.TargetingKey, role, w)
				}
				before[i] = role
				count[[2]int{min(group, 1), int(role)}]++
			}
			checkShare(t, name, w, count[[2]int{1, int(RoleTreatment)}], population*19/20, float64(w)/flag.TotalWeight)
			checkShare(t, name, w, count[[2]int{0, int(RoleTreatment)}], population/20, max(0.5, float64(w)/flag.TotalWeight))
			checkShare(t, name, w, count[[2]int{1, int(RoleControl)}], population*19/20, float64(min(w, flag.TotalWeight-w))/flag.TotalWeight)
		}
	}
}

func checkShare(t *testing.T, name string, w flag.Weight, got, n, p float64) {
	t.Helper()
	if math.Abs(got-n*p) > 4.5*math.Sqrt(n*p*(1-p)) {
		t.Errorf("%s at %d: %v of %v, want a share of %v", name, w, got, n, p)
	}
}
