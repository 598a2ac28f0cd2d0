package demo

import (
	"testing"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/resilience"
)

// TestPlansAreValid checks what the control plane would refuse only when the demo is under way.
func TestPlansAreValid(t *testing.T) {
	flags, err := demoFlags()
	if err != nil {
		t.Fatal(err)
	}
	set := flag.Set{Environment: "demo", Flags: flags, Segments: demoSegments()}
	if err := set.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenes() {
		spec := trial.Normalize(s.spec)
		if err := spec.Validate(set); err != nil {
			t.Errorf("scene %s: %v", s.name, err)
		}
		if s.incident != nil && s.incident.step >= len(spec.Steps) {
			t.Errorf("scene %s: its incident would never come", s.name)
		}
	}
}

func TestPolicyAndFaultAreValid(t *testing.T) {
	if err := paymentPolicy().Validate(); err != nil {
		t.Error(err)
	}
	if err := paymentTrouble().Validate(); err != nil {
		t.Error(err)
	}
	kinds := map[fault.Kind]bool{}
	for _, f := range paymentTrouble().Faults {
		kinds[f.Kind] = true
	}
	if len(kinds) != 3 {
		t.Errorf("the trouble has kinds %v, want errors, latency and cancellations", kinds)
	}
	if policy := paymentPolicy(); policy.Retry == nil || policy.Breaker == nil || policy == (resilience.Policy{}) {
		t.Error("the policy protects nothing")
	}
}
