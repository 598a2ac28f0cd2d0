package resilience

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const fullPolicy = `{"timeout":"2s","tryTimeout":"200ms",
 "retry":{"maxAttempts":3,"baseDelay":"20ms","maxDelay":"1s","budget":0.1},
 "breaker":{"consecutiveFailures":5,"failureRatio":0.5,"window":"10s","minCalls":20,"openFor":"5s","probes":1,
            "slowRatio":0.8,"slowCall":"1s"},
 "bulkhead":{"maxConcurrent":50,"maxQueue":100,"maxWait":"100ms"},
 "rateLimit":{"perSecond":100,"burst":20,"maxWait":"50ms"},
 "hedge":{"quantile":0.95,"max":1,"budget":0.05},
 "fallback":{"on":["open","full","limited","timeout","failure"]}}`

// otherPolicy has what cannot stand beside that.
const otherPolicy = `{"breaker":{"failureRatio":0.5,"windowCalls":100,"minCalls":50},"adaptive":{"initial":20,"min":5,"max":200},
 "bulkhead":{"maxQueue":10},"hedge":{"delay":"50ms"},"fallback":{"on":[]}}`

func TestParsePolicy(t *testing.T) {
	cases := []struct {
		name, doc string
		want      Policy
		problems  []string // parts of the error, in order
	}{
		{name: "everything", doc: fullPolicy, want: Policy{
			Timeout: 2 * time.Second, TryTimeout: 200 * time.Millisecond,
			Retry: &RetryPolicy{MaxAttempts: 3, BaseDelay: 20 * time.Millisecond, MaxDelay: time.Second, Budget: 0.1},
			Breaker: &BreakerPolicy{ConsecutiveFailures: 5, FailureRatio: 0.5, SlowRatio: 0.8, SlowCall: time.Second,
				Window: 10 * time.Second, MinCalls: 20, OpenFor: 5 * time.Second, Probes: 1},
			Bulkhead:  &BulkheadPolicy{MaxConcurrent: 50, MaxQueue: 100, MaxWait: 100 * time.Millisecond},
			RateLimit: &RateLimitPolicy{PerSecond: 100, Burst: 20, MaxWait: 50 * time.Millisecond},
			Hedge:     &HedgePolicy{Quantile: 0.95, Max: 1, Budget: 0.05},
			Fallback:  &FallbackPolicy{On: []Reason{ReasonOpen, ReasonFull, ReasonLimited, ReasonTimeout, ReasonFailure}}}},
		{name: "everything else", doc: otherPolicy, want: Policy{
			Breaker:  &BreakerPolicy{FailureRatio: 0.5, WindowCalls: 100, MinCalls: 50},
			Adaptive: &AdaptivePolicy{Initial: 20, Min: 5, Max: 200},
			Bulkhead: &BulkheadPolicy{MaxQueue: 10},
			Hedge:    &HedgePolicy{Delay: 50 * time.Millisecond},
			Fallback: &FallbackPolicy{On: []Reason{}}}},
		{name: "nothing", doc: `{}`},
		{name: "null", doc: ` null `},
		{name: "defaults", doc: `{"retry":{},"breaker":{}}`, want: Policy{Retry: &RetryPolicy{}, Breaker: &BreakerPolicy{}}},
		{name: "null parts", doc: `{"retry":null,"breaker":null,"timeout":null}`},
		{name: "no JSON", doc: `{`, problems: []string{"resilience policy: is not valid JSON"}},
		{name: "no object", doc: `[]`, problems: []string{"must be a JSON object"}},
		{name: "misspelt", doc: `{"retryy":{}}`, problems: []string{`/retryy: is not a known field; did you mean "retry"?`}},
		{name: "twice", doc: `{"timeout":"1s","timeout":"2s"}`, problems: []string{"/timeout: is there twice"}},
		{name: "number for a duration", doc: `{"timeout":100}`, problems: []string{`/timeout: must be a duration with its unit`}},
		{name: "all problems at once", doc: `{"timeout":"0s","tryTimeout":"11m","retry":{"maxAttempts":21,"budget":1.5},"breaker":{"probes":0,"openFor":"1ms","failureRatio":-1}}`,
			problems: []string{"/timeout: is 0s", "/tryTimeout: is 11m", "/retry/maxAttempts: is 21", "/retry/budget: is 1.5", "/breaker/failureRatio: is -1", "/breaker/openFor: is 1ms", "/breaker/probes: is 0"}},
		{name: "attempt longer than the call", doc: `{"timeout":"1s","tryTimeout":"2s"}`, problems: []string{"/tryTimeout: is longer than the timeout of the whole call, 1s"}},
		{name: "delays the wrong way round", doc: `{"retry":{"baseDelay":"2s","maxDelay":"1s"}}`, problems: []string{"/retry/maxDelay: is shorter than baseDelay, 2s"}},
		{name: "slowCall alone", doc: `{"breaker":{"slowCall":"1s"}}`, problems: []string{"/breaker/slowCall: does nothing without slowRatio"}},
		{name: "two windows", doc: `{"breaker":{"window":"10s","windowCalls":100}}`, problems: []string{"/breaker/windowCalls: cannot stand beside window"}},
		{name: "more calls than remembered", doc: `{"breaker":{"windowCalls":10,"minCalls":11}}`, problems: []string{"/breaker/minCalls: is more than windowCalls, 10"}},
		{name: "two bounds", doc: `{"bulkhead":{"maxConcurrent":5},"adaptive":{}}`, problems: []string{"/bulkhead/maxConcurrent: cannot stand beside adaptive"}},
		{name: "a wait without a queue", doc: `{"bulkhead":{"maxWait":"1s"}}`, problems: []string{"/bulkhead/maxWait: does nothing without maxQueue"}},
		{name: "bounds the wrong way round", doc: `{"adaptive":{"min":20,"max":10}}`, problems: []string{"/adaptive/max: is 10, less than min, 20"}},
		{name: "initial outside", doc: `{"adaptive":{"min":20,"max":30,"initial":10}}`, problems: []string{"/adaptive/initial: is 10: it must be from min, 20, to max, 30"}},
		{name: "a minimum above the default maximum", doc: `{"adaptive":{"min":500}}`, want: Policy{Adaptive: &AdaptivePolicy{Min: 500}}},
		{name: "half a call per second", doc: `{"rateLimit":{"perSecond":0.5}}`, problems: []string{"/rateLimit/perSecond: must be a whole number"}},
		{name: "fixed and learned", doc: `{"hedge":{"delay":"50ms","quantile":0.9}}`, problems: []string{"/hedge/quantile: cannot stand beside delay"}},
		{name: "the longest there was", doc: `{"hedge":{"quantile":1,"budget":0}}`, problems: []string{"/hedge/quantile: must be above 0 and below 1", "/hedge/budget: must be above 0"}},
		{name: "reasons", doc: `{"fallback":{"on":["open","open","late"]}}`, problems: []string{`/fallback/on: has "open" twice`, `/fallback/on: element 2 is "late": it must be one of ["open" "full" "limited" "timeout" "failure"]`}},
		{name: "no list of reasons", doc: `{"fallback":{"on":"open"}}`, problems: []string{"/fallback/on: must be a list of strings"}},
		{name: "too long", doc: `{"timeout":"` + strings.Repeat("0", 64<<10) + `1s"}`, problems: []string{"the limit is 65536"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParsePolicy([]byte(c.doc))
			if len(c.problems) == 0 {
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("got %+v, %v\nwant %+v", got, err, c.want)
				}
				return
			}
			if err == nil {
				t.Fatalf("accepted as %+v", got)
			}
			rest := err.Error()
			for _, part := range c.problems {
				at := strings.Index(rest, part)
				if at < 0 {
					t.Fatalf("%q\nlacks %q (in this order)", err, part)
				}
				rest = rest[at+len(part):]
			}
			if !reflect.DeepEqual(got, Policy{}) {
				t.Errorf("a refused document gives %+v", got)
			}
		})
	}
}

// anyPolicy draws policies that nobody should write, too.
func anyPolicy(t *rapid.T) Policy {
	d := rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) }),
		rapid.Map(rapid.IntRange(-5, 2000), func(n int) time.Duration { return time.Duration(n) * time.Millisecond }))
	n := rapid.OneOf(rapid.IntRange(-2, 30), rapid.Int())
	f := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(math.Inf(1)))
	p := Policy{Timeout: d.Draw(t, "timeout"), TryTimeout: d.Draw(t, "try")}
	if rapid.Bool().Draw(t, "retry") {
		p.Retry = &RetryPolicy{n.Draw(t, "attempts"), d.Draw(t, "base"), d.Draw(t, "max"), f.Draw(t, "budget")}
	}
	if rapid.Bool().Draw(t, "breaker") {
		p.Breaker = &BreakerPolicy{ConsecutiveFailures: n.Draw(t, "run"), FailureRatio: f.Draw(t, "ratio"), SlowRatio: f.Draw(t, "slow"), SlowCall: d.Draw(t, "slowCall"),
			Window: d.Draw(t, "window"), WindowCalls: rapid.SampledFrom([]int{0, 0, 1, 100, -1, 1 << 40}).Draw(t, "calls"), MinCalls: n.Draw(t, "min"), OpenFor: d.Draw(t, "open"), Probes: n.Draw(t, "probes")}
	}
	if rapid.Bool().Draw(t, "bulkhead") {
		p.Bulkhead = &BulkheadPolicy{n.Draw(t, "places"), n.Draw(t, "queue"), d.Draw(t, "wait")}
	}
	if rapid.Bool().Draw(t, "adaptive") {
		p.Adaptive = &AdaptivePolicy{n.Draw(t, "initial"), n.Draw(t, "least"), n.Draw(t, "most")}
	}
	if rapid.Bool().Draw(t, "limit") {
		p.RateLimit = &RateLimitPolicy{n.Draw(t, "rate"), n.Draw(t, "burst"), d.Draw(t, "patience")}
	}
	if rapid.Bool().Draw(t, "hedge") {
		p.Hedge = &HedgePolicy{d.Draw(t, "delay"), f.Draw(t, "quantile"), n.Draw(t, "rivals"), f.Draw(t, "share")}
	}
	if rapid.Bool().Draw(t, "fallback") {
		p.Fallback = &FallbackPolicy{On: rapid.SampledFrom([][]Reason{nil, {}, {ReasonOpen}, {ReasonFull, ReasonFull, "late"}}).Draw(t, "on")}
	}
	return p
}

func TestEveryPolicyIsDrawnIntoItsRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t).normalized()
		if p.TryTimeout > p.Timeout && p.Timeout > 0 {
			p.TryTimeout = p.Timeout // allowed in code: the shorter one ends the attempt
		}
		if p.Retry != nil && p.Retry.MaxDelay < p.Retry.BaseDelay {
			p.Retry.MaxDelay = p.Retry.BaseDelay // likewise: the cap wins
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
	})
}

func TestAPolicySurvivesItsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t)
		if p.Validate() != nil {
			p = p.normalized()
			if p.Validate() != nil {
				return
			}
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Policy
		if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(p, back) {
			t.Fatalf("%s\nis read as %+v, %v\nwant       %+v", data, back, err, p)
		}
	})
}

func TestNoPolicyBreaksTheMachinery(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, failing := anyPolicy(rt), rapid.Bool().Draw(rt, "failing")
		synctest.Test(t, func(t *testing.T) {
			e := New("stock", p)
			for range 3 {
				_, err := Run(ctxBG, e, Call[int]{Hedge: true, Do: func(context.Context) (int, error) {
					if failing {
						return 0, errDown
					}
					return 0, nil
				}})
				if (err != nil) != failing && e.State() == Closed && !errors.Is(err, ErrLimited) {
					t.Errorf("%+v: %v", p, err)
				}
			}
			e.Update(p)
		})
	})
}

func TestUpdateOfAnExecutor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := Policy{Breaker: &BreakerPolicy{ConsecutiveFailures: 2}}
		e := New("stock", given)
		given.Breaker.ConsecutiveFailures = 1 // ours to change: the executor has its own
		_ = e.Do(ctxBG, fail)
		wantState(t, e, Closed)
		_ = e.Do(ctxBG, fail)
		wantState(t, e, Open)
		got := e.Policy()
		if got.Breaker.ConsecutiveFailures != 2 || got.Breaker.OpenFor != DefaultOpenFor {
			t.Errorf("policy in force: %+v", got.Breaker)
		}
		got.Breaker.OpenFor = 1
		e.Update(Policy{TryTimeout: time.Second, Breaker: &BreakerPolicy{ConsecutiveFailures: 9}})
		wantState(t, e, Open) // kept
		e.Update(Policy{})
		wantState(t, e, Closed) // without a breaker nothing is open
		if err := e.Do(ctxBG, succeed); err != nil {
			t.Error(err)
		}
	})
}

// A call that goes on with its attempts under a policy that had a breaker opens none.
func TestNoCallOpensABreakerThatIsGone(t *testing.T) {
	with := Policy{Retry: &RetryPolicy{MaxAttempts: 4, BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}, Breaker: &BreakerPolicy{ConsecutiveFailures: 2}}
	e := New("stock", with)
	attempts := 0
	_ = e.Do(ctxBG, func(context.Context) error {
		if attempts++; attempts == 1 {
			e.Update(Policy{})
		}
		return errDown
	})
	wantState(t, e, Closed)
	e.Update(with)
	if err := e.Do(ctxBG, succeed); err != nil || attempts != 4 {
		t.Errorf("after %d attempts, with a breaker again: %v", attempts, err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{fullPolicy, otherPolicy, `{}`, `null`, `{"retry":{"budget":1e-300}}`, `{"timeout":"1h","timeout":{}}`, `{"breaker":{"window":"1ns"}}`, `[`, `{"a":` + strings.Repeat(`[`, 200)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "resilience policy: ") {
				t.Errorf("an error that does not say of what: %v", err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("accepted, but not valid: %v", err)
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParsePolicy(out); err != nil || !reflect.DeepEqual(p, back) {
			t.Fatalf("%s is read back as %+v, %v", out, back, err)
		}
	})
}
