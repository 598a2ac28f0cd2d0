package app

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// inMemory runs a test against a server in fake time.
func inMemory(t *testing.T, change func(*Config), test func(t *testing.T, s *Server, web *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		ln := memnet.Listen()
		cfg := Config{Listener: ln, DataDir: sqlite.Memory, Local: true}
		if change != nil {
			change(&cfg)
		}
		s, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DialContext: ln.Dial}
		test(t, s, &http.Client{Transport: transport})
		transport.CloseIdleConnections()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A client may dial a connection in reserve and never use it. A stop does not wait for it.
func TestStoppingDoesNotWaitForUnusedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := memnet.Listen()
		s, err := Start(t.Context(), Config{Listener: ln, DataDir: sqlite.Memory, Local: true})
		if err != nil {
			t.Fatal(err)
		}
		spare, err := ln.Dial(t.Context(), "tcp", "spare")
		if err != nil {
			t.Fatal(err)
		}
		defer spare.Close()
		synctest.Wait() // the server has seen it
		began := time.Now()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

// Outcomes that arrive over OTLP are weighed in the trial's next interval.
func TestOutcomesReachTheTrial(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server, web *http.Client) {
		c := connect(t, s, adminToken)
		c.http = web
		c.want(201, "POST", "/api/v1/flags", searchFlag)
		c.want(201, "POST", "/api/v1/trials", `{"name":"new-search","flag":"search","treatment":"on","control":"off"}`)
		synctest.Wait() // the controller has seen it
		app := connect(t, s, control.NewToken{Name: "app", Kind: control.TokenSDK})
		app.http = web
		if got := app.want(200, "POST", "/v1/metrics", metricsOf(t, "new-search.1.0")); strings.TrimSpace(got) != "{}" {
			t.Fatalf("the receiver says %s", got)
		}
		app.want(200, "POST", "/v1/traces", traceOf())
		time.Sleep(16 * time.Second)
		rows, err := s.environments.first.service.Intervals(t.Context(), "new-search", 0, 0, 0)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d intervals, %v", len(rows), err)
		}
		if iv := rows[0].Interval; iv.Treatment.BadUnits != 3 || iv.Control.BadUnits != 1 || iv.Treatment.AtRiskUnits != 40 {
			t.Fatalf("weighed %+v against %+v", iv.Treatment, iv.Control)
		}
		list := c.want(200, "GET", "/api/v1/traces?flag=search&variant=on", "")
		if !strings.Contains(list, "0af7651916cd43dd8448eb211c80319c") {
			t.Fatalf("traces: %s", list)
		}
		families := parse(t, c.want(200, "GET", "/metrics", ""))
		for name, want := range map[string]float64{
			`seatrial_intervals_weighed_total{environment="default"}`: 1, `seatrial_trials_active{environment="default"}`: 1, `seatrial_traces{environment="default"}`: 1,
			`seatrial_outcome_points_total{environment="default",fate="accepted"}`: 6, `seatrial_otlp_points_total{environment="default",fate="taken"}`: 6,
		} {
			if got, ok := families.values[name]; !ok || got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

// metricsOf reports units of both arms.
func metricsOf(t *testing.T, version string) string {
	t.Helper()
	now := time.Now().UnixNano()
	var points []string
	for arm, bad := range map[string]int{outcome.ArmTreatment: 3, outcome.ArmControl: 1} {
		for state, n := range map[string]int{outcome.UnitNew: 40, outcome.UnitAtRisk: 40, outcome.UnitBad: bad} {
			points = append(points, fmt.Sprintf(`{"startTimeUnixNano":"%d","timeUnixNano":"%d","asInt":"%d","attributes":[%s,%s,%s,%s]}`, now-1e9, now, n,
				attribute(outcome.AttrTrial, "new-search"), attribute(outcome.AttrVersion, version), attribute(outcome.AttrArm, arm), attribute(outcome.AttrUnitState, state)))
		}
	}
	return fmt.Sprintf(`{"resourceMetrics":[{"resource":{"attributes":[%s]},"scopeMetrics":[{"metrics":[
		{"name":"%s","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[%s]}}]}]}]}`,
		attribute("service.instance.id", "i1"), outcome.MetricUnits, strings.Join(points, ","))
}

func attribute(key, value string) string {
	return fmt.Sprintf(`{"key":"%s","value":{"stringValue":"%s"}}`, key, value)
}

func traceOf() string {
	return `{"resourceSpans":[{"resource":{"attributes":[` + attribute("service.name", "web") + `]},"scopeSpans":[{"spans":[{
		"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"GET /","kind":2,
		"startTimeUnixNano":"1000","endTimeUnixNano":"2000","attributes":[` + attribute("seatrial.flag.search", "on") + `]}]}]}]}`
}

// A stopping server tells its streams to go away, and load balancers before that.
func TestStoppingIsAnnounced(t *testing.T) {
	inMemory(t, func(c *Config) { c.DrainDelay = 5 * time.Second }, func(t *testing.T, s *Server, web *http.Client) {
		app := connect(t, s, control.NewToken{Name: "app", Kind: control.TokenSDK})
		app.http = web
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/api/v1/stream", nil)
		req.Header.Set("Authorization", "Bearer "+app.secret)
		res, err := web.Do(req)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%v, %v", res, err)
		}
		defer res.Body.Close()
		var events []string
		over := make(chan struct{})
		go func() {
			defer close(over)
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
					events = append(events, name)
				}
			}
		}()
		time.Sleep(12 * time.Second)
		app.want(200, "GET", "/readyz", "")
		closed := make(chan error, 1)
		go func() { closed <- s.Close(context.Background()) }()
		time.Sleep(time.Second)
		app.want(503, "GET", "/readyz", "")
		app.want(200, "GET", "/livez", "")
		app.want(200, "GET", "/api/v1/snapshot", "") // still served
		select {
		case <-over:
			t.Fatal("the stream ended before load balancers could notice")
		default:
		}
		<-over
		web.CloseIdleConnections()
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(events, " "); got != "snapshot bookmark bookmark bookmark goaway" {
			t.Fatalf("events: %s", got)
		}
		if err := s.Wait(); err != nil {
			t.Fatal(err)
		}
	})
}

// A revoked key loses its stream within one bookmark.
func TestARevokedKeyLosesItsStream(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server, web *http.Client) {
		app := connect(t, s, control.NewToken{Name: "app", Kind: control.TokenSDK})
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL()+"/api/v1/stream", nil)
		req.Header.Set("Authorization", "Bearer "+app.secret)
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := s.environments.first.service.RevokeToken(t.Context(), s.environments.first.service.ListTokens()[0].ID, control.WriteOptions{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var text strings.Builder
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
		}
		if took := time.Since(began); took > 5*time.Second || !strings.Contains(text.String(), "event: goaway") {
			t.Fatalf("after %s: %s", took, text.String())
		}
	})
}

// A request that drips in is cut off, so that it holds no place for ever.
func TestSlowBodiesAreCutOff(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server, web *http.Client) {
		c := connect(t, s, adminToken)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/api/v1/flags", drip{})
		req.Header.Set("Authorization", "Bearer "+c.secret)
		req.Header.Set("Content-Type", "application/json")
		began := time.Now()
		res, err := web.Do(req)
		if err == nil {
			res.Body.Close()
		}
		if took := time.Since(began); took > time.Minute || err == nil && res.StatusCode < 400 {
			t.Fatalf("after %s: %v, %v", took, res, err)
		}
		if n := s.environments.first.api.Stats().InFlight; n != 0 {
			t.Fatalf("%d requests are still worked on", n)
		}
		time.Sleep(2 * time.Second) // the client's writer, asleep in drip, finds its connection closed
	})
}

// drip is a body that never ends, a byte a second.
type drip struct{}

func (drip) Read(b []byte) (int, error) {
	time.Sleep(time.Second)
	b[0] = ' '
	return 1, nil
}
