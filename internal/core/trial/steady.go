package trial

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// The steady phase. Before the fault of an experiment is on, both arms have the control variant,
// and everything that the experiment will be judged by has to look well: a system that is in
// trouble is not tried, and evidence that does not come in would not stop the fault later.

// steady looks at an experiment whose fault is not on yet: it waits, puts the fault on, or ends
// aborted. Nothing can be the fault's, so there is no harm to find.
func (s State) steady(spec *Spec, iv *outcome.Interval) (State, []Action) {
	if why, ok := s.unsteady(spec); ok {
		return s.end(ResultAborted, s.notStarted(why))
	}
	if s.Phase == PhasePaused {
		if s.pastDeadline(spec) {
			return s.end(ResultAborted, s.notStarted("It was paused until its deadline of "+spec.Deadline.String()+"."))
		}
		return s, nil
	}
	why, waits := s.awaits(spec, iv)
	switch {
	case waits && s.steadyOver(spec):
		return s.end(ResultAborted, s.notStarted(why))
	case waits:
		s.Phase, s.Why = PhaseSteady, s.steadyLead(spec)+" "+why
		return s, nil
	case spec.FourEyes && !s.Approved:
		return s.awaitApproval(spec)
	}
	return s.inject(spec)
}

// awaitApproval waits for a second person, with nothing else missing. The steady phase does not get
// older by that: if something goes wrong meanwhile, it has as long to heal as at first.
func (s State) awaitApproval(spec *Spec) (State, []Action) {
	if s.UpdatedAt.Sub(s.StartedAt) >= time.Duration(ApprovalTime) {
		return s.end(ResultAborted, s.notStarted("Nobody else approved it within "+ApprovalTime.String()+"."))
	}
	s.StepElapsed, s.StepStartedAt = spec.SteadyTime, s.UpdatedAt.Add(-time.Duration(spec.SteadyTime))
	s.Phase, s.Why = PhaseSteady, s.steadyLead(spec)+" All looks well: only the approval is missing."
	return s, nil
}

// unsteady gives what cannot heal, so that waiting for it would be in vain.
func (s *State) unsteady(spec *Spec) (string, bool) {
	if n := s.Treatment.Injected + s.Control.Injected; n > 0 {
		return calls(n) + " hit by its fault, which was not on. Check that all services run the same version of the client.", true
	}
	if s.Sample.Invalid {
		return s.sampleSentence(), true
	}
	if i, ok := s.alarmed(spec); ok {
		return "The arms differ although both have the control. " + s.estimate(spec, i), true
	}
	return "", false
}

// awaits says what is missing before the fault may be on.
func (s *State) awaits(spec *Spec, iv *outcome.Interval) (string, bool) {
	if why, ok := s.unheard(spec, iv); ok {
		return why, true
	}
	if i, ok := s.untold(spec); ok {
		return "Waiting for outcomes of " + spec.Guardrails[i].Name + " in both arms.", true
	}
	if i, ok := s.sloOfBoth(spec); ok {
		return s.sloText(spec, i, s.Guardrails[i].SLO.TogetherCount), true
	}
	if bad := share(iv.Control.Bad, iv.Control.Requests); bad > catastropheControl {
		return ratio(bad) + " of the requests fail without the fault: nobody could tell what it adds.", true
	}
	if left := spec.SteadyTime - s.StepElapsed; left > 0 {
		return "The fault is put on in " + span(time.Duration(left)) + " if all stays well.", true
	}
	return "", false
}

// steadyOver reports whether the steady phase has had its time: twice as long as it takes or, if
// that is longer, until a guardrail that says nothing is known to be silent. The clock counts too,
// observed or not.
func (s *State) steadyOver(spec *Spec) bool {
	extra := spec.SteadyTime
	for i := range spec.Guardrails {
		if g := &spec.Guardrails[i]; g.Mode != ModeShadow {
			extra = max(extra, Duration(g.silence(spec))*spec.Interval)
		}
	}
	limit := spec.SteadyTime + extra
	return s.StepElapsed >= limit || s.UpdatedAt.Sub(s.StepStartedAt) >= time.Duration(limit)
}

// inject puts the fault on. What was seen before is kept as the baseline, and evidence starts
// anew: of the past only the bounds of latency stay, which are read off the control anyway.
func (s State) inject(spec *Spec) (State, []Action) {
	s.Baseline = &Baseline{From: s.StartedAt, To: s.UpdatedAt, Treatment: s.Treatment, Control: s.Control}
	s.Steady, s.Phase, s.InjectedAt = false, PhaseRunning, s.UpdatedAt
	s.Treatment, s.Control, s.Sample = Totals{}, Totals{}, SampleState{}
	s.NoData, s.Elapsed, s.Exemplars = 0, 0, nil
	for i := range s.Guardrails {
		s.Guardrails[i] = s.Guardrails[i].anew(spec, &spec.Guardrails[i])
	}
	s.beginStep()
	s.Why = fmt.Sprintf("The fault is on for %s, after a steady state of %s with %s.", s.place(spec),
		span(s.Baseline.To.Sub(s.Baseline.From)), counted(s.Baseline.Treatment.Requests+s.Baseline.Control.Requests, "request"))
	return s, []Action{{ActionInject}}
}

// anew is the guardrail without evidence, with the latency bounds that it has learnt.
func (s *GuardrailState) anew(spec *Spec, g *Guardrail) GuardrailState {
	next := newGuardrail(spec, g)
	for i := range s.Bounds {
		next.addBound(g, s.Bounds[i].Seconds)
	}
	next.Learning, next.Learnt = s.Learning, s.Learnt
	return next
}

// restartSteady has the steady phase begin again, after a pause.
func (s *State) restartSteady() {
	s.Phase = PhaseSteady
	s.beginStep()
}

func (s *State) steadyLead(spec *Spec) string {
	lead := "Before the fault, both arms have the control, at " + s.place(spec) + "."
	if spec.FourEyes && !s.Approved {
		lead += " Somebody else than who started it has to approve it by " + s.StartedAt.Add(time.Duration(ApprovalTime)).UTC().Format("15:04 UTC") + "."
	}
	return lead
}

func (s *State) notStarted(why string) string { return "Stopped before the fault was ever on. " + why }

// sloOfBoth gives a guardrail that counts, whose service level is broken by an arm or by both.
func (s *State) sloOfBoth(spec *Spec) (int, bool) {
	for i := range s.Guardrails {
		slo := s.Guardrails[i].SLO
		if slo != nil && spec.Guardrails[i].Mode != ModeShadow &&
			(slo.Treatment.Breached(spec.HoldAlpha) || slo.Together.Breached(spec.HoldAlpha)) {
			return i, true
		}
	}
	return 0, false
}
