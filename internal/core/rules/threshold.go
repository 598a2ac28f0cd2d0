package rules

import "fmt"

const (
	maxErrors    = 0.01 // share of bad requests that the documentation of all three examples allows
	foundingMean = 0.1  // seconds
)

// threshold judges the treatment alone, window by window, by fixed limits, and fails when limit
// windows did, in a row or not.
//
// Argo Rollouts fails an analysis when the failed measurements are more than failureLimit, Flagger
// a canary when the failed checks reach threshold. To both a window without requests is a failed
// one: no value of a rate meets a condition.
type threshold struct {
	strict     bool    // errors must be under the limit, not only at most
	maxMean    float64 // in seconds; 0: any
	limit      int     // bad windows that fail
	emptyFails bool

	windows, bad int
}

func (t *threshold) window(w window) (string, bool) {
	t.windows++
	fault := t.fault(w.treatment)
	if fault == "" {
		return "", true
	}
	t.bad++
	if t.limit > 1 {
		fault += fmt.Sprintf("; it is bad window %d of %d that the rule fails with", t.bad, t.limit)
	}
	return fault, t.bad < t.limit
}

// fault says what is wrong with a window; empty if nothing is.
func (t *threshold) fault(c counts) string {
	switch {
	case c.requests == 0:
		if t.emptyFails {
			return "no requests in the window"
		}
	case t.strict && c.errors() >= maxErrors:
		return fmt.Sprintf("%d of %d requests failed, %.2g %%; the rule wants less than 1 %%", c.bad, c.requests, 100*c.errors())
	case c.errors() > maxErrors:
		return fmt.Sprintf("%d of %d requests failed, %.2g %%; the rule allows 1 %%", c.bad, c.requests, 100*c.errors())
	case t.maxMean > 0 && c.timed > 0 && c.mean() >= t.maxMean:
		return fmt.Sprintf("requests took %.0f ms in the mean; the rule wants less than %.0f ms", 1000*c.mean(), 1000*t.maxMean)
	}
	return ""
}

func (t *threshold) idle() string {
	return fmt.Sprintf("%d of %d windows were bad; the rule fails with %d", t.bad, t.windows, t.limit)
}
