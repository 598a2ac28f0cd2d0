package trial

import (
	"slices"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Clients are told which tracked events to count, and how, and of nothing else.
func TestAllocationNamesTheEvents(t *testing.T) {
	spec := Spec{Name: "t", Steps: []Step{{Share: 100}}, Guardrails: []Guardrail{
		{Name: "errors", Metric: MetricErrors},
		{Name: "purchases", Metric: MetricEvent, Event: "purchase", Unit: UnitKey},
		{Name: "refunds", Metric: MetricEvent, Event: "refund", Unit: UnitRequest},
		{Name: "basket", Metric: MetricValue, Event: "basket", Unit: UnitRequest},
		{Name: "basket in shadow", Metric: MetricValue, Event: "basket", Unit: UnitRequest, Mode: ModeShadow},
		{Name: "pulled", Metric: MetricEvent, Event: "pulled", Prometheus: &PromSource{}},
	}}
	want := []flag.Event{{Name: "purchase", Count: flag.CountUnits}, {Name: "refund", Count: flag.CountRequests}, {Name: "basket", Count: flag.CountValues}}
	for _, phase := range []Phase{PhaseRunning, PhaseWatching} {
		if a, ok := spec.Allocation(State{Phase: phase}); !ok || !slices.Equal(a.Events, want) {
			t.Errorf("%s: events %v, want %v", phase, a.Events, want)
		}
	}
}
