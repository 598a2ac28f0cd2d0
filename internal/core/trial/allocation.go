package trial

import (
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Version identifies trial, attempt and step: outcomes carry it, so that what was caused under
// one step is never counted under another. The steady phase of an experiment has a version of its
// own, which for those who count units is one of another attempt, so that a unit is new again when
// the fault is on.
func (s *State) Version(spec Spec) string {
	if s.Steady {
		return fmt.Sprintf("%s.%d.steady.%d", spec.Name, s.Attempt, s.Step)
	}
	return fmt.Sprintf("%s.%d.%d", spec.Name, s.Attempt, s.Step)
}

// Allocation gives what the trial makes of its flag now. False means nothing: the trial is over,
// or has no flag (cohorts).
func (spec Spec) Allocation(s State) (flag.Allocation, bool) {
	if s.Ended() || spec.Cohorts != nil {
		return flag.Allocation{}, false
	}
	treatment := spec.Treatment
	if s.Steady {
		treatment = spec.Control
	}
	return flag.Allocation{
		Trial: spec.Name, Flag: spec.Flag,
		Version: s.Version(spec), Step: s.Step, Salt: spec.Salt,
		Treatment: treatment, Control: spec.Control,
		Audience: spec.Audience,
		Strata:   spec.strata(s),
		Events:   spec.events(),
		Fault:    spec.Goal == GoalSurvive && !s.Steady,
	}, true
}

// events are what the guardrails need evaluators to count.
func (spec Spec) events() (list []flag.Event) {
	for i := range spec.Guardrails {
		g := &spec.Guardrails[i]
		e := flag.Event{Name: g.Event, Count: flag.CountUnits}
		switch {
		case g.Prometheus != nil || g.Metric != MetricEvent && g.Metric != MetricValue:
			continue
		case g.Metric == MetricValue:
			e.Count = flag.CountValues
		case g.Unit == UnitRequest:
			e.Count = flag.CountRequests
		}
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list
}

// strata gives the shares that hold: each group step that was reached, and the largest share
// for everybody. Control is as large as treatment, up to what is left. Because a group's share
// is at most 50 %, treatment : control is the same in every stratum, which lets the arms be
// compared without stratifying.
func (spec Spec) strata(s State) []flag.Stratum {
	if s.Phase == PhaseWatching {
		return []flag.Stratum{{Treatment: flag.TotalWeight}}
	}
	var strata []flag.Stratum
	everybody := flag.Weight(0)
	for _, step := range spec.Steps[:s.Step+1] {
		if len(step.Segments) == 0 {
			everybody = max(everybody, step.Share)
			continue
		}
		strata = append(strata, flag.Stratum{Segments: step.Segments, Treatment: step.Share, Control: step.Share})
	}
	if everybody > 0 {
		strata = append(strata, flag.Stratum{Treatment: everybody, Control: min(everybody, flag.TotalWeight-everybody)})
	}
	return strata
}

// treatmentShare is the chance that a newly exposed unit of either arm is in the treatment; 0 if
// it is not known.
func (spec *Spec) treatmentShare(s *State) float64 {
	if spec.Cohorts != nil {
		return float64(spec.Cohorts.Share) / flag.TotalWeight
	}
	share := spec.Steps[s.Step].Share
	if len(spec.Steps[s.Step].Segments) > 0 || share <= half {
		return 0.5
	}
	return float64(share) / flag.TotalWeight
}
