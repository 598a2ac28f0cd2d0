package intervals

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// hit is a point of n calls of an arm that a fault has hit.
func hit(key int, end int64, arm string, f Fault, n uint64) Point {
	return calls(key, end-1, end, n, func(p *Point) { p.Arm, p.Fault = arm, f })
}

func TestInjectionsAddUpByArmAndPlace(t *testing.T) {
	a := expecting(t, Limits{})
	slow, failing := Fault{"payment", "latency", "before"}, Fault{"payment", "error", "before"}
	a.AddOutcomes([]Point{
		hit(1, 10, outcome.ArmTreatment, slow, 3), hit(2, 10, outcome.ArmTreatment, failing, 5), hit(3, 10, outcome.ArmControl, slow, 1),
		hit(1, 10, outcome.ArmTreatment, slow, 3), // sent again
		hit(1, 20, outcome.ArmTreatment, slow, 4), hit(4, 10, outcome.ArmTreatment, Fault{"catalog", "error", "after"}, 0),
	})
	got := a.Close("t", "t.1.0")
	want := []outcome.Injection{{Point: "payment", Kind: "error", Phase: "before", Calls: 5}, {Point: "payment", Kind: "latency", Phase: "before", Calls: 8}}
	if got.Treatment.Injected != 12 || got.Control.Injected != 1 || !reflect.DeepEqual(got.Injections, want) {
		t.Errorf("treatment %d, control %d, %+v", got.Treatment.Injected, got.Control.Injected, got.Injections)
	}
	if again := a.Close("t", "t.1.0"); again.Treatment.Injected != 0 || again.Injections != nil {
		t.Errorf("the next interval begins with %+v", again)
	}
	if s := a.Stats(); s.Accepted != 5 || s.Duplicates != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestInjectionsAreBounded(t *testing.T) {
	a := expecting(t, Limits{})
	for i := range 3 * outcome.MaxInjections {
		a.AddOutcomes([]Point{hit(i, 10, outcome.ArmTreatment, Fault{fmt.Sprint("p", i), "error", "before"}, 2)})
	}
	if got := a.Close("t", "t.1.0"); len(got.Injections) != outcome.MaxInjections || got.Treatment.Injected != 6*outcome.MaxInjections {
		t.Errorf("%d places, %d calls", len(got.Injections), got.Treatment.Injected)
	}
}

func TestImpossibleInjectionsAreInvalid(t *testing.T) {
	long := strings.Repeat("x", maxFaultName+1)
	for name, p := range map[string]Point{
		"no point":       hit(1, 10, outcome.ArmTreatment, Fault{"", "error", "before"}, 1),
		"no kind":        hit(1, 10, outcome.ArmTreatment, Fault{"p", "", "before"}, 1),
		"no phase":       hit(1, 10, outcome.ArmTreatment, Fault{"p", "error", ""}, 1),
		"a long name":    hit(1, 10, outcome.ArmTreatment, Fault{long, "error", "before"}, 1),
		"no arm":         hit(1, 10, "", Fault{"p", "error", "before"}, 1),
		"too many calls": hit(1, 10, outcome.ArmTreatment, Fault{"p", "error", "before"}, maxCount+1),
	} {
		a := expecting(t, Limits{})
		a.AddOutcomes([]Point{p})
		if got, s := a.Close("t", "t.1.0"), a.Stats(); s.Invalid != 1 || got.Treatment.Injected != 0 || got.Injections != nil {
			t.Errorf("%s: %+v, %d calls", name, s, got.Treatment.Injected)
		}
	}
}
