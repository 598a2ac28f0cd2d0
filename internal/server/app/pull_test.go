package app_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/app"
)

// TestTrialOnPrometheus runs a comparison of two deployments for hours of fake time, judged
// by counters of a Prometheus alone. Nothing is a stand-in but that, the network and the clock.
func TestTrialOnPrometheus(t *testing.T) {
	for _, test := range []struct {
		name      string
		treatment float64       // share of its requests that fail; the control's is 1 %
		away      time.Duration // after which Prometheus answers no more; 0: never
		phase     trial.Phase
		result    trial.Result
	}{
		{name: "harmless", treatment: 0.01, phase: trial.PhaseEnded, result: trial.ResultPromoted},
		{name: "harmful", treatment: 0.06, phase: trial.PhaseEnded, result: trial.ResultRolledBack},
		{name: "unknown", treatment: 0.01, away: 2 * time.Minute, phase: trial.PhaseHolding},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &fakePrometheus{started: time.Now(), away: test.away, fails: map[string]float64{"v2": test.treatment, "v1": 0.01}}
				l := newLoop(t, func(c *app.Config) {
					c.Prometheus = app.Prometheus{URL: "http://prometheus.example:9090", Transport: fake}
				})
				l.must("POST", "/api/v1/trials", `{"name":"checkout","goal":"promote","cohorts":{"treatment":"v2","control":"v1"},"guardrails":[
					{"name":"errors","metric":"errors","mode":"enforce","relative":0.5,"absolute":0.01,"prometheus":{
						"treatment":{"total":"requests_total{v=\"v2\"}","bad":"errors_total{v=\"v2\"}"},
						"control":{"total":"requests_total{v=\"v1\"}","bad":"errors_total{v=\"v1\"}"}}}]}`, nil)
				time.Sleep(3 * time.Hour)
				got := l.trial("checkout").State
				if got.Phase != test.phase || got.Result != test.result {
					t.Fatalf("it is %s %q: %s", got.Phase, got.Result, got.Why)
				}
				if test.away > 0 && got.Guardrails[0].Verdict != trial.VerdictNoData {
					t.Errorf("without Prometheus the verdict is %s", got.Guardrails[0].Verdict)
				}
			})
		})
	}
}

// fakePrometheus has counters of two versions, which grow with the time and are scraped each 15 s.
type fakePrometheus struct {
	started time.Time
	away    time.Duration
	fails   map[string]float64 // by version
}

func (p *fakePrometheus) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.away > 0 && time.Since(p.started) > p.away {
		return nil, errors.New("connection refused")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(p.answer(query)))}, nil
}

// answer gives the samples of one counter: 20 requests a second, and its version's share of errors.
func (p *fakePrometheus) answer(query url.Values) string {
	selector, window, _ := strings.Cut(query.Get("query"), "\n[")
	ms, _ := strconv.Atoi(strings.TrimSuffix(window, "ms]"))
	until, _ := strconv.ParseFloat(query.Get("time"), 64)
	version := "v1"
	if strings.Contains(selector, "v2") {
		version = "v2"
	}
	rate := 20.0
	if strings.HasPrefix(selector, "errors") {
		rate *= p.fails[version]
	}
	var samples []string
	const scrape = 15
	for at := math.Ceil((until-float64(ms)/1000)/scrape) * scrape; at <= until; at += scrape {
		if since := at - float64(p.started.Unix()) + 600; since >= 0 {
			samples = append(samples, fmt.Sprintf(`[%.0f,"%.0f"]`, at, math.Floor(since*rate)))
		}
	}
	return fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"shop","instance":"a","v":%q},"values":[%s]}]}}`,
		version, strings.Join(samples, ","))
}
