package seatrial

import (
	"bytes"
	"context"
	"errors"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// work does n units of work for a unit in treatment.
func work(t *testing.T, c *Client, n int) {
	t.Helper()
	ctx := WithContext(t.Context(), NewContext(userIn(t, c, "f", treatment)))
	for range n {
		ctx, w := c.Begin(ctx)
		c.Bool(ctx, "f", false)
		w.End(nil)
	}
}

func TestReportsAreRetried(t *testing.T) {
	tests := map[string]struct {
		answers    []int // then 200
		retryAfter string
		dropped    int
		attempts   int
		longer     time.Duration // than so long it takes
		arrives    bool
	}{
		"at once":             {attempts: 1, arrives: true},
		"later":               {answers: []int{503, 429, 502, 504}, attempts: 5, arrives: true},
		"retry after":         {answers: []int{503, 429}, retryAfter: "40", attempts: 3, longer: 80 * time.Second, arrives: true},
		"server error":        {answers: []int{500, 501}, attempts: 3, arrives: true},
		"server error always": {answers: []int{500, 500, 500, 500, 500, 500, 500, 500, 500, 500}, attempts: 8, dropped: 1},
		"refused":             {answers: []int{400}, attempts: 1, dropped: 1},
		"unknown key":         {answers: []int{401}, attempts: 1, dropped: 1},
		"too large":           {answers: []int{413}, attempts: 1, dropped: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, trialSet(1, 0))
				p.judge = func(attempt int) (int, string) {
					if attempt > len(test.answers) {
						return 200, ""
					}
					return test.answers[attempt-1], test.retryAfter
				}
				c := p.open(WithFlushInterval(5 * time.Minute))
				work(t, c, 3)
				began := time.Now()
				if err := c.Flush(t.Context()); (err != nil) != (test.dropped > 0) {
					t.Errorf("flush: %v", err)
				}
				if took := time.Since(began); took < test.longer {
					t.Errorf("took %v, want %v at least", took, test.longer)
				}
				status := c.Status()
				taken, bodies := p.reports()
				if len(bodies) != test.attempts || status.ReportsDropped != test.dropped || status.ReportsQueued != 0 {
					t.Errorf("%d attempts, %d dropped, %d queued; want %d, %d, 0", len(bodies), status.ReportsDropped, status.ReportsQueued, test.attempts, test.dropped)
				}
				for _, body := range bodies {
					if !bytes.Equal(body, bodies[0]) {
						t.Error("a repetition differs, so the server cannot know it as one")
					}
				}
				want := uint64(0)
				if test.arrives {
					want = 3
				}
				if got := outcomesOf(taken)[inTreatment].Requests; got != want {
					t.Errorf("%d requests arrived, want %d", got, want)
				}
			})
		})
	}
}

// While the control plane is away nothing is lost and memory stays bounded: what there is no room
// for in the queue adds up with the counts to come. Reports arrive in order.
func TestReportsSurviveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		away := true
		p.judge = func(int) (int, string) {
			if away {
				return http.StatusServiceUnavailable, ""
			}
			return 200, ""
		}
		c := p.open(WithFlushInterval(time.Second))
		const minutes = 30
		for range minutes {
			work(t, c, 10)
			time.Sleep(time.Minute)
			if s := c.Status(); s.ReportsQueued > maxQueued {
				t.Fatalf("%d reports queued", s.ReportsQueued)
			}
		}
		p.mu.Lock()
		away = false
		p.mu.Unlock()
		p.wantArrived(c, map[string]arrived{inTreatment: {Requests: 10 * minutes, New: 1, AtRisk: maxQueued + 1}})
		last := uint64(0)
		taken, _ := p.reports()
		for _, r := range taken {
			for _, point := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics[0].GetExponentialHistogram().GetDataPoints() {
				if point.StartTimeUnixNano < last {
					t.Errorf("a report starts at %d, before the end of the last, %d", point.StartTimeUnixNano, last)
				}
				last = point.TimeUnixNano
			}
		}
	})
}

func TestReportsComeByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		c := p.open() // 5 s
		work(t, c, 1)
		time.Sleep(6 * time.Second)
		taken, _ := p.reports()
		if got := outcomesOf(taken)[inTreatment].Requests; got != 1 {
			t.Errorf("%d requests arrived, want 1", got)
		}
		time.Sleep(time.Minute)
		again, _ := p.reports()
		for _, r := range again[len(taken):] {
			for _, m := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics {
				if m.Name != outcome.MetricTraffic { // of points that other tests made in the registry of the process
					t.Errorf("%s is sent although there is nothing to tell", m.Name)
				}
			}
		}
	})
}

func TestCloseSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		c := p.open(WithFlushInterval(5 * time.Minute))
		work(t, c, 2)
		ctx, late := c.Begin(WithContext(t.Context(), NewContext(userIn(t, c, "f", treatment))))
		c.Bool(ctx, "f", false)
		for range 2 {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		late.End(nil)
		taken, _ := p.reports()
		if got := outcomesOf(taken)[inTreatment].Requests; got != 2 {
			t.Errorf("%d requests arrived, want 2", got)
		}
		if s := c.Status(); s.State != StateClosed {
			t.Errorf("state %s", s.State)
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseTellsWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		p.judge = func(int) (int, string) { return http.StatusServiceUnavailable, "" }
		c := p.open(WithFlushInterval(5 * time.Minute))
		work(t, c, 1)
		began := time.Now()
		err := c.Close(noContext) // promised: 5 s
		if took := time.Since(began); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("took %v", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 reports") {
			t.Errorf("error %v", err)
		}
		if s := c.Status(); s.ReportsDropped != 1 || s.ReportsQueued != 0 {
			t.Errorf("%+v", s)
		}
	})
}
