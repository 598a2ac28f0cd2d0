// Package rules says what other tools' rules would have decided on the same outcomes: the fixed
// thresholds of deployment controllers, the rank test of a canary judge, and a significance test
// that is repeated at each look. They are here to compare with, in `rollout replay --rule` and in
// `seatrial simulate`; no trial is decided by them.
//
// Each rule is set up as its own documentation shows it and reads requests, as such tools do, not
// units. The rules watch for as long as they are given intervals and have no plan of their own,
// so none of them promotes: what they can say against a treatment is roll back.
package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// The names of the rules.
const (
	Founding     = "founding"    // errors under 1 % and mean latency under 100 ms, in each minute
	FoundingHour = "founding-1h" // the same in each hour
	Argo         = "argo"        // errors at most 1 % of 5 min, fails with the 4th window (failureLimit 3)
	Flagger      = "flagger"     // errors at most 1 % of 1 min, fails with the 10th window (threshold 10)
	Kayenta      = "kayenta"     // Mann-Whitney on the error rates of each minute, judged every 10 min
	ZTest        = "z-test"      // pooled two-proportion z-test at one-sided 5 %, repeated every minute
)

// Names are the rules that [New] knows.
var Names = []string{Founding, FoundingHour, Argo, Flagger, Kayenta, ZTest}

// Action is what a rule wants.
type Action string

// The actions.
const (
	Continue Action = "continue"
	RollBack Action = "rollback"
)

// Decision is what a rule has decided so far. Roll back is final.
type Decision struct {
	Action Action    `json:"action"`
	At     time.Time `json:"at,omitzero"` // end of the interval that decided; zero for continue
	Why    string    `json:"why"`
}

// Rule is a rule that is given a trial's intervals, oldest first. Intervals of any length are
// gathered into the rule's windows, which begin with the first interval: an interval counts in
// the window that it ends in, and one that is longer than a window is a window of its own. Time
// of which no interval tells is skipped. A Rule is not safe for concurrent use.
type Rule interface {
	Add(iv outcome.Interval)
	Decision() Decision
}

// New starts a rule; name is one of [Names].
func New(name string) (Rule, error) {
	switch name {
	case Founding:
		return newRunner(time.Minute, &threshold{strict: true, limit: 1, maxMean: foundingMean}), nil
	case FoundingHour:
		return newRunner(time.Hour, &threshold{strict: true, limit: 1, maxMean: foundingMean}), nil
	case Argo:
		return newRunner(5*time.Minute, &threshold{limit: 4, emptyFails: true}), nil
	case Flagger:
		return newRunner(time.Minute, &threshold{limit: 10, emptyFails: true}), nil
	case Kayenta:
		return newRunner(time.Minute, &rankTest{}), nil
	case ZTest:
		return newRunner(time.Minute, &zTest{}), nil
	}
	return nil, fmt.Errorf("rule %q is not known: use %s", name, strings.Join(Names, ", "))
}

// judge looks at each window; ok is false when it wants a roll-back.
type judge interface {
	window(w window) (why string, ok bool)
	idle() string // why it has nothing against the treatment yet
}

// runner gathers intervals into windows and has the judge look at each.
type runner struct {
	size      time.Duration
	judge     judge
	end       time.Time // of the open window
	intervals int       // in the open window
	open      window
	decision  Decision
}

func newRunner(size time.Duration, j judge) *runner { return &runner{size: size, judge: j} }

// Decision is what the rule says of all intervals so far.
func (r *runner) Decision() Decision {
	if r.decision.Action == RollBack {
		return r.decision
	}
	return Decision{Action: Continue, Why: r.judge.idle()}
}

// Add takes the next interval into account. After a roll-back it changes nothing, nor does an
// interval in which nothing was tried yet.
func (r *runner) Add(iv outcome.Interval) {
	if r.decision.Action == RollBack || iv.Steady {
		return
	}
	if r.end.IsZero() {
		r.end = iv.From.Add(r.size)
	}
	if !iv.From.Before(r.end) { // time was skipped
		r.close(r.end, iv.From)
	}
	if r.decision.Action == RollBack {
		return
	}
	r.intervals++
	r.open.treatment.add(&iv.Treatment)
	r.open.control.add(&iv.Control)
	if !iv.To.Before(r.end) {
		r.close(iv.To, iv.To)
	}
}

// close judges the open window, if any interval fell into it, and opens the one that next is in.
func (r *runner) close(at, next time.Time) {
	w, intervals := r.open, r.intervals
	r.open, r.intervals = window{}, 0
	r.end = r.end.Add((next.Sub(r.end)/r.size + 1) * r.size)
	if intervals == 0 {
		return
	}
	if why, ok := r.judge.window(w); !ok {
		r.decision = Decision{Action: RollBack, At: at, Why: why}
	}
}

// window holds what one window showed.
type window struct{ treatment, control counts }

type counts struct {
	requests, bad uint64
	timed         uint64  // requests with a latency
	seconds       float64 // sum of latencies
}

func (c *counts) add(a *outcome.Arm) {
	c.requests += a.Requests
	c.bad += min(a.Bad, a.Requests)
	c.timed += a.Latency.Count()
	c.seconds += a.Latency.Sum
}

// errors is the share of bad requests; NaN without requests.
func (c counts) errors() float64 { return float64(c.bad) / float64(c.requests) }

// mean latency in seconds; NaN without latencies.
func (c counts) mean() float64 { return c.seconds / float64(c.timed) }
