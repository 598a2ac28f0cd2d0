package trial

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestEvidenceOfAnotherVersionStartsAnew goes on with a state that an earlier version has stored,
// whose evidence this one cannot read.
func TestEvidenceOfAnotherVersionStartsAnew(t *testing.T) {
	stored, err := os.ReadFile("testdata/state-of-rules-0.json")
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(stored, &s); err != nil {
		t.Fatal(err)
	}
	var fresh BoundState // it also stored sums of nothing
	if err := json.Unmarshal([]byte(`{"guard":{"relative":0.2},"ratio":{"logL":[0,0,0]}}`), &fresh); err != nil {
		t.Error(err)
	}
	if s.Rules != 0 || s.Seq == 0 || s.Treatment.Requests == 0 || s.Guardrails[0].Treatment.Of == 0 {
		t.Fatalf("the state is not what was stored: %+v", s)
	}
	spec := rollout(func(s *Spec) { s.Interval = Duration(time.Second) })
	requests := s.Treatment.Requests
	next, _ := feed(spec, s, fine)
	g := next.Guardrails[0]
	if next.Rules != Rules || next.Treatment.Requests <= requests {
		t.Errorf("rules %d, %d requests after %d", next.Rules, next.Treatment.Requests, requests)
	}
	if want := fine.Treatment.AtRiskUnits; g.Treatment.Of != want || g.Bounds[0].Guard.Relative == 0 {
		t.Errorf("the new evidence is of %d units, want %d; guard %+v", g.Treatment.Of, want, g.Bounds[0].Guard)
	}
	next, _ = feed(spec, next, repeat(fine, 3_000)...)
	if next.PromotedAt.IsZero() || next.Guardrails[0].Verdict != VerdictSafe {
		t.Errorf("it has not gone on: %s %s, errors %s", next.Phase, next.Why, next.Guardrails[0].Verdict)
	}
}

// Evidence of this version that is damaged is no other version's.
func TestDamagedEvidenceIsAnError(t *testing.T) {
	spec := ordered()
	s, _ := feed(spec, Start(spec, 1, day0), fine)
	stored, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(string(stored), `"state":"`, `"state":"AAAA`, 1)
	if err := json.Unmarshal([]byte(damaged), &s); err == nil || damaged == string(stored) {
		t.Errorf("damaged evidence was taken")
	}
}
