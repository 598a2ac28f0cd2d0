package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

const (
	// glance is how often a trial is looked at: often enough to miss none of its intervals.
	glance = 200 * time.Millisecond
	// arrival is how long spans may take from the shop to the trace store.
	arrival = 10 * time.Second
)

// play sets a scene up, starts its trial and follows it to its end.
func (w *world) play(ctx context.Context, t *timeline, s scene) (SceneResult, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*sceneLimit, fmt.Errorf("no end after %v", 2*sceneLimit))
	defer cancel()
	if s.prepare != nil {
		told, err := s.prepare(ctx, w)
		if err != nil {
			return SceneResult{}, err
		}
		t.add(event{Change: changeNote, Text: told})
	}
	if s.spec.Goal == trial.GoalSurvive {
		if err := w.busy(ctx, paymentTrouble().Point); err != nil {
			return SceneResult{}, err
		}
	}
	begun := time.Now()
	started, err := w.api.StartTrial(ctx, s.spec, api.Write{Reason: "demo: " + s.title})
	if err != nil {
		return SceneResult{}, err
	}
	t.trial(nil, started)
	ended, err := w.follow(ctx, t, s, started)
	if err != nil {
		return SceneResult{}, err
	}
	result := resultOf(s, ended)
	result.Seconds = rounded(time.Since(begun))
	if len(ended.State.Blamed) > 0 {
		result.Traces, err = w.evidence(ctx, ended.State.Exemplars)
	}
	t.evidence(result)
	return result, err
}

// busy waits until the shop has told of calls at a point: an experiment starts only where there are.
func (w *world) busy(ctx context.Context, point string) error {
	for {
		points, err := w.api.Points(ctx, "")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(points, func(p api.Point) bool { return p.Name == point && !p.LastTraffic.IsZero() }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no calls at point %s: %w", point, context.Cause(ctx))
		case <-time.After(glance):
		}
	}
}

// follow tells every change of the trial until it has ended.
func (w *world) follow(ctx context.Context, t *timeline, s scene, now api.Trial) (api.Trial, error) {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for !now.State.Ended() {
		select {
		case <-ctx.Done():
			return now, context.Cause(ctx)
		case <-ticker.C:
		}
		before := now
		var err error
		if now, err = w.api.Trial(ctx, s.spec.Name); err != nil {
			return now, err
		}
		t.trial(&before, now)
		t.progress(now, w.load.Stats())
		if err := s.incident.look(ctx, w, t, now); err != nil {
			return now, err
		}
	}
	return now, nil
}

// incident is something that happens to everybody while a trial runs. A nil incident is none.
type incident struct {
	step  int // of the trial at which it begins, from 0
	lasts time.Duration

	until  time.Time   // zero: has not begun
	before trial.State // when it began
	over   bool
}

// look lets the incident begin when the trial is where it should, and tells of its end.
func (i *incident) look(ctx context.Context, w *world, t *timeline, now api.Trial) error {
	switch {
	case i == nil || i.over || now.State.Step < i.step:
		return nil
	case i.until.IsZero():
		i.until, i.before = time.Now().Add(i.lasts), now.State
		t.add(event{Change: changeIncident, Text: fmt.Sprintf("The warehouse database fails over: for %v, three in ten stock checks fail, whoever asks.", i.lasts)})
		return w.incident(ctx, i.lasts)
	case time.Now().After(i.until):
		i.over = true
		t.add(event{Change: changeCalm, Text: fmt.Sprintf("The warehouse database is back. Meanwhile %s of the requests with the treatment failed, and %s in the control.",
			since(i.before.Treatment, now.State.Treatment), since(i.before.Control, now.State.Control))})
	}
	return nil
}

// since gives the share of requests that failed between two totals.
func since(before, now trial.Totals) string {
	requests := now.Requests - before.Requests
	if requests == 0 {
		return "none"
	}
	return fmt.Sprintf("%.0f %%", float64(now.Bad-before.Bad)*100/float64(requests))
}

func resultOf(s scene, ended api.Trial) SceneResult {
	state := ended.State
	r := SceneResult{
		Name: s.name, Verdict: state.Result, Trial: ended.Spec.Name, Why: state.Why,
		UsersAffected: state.Treatment.Units, RequestsAffected: state.Treatment.Requests, RequestsFailed: state.Treatment.Bad,
	}
	if len(state.Blamed) > 0 {
		r.Guardrail = state.Blamed[0]
	}
	return r
}

// evidence gives the ids of the traces that the trial's exemplars name, as far as the trace store
// has them. Spans may still be on their way.
func (w *world) evidence(ctx context.Context, exemplars []outcome.Exemplar) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	var found []string
	for _, e := range exemplars {
		ok, err := w.traceArrives(ctx, e)
		if err != nil {
			return found, err
		}
		if ok && len(found) < tracesWanted {
			found = append(found, e.TraceID)
		}
	}
	return found, nil
}

// traceArrives waits until the trace is in the store with its root and the failed request, or ctx
// ends. What a service did for a request ends, and is sent, before the request.
func (w *world) traceArrives(ctx context.Context, e outcome.Exemplar) (bool, error) {
	for {
		trace, err := w.api.Trace(ctx, e.TraceID)
		switch {
		case err == nil && explains(trace, e.SpanID):
			return true, nil
		case ctx.Err() != nil:
			return false, nil
		case err != nil && !api.NotFound(err):
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(glance):
		}
	}
}

// explains reports whether the trace has its root and the span of the failed request.
func explains(t api.Trace, spanID string) bool {
	root, failed := false, false
	for _, s := range t.Spans {
		root = root || s.ParentSpanID == ""
		failed = failed || s.SpanID == spanID
	}
	return root && failed
}

func rounded(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }
