package trial

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// The watch after a promotion. No control is left, so the treatment is held against its service
// level and against what the control did before. Both are weaker than the trial was: what else
// has changed since cannot be told apart, and the sentences say so.

// HistoryState compares a promoted treatment with the control's past.
type HistoryState struct {
	Seconds float64 `json:"seconds,omitempty"` // slower than this is bad; 0 for others
	// Control is what it showed in the trial, and Limit what the treatment may show: the upper
	// end of what the control's share may have been, and the guardrail's tolerance on top.
	Control  Count             `json:"control"`
	Limit    float64           `json:"limit"`
	Backstop evidence.Backstop `json:"backstop"`
	// Watched is what was counted since the promotion.
	Watched Count `json:"watched"`
}

// historyExposures of the control are needed to hold anything against its past.
const historyExposures = 100

// rememberControl freezes what the watch compares with. Values and throughput have no share to
// hold against.
func (s *State) rememberControl(spec *Spec) {
	for i := range s.Guardrails {
		g, st := &spec.Guardrails[i], &s.Guardrails[i]
		st.Alarm, st.History = false, nil
		if len(st.Bounds) == 0 {
			continue
		}
		b := &st.Bounds[max(len(st.Bounds)-2, 0)] // of the learnt bounds the p95
		limit := g.historyLimit(b.Control)
		if b.Control.Of < historyExposures || !(limit > 0 && limit < 0.99) {
			continue
		}
		st.History = &HistoryState{Seconds: b.Seconds, Control: b.Control, Limit: limit, Backstop: evidence.NewBackstop(limit)}
	}
}

// historyLimit is the largest bad share that the control's past and the tolerance allow. The past
// is a sample, so it is read two standard errors (of a Poisson count) on the safe side. Where
// higher is better, the bad share is that of the units without the event.
func (g *Guardrail) historyLimit(control Count) float64 {
	bad, of := float64(control.Bad), float64(max(control.Of, 1))
	slack := float64(2 * math.Sqrt(bad+1))
	if g.Better == BetterHigher {
		low := max(bad-slack, 0) / of
		return 1 - max(min(float64(low*(1-g.Relative)), low-g.Absolute), 0)
	}
	high := (bad + 2 + slack) / of
	return max(float64(high*(1+g.Relative)), high+g.Absolute)
}

// addWatch weighs the treatment's side of an interval.
func (s *State) addWatch(spec *Spec, iv *outcome.Interval, pull *outcome.Pull) {
	for i := range s.Guardrails {
		g, st := &spec.Guardrails[i], &s.Guardrails[i]
		r := newReading(g, iv, pull)
		if !r.shows(g, iv) {
			st.NoData++
			continue
		}
		st.NoData = 0
		if st.SLO != nil {
			t, _ := r.counts(g, st.SLO.Seconds)
			g.watchShare(&st.SLO.Together, &st.SLO.TogetherCount, t)
		}
		if h := st.History; h != nil {
			t, _ := r.counts(g, h.Seconds)
			if g.Better == BetterHigher {
				t.Bad = t.Of - t.Bad
			}
			g.watchShare(&h.Backstop, &h.Watched, t)
		}
	}
}

// shows reports whether the treatment's part of the interval says anything.
func (r *reading) shows(g *Guardrail, iv *outcome.Interval) bool {
	if r.pulled || g.Event != "" {
		return r.t.Of > 0 && r.t.Possible()
	}
	return iv.Treatment.Requests > 0 && iv.Treatment.Consistent() && g.exposed(r.treatment)
}

// watch looks after a promoted treatment.
func (s State) watch(spec *Spec, iv *outcome.Interval) (State, []Action) {
	if why, blamed, ok := s.catastrophe(spec, iv); ok {
		s.Blamed = blamed
		return s.end(ResultRolledBack, why, ActionDemote)
	}
	worse, fresh, healed := s.watchAlarms(spec)
	if worse >= 0 {
		s.Why = s.watchAlarmSentence(spec, worse)
		if spec.OnWatch == WatchRollBack && spec.Guardrails[worse].Mode == ModeEnforce {
			s.Blamed = []string{spec.Guardrails[worse].Name}
			return s.end(ResultRolledBack, "Promotion taken back. "+s.Why, ActionDemote)
		}
	} else if healed {
		s.Why = "Promoted and watched; what looked worse is back within its limit."
	}
	switch {
	case s.StepElapsed >= spec.Watch && worse >= 0:
		return s.end(ResultPromoted, "The watch ends with an alarm. "+s.Why)
	case s.StepElapsed >= spec.Watch:
		return s.end(ResultPromoted, s.watchedSentence(spec))
	case fresh:
		return s, []Action{{ActionAlarm}}
	}
	return s, nil
}

// watchAlarms brings the alarms of the watch up to date. worse is a guardrail that alarms now
// (one that may take the promotion back comes first), -1 for none.
func (s *State) watchAlarms(spec *Spec) (worse int, fresh, healed bool) {
	worse = -1
	for i := range s.Guardrails {
		g, st := &spec.Guardrails[i], &s.Guardrails[i]
		if g.Mode == ModeShadow {
			continue
		}
		on := st.History != nil && st.History.Backstop.Breached(spec.Alpha) ||
			st.SLO != nil && st.SLO.Together.Breached(spec.HoldAlpha)
		fresh = fresh || on && !st.Alarm
		healed = healed || !on && st.Alarm
		st.Alarm = on
		if on && (worse < 0 || g.Mode == ModeEnforce && spec.Guardrails[worse].Mode != ModeEnforce) {
			worse = i
		}
	}
	return worse, fresh, healed
}
