package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/expr-lang/expr"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// A cluster is a server of ours and pods with the SDK of OpenTelemetry, in fake time and on a network
// in memory. Nothing in the pods is ours.
type cluster struct {
	t          *testing.T
	http       *http.Client
	editor     string
	sdk        string
	random     *rand.Rand
	canary     []*pod
	stable     []*pod
	canaryBad  float64       // share of the canary's requests that fail; the stable one's is 2 %
	canarySlow time.Duration // what its requests take longer
	temporal   sdkmetric.TemporalitySelector
	aggregate  sdkmetric.AggregationSelector
}

const serverURL = "http://127.0.0.1:8420"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	network := memnet.Listen()
	server, err := app.Start(t.Context(), app.Config{Listener: network, DataDir: sqlite.Memory, Bootstrap: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: network.Dial, IdleConnTimeout: 90 * time.Second} // as by default
	c := &cluster{
		t: t, http: &http.Client{Transport: transport}, random: rand.New(rand.NewPCG(1, 2)),
		temporal: sdkmetric.DefaultTemporalitySelector, aggregate: sdkmetric.DefaultAggregationSelector, canaryBad: 0.02,
	}
	token := func(n control.NewToken) string {
		secret, err := server.CreateToken(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	c.editor = token(control.NewToken{Name: "delivery", Kind: control.TokenAPI, Role: control.RoleEditor})
	c.sdk = token(control.NewToken{Name: "pods", Kind: control.TokenSDK})
	t.Cleanup(func() {
		ctx := context.Background()
		var failed []error
		for _, p := range append(c.canary, c.stable...) {
			failed = append(failed, p.stop())
		}
		if err := errors.Join(append(failed, server.Close(ctx))...); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	return c
}

// pod is a server instrumented by otelhttp.
type pod struct {
	handler http.Handler
	stop    func() error
}

// run starts a pod with resource attributes.
func (c *cluster) run(canary bool, attributes ...attribute.KeyValue) *pod {
	c.t.Helper()
	exporter, err := otlpmetrichttp.New(context.Background(),
		otlpmetrichttp.WithEndpointURL(serverURL+"/v1/metrics"), otlpmetrichttp.WithHTTPClient(c.http),
		otlpmetrichttp.WithHeaders(map[string]string{"Authorization": "Bearer " + c.sdk}),
		otlpmetrichttp.WithTemporalitySelector(c.temporal), otlpmetrichttp.WithAggregationSelector(c.aggregate))
	if err != nil {
		c.t.Fatal(err)
	}
	provider := sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(resource.NewSchemaless(attributes...)),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithInterval(15*time.Second))))
	stopped := false
	return &pod{
		stop: func() error {
			if stopped {
				return nil
			}
			stopped = true
			time.Sleep(time.Second) // not in the middle of a periodic report, which that would cut off
			return provider.Shutdown(context.Background())
		},
		handler: otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			took, fails := 30*time.Millisecond, 0.02
			if canary {
				took, fails = took+c.canarySlow, c.canaryBad
			}
			time.Sleep(time.Duration(c.random.ExpFloat64() * float64(took)))
			if c.random.Float64() < fails {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}), "GET /", otelhttp.WithMeterProvider(provider)),
	}
}

// traffic sends requests for a while, as many to each kind of pod.
func (c *cluster) traffic(span time.Duration) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		start := time.Now()
		for _, pods := range [][]*pod{c.canary, c.stable} {
			for i := range 12 {
				if len(pods) > 0 {
					pods[i%len(pods)].handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
				}
			}
		}
		time.Sleep(2*time.Second - time.Since(start))
	}
}

// ask makes a request as a tool would.
func (c *cluster) ask(method, url, body string, headers map[string]string) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for key, value := range headers {
		req.Header.Set(key, value)
	}
	res, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, data
}

// verdict is what the tests read of an answer.
type verdict struct {
	Verdict, Phase, Result, Why string
	Attempt                     int
	Guardrails                  []struct {
		Name, Verdict      string
		Treatment, Control struct{ Bad, Of uint64 }
	}
}

func (c *cluster) versions(retry bool) (v verdict) {
	c.t.Helper()
	url := serverURL + "/api/v1/verdicts"
	if retry {
		url += "?retry=true"
	}
	status, body := c.ask("POST", url, `{"name":"shop","cohorts":{"service":"shop","treatment":"v2","control":"v1"}}`,
		map[string]string{"Authorization": "Bearer " + c.editor, "Content-Type": "application/json"})
	if status != 200 || json.Unmarshal(body, &v) != nil {
		c.t.Fatalf("%d %s", status, body)
	}
	return v
}

func (c *cluster) untilDecided(longest time.Duration) (v verdict) {
	c.t.Helper()
	for range longest / time.Minute {
		if v = c.versions(false); v.Verdict == "safe" || v.Verdict == "harmful" {
			return v
		}
		c.traffic(time.Minute)
	}
	return v
}

func shop(version string, more ...attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{attribute.String("service.name", "shop"), attribute.String("service.version", version)}, more...)
}

func deltas(sdkmetric.InstrumentKind) metricdata.Temporality { return metricdata.DeltaTemporality }

func exponential(kind sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	if kind == sdkmetric.InstrumentKindHistogram {
		return sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}
	}
	return sdkmetric.DefaultAggregationSelector(kind)
}

// TestStockSDKsAreCompared: two versions that run the SDK of OpenTelemetry as it is, with either kind
// of histogram and either temporality, are told to be alike or not.
func TestStockSDKsAreCompared(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  float64
		slow time.Duration
		want string
	}{
		{"alike", 0.02, 0, "safe"},
		{"errors", 0.08, 0, "harmful"},
		{"slow", 0.02, 60 * time.Millisecond, "harmful"},
	} {
		for _, temporality := range []string{"cumulative", "delta"} {
			for _, kind := range []string{"explicit", "exponential"} {
				t.Run(c.name+"/"+temporality+"/"+kind, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						l := newCluster(t)
						l.canaryBad, l.canarySlow = c.bad, c.slow
						if temporality == "delta" {
							l.temporal = deltas
						}
						if kind == "exponential" {
							l.aggregate = exponential
						}
						l.stable = []*pod{l.run(false, shop("v1")...)}
						time.Sleep(time.Millisecond)
						l.stable = append(l.stable, l.run(false, shop("v1")...)) // nothing but its start tells it apart
						l.traffic(10 * time.Minute)                              // before the trial
						l.canary = []*pod{l.run(true, shop("v2")...)}
						if v := l.untilDecided(12 * time.Hour); v.Verdict != c.want {
							t.Errorf("%s, want %s: %+v", v.Verdict, c.want, v)
						}
					})
				})
			}
		}
	}
}

// TestPodsComeAndGo: restarts and late pods add nothing that did not happen. The counts of the server
// are compared with the requests that were made.
func TestPodsComeAndGo(t *testing.T) {
	for _, temporality := range []string{"cumulative", "delta"} {
		t.Run(temporality, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newCluster(t)
				if temporality == "delta" {
					l.temporal = deltas
				}
				l.stable = []*pod{l.run(false, shop("v1", attribute.String("service.instance.id", "a"))...)}
				l.traffic(5 * time.Minute)
				l.versions(false)
				l.canary = []*pod{l.run(true, shop("v2", attribute.String("service.instance.id", "b"))...)}
				l.traffic(2 * time.Minute)
				if err := l.canary[0].stop(); err != nil { // which reports for the last time
					t.Fatal(err)
				}
				l.canary[0] = l.run(true, shop("v2", attribute.String("service.instance.id", "b"))...)
				l.traffic(2 * time.Minute)
				l.canary = append(l.canary, l.run(true, shop("v2", attribute.String("service.instance.id", "late"))...))
				l.traffic(time.Minute)
				for _, p := range append(l.canary, l.stable...) {
					if err := p.stop(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				var entry control.TrialEntry
				status, body := l.ask("GET", serverURL+"/api/v1/trials/shop", "", map[string]string{"Authorization": "Bearer " + l.editor})
				if status != 200 || json.Unmarshal(body, &entry) != nil {
					t.Fatalf("%d %s", status, body)
				}
				const each = 5 * 60 / 2 * 12 // requests of either version since the trial began
				if got := entry.State.Treatment.Requests; got != each {
					t.Errorf("counted %d requests of the canary, made %d", got, each)
				}
				// Of a process that is older than the trial, a report or two only say where counting starts.
				if got := entry.State.Control.Requests; got > each || got < each-2*15/2*12 {
					t.Errorf("counted %d requests of the stable version, made %d", got, each)
				}
			})
		})
	}
}

// documents reads a file with manifests.
func documents[T any](t *testing.T, path string) (list []T) {
	t.Helper()
	data, err := os.ReadFile("../deploy/" + path)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range bytes.Split(data, []byte("\n---\n")) {
		var v T
		if err := yaml.Unmarshal(one, &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, v)
	}
	return list
}

// analysisTemplate is what Argo Rollouts reads of one for a web metric.
type analysisTemplate struct {
	Metadata struct{ Name string }
	Spec     struct {
		Args    []struct{ Name, Value string }
		Metrics []struct {
			SuccessCondition, FailureCondition                                              string
			Interval                                                                        string
			FailureLimit, ConsecutiveSuccessLimit, InconclusiveLimit, ConsecutiveErrorLimit int
			Provider                                                                        struct {
				Web struct {
					Method, URL, JSONPath string
					Headers               []struct{ Key, Value string }
					JSONBody              json.RawMessage
				}
			}
		}
	}
}

// measure makes one measurement as Argo's provider "web" does (metricproviders/webmetric, and
// utils/evaluate): successful, failed, inconclusive or error.
func (c *cluster) measure(a *analysisTemplate, args map[string]string) string {
	c.t.Helper()
	m := a.Spec.Metrics[0]
	fill := func(text string) string {
		for name, value := range args {
			text = strings.ReplaceAll(text, "{{args."+name+"}}", value)
		}
		return text
	}
	headers := map[string]string{"Content-Type": "application/json"} // as for every jsonBody
	for _, h := range m.Provider.Web.Headers {
		headers[h.Key] = fill(h.Value)
	}
	status, body := c.ask(m.Provider.Web.Method, fill(m.Provider.Web.URL), fill(string(m.Provider.Web.JSONBody)), headers)
	if status < 200 || status >= 300 {
		return "error: " + string(body)
	}
	var data any
	path := jsonpath.New("metrics")
	if err := errors.Join(json.Unmarshal(body, &data), path.Parse(m.Provider.Web.JSONPath)); err != nil {
		c.t.Fatal(err)
	}
	found, err := path.FindResults(data)
	if err != nil || len(found) == 0 || len(found[0]) == 0 {
		c.t.Fatalf("%s finds nothing in %s: %v", m.Provider.Web.JSONPath, body, err)
	}
	holds := func(condition string) bool {
		env := map[string]any{"result": found[0][0].Interface()}
		program, err := expr.Compile(condition, expr.Env(env), expr.AsBool())
		if err != nil {
			c.t.Fatal(err)
		}
		out, err := expr.Run(program, env)
		if err != nil {
			c.t.Fatal(err)
		}
		return out.(bool)
	}
	switch {
	case holds(m.FailureCondition):
		return "failed"
	case holds(m.SuccessCondition):
		return "successful"
	}
	return "inconclusive"
}

// TestArgoRollouts plays the analyses of deploy/argo-rollouts: the watch runs all the time, the gate
// as the last step.
func TestArgoRollouts(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  float64
		slow time.Duration
		want string
	}{ // clearly, so that it does not hang on the draw
		{"promotes", 0.01, -8 * time.Millisecond, "promoted"},
		{"aborts", 0.08, 0, "aborted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				templates := documents[analysisTemplate](t, "argo-rollouts/analysis.yaml")
				watch, gate := &templates[0], &templates[1]
				l := newCluster(t)
				l.canaryBad, l.canarySlow = c.bad, c.slow
				hash := func(version string) []attribute.KeyValue {
					return []attribute.KeyValue{attribute.String("service.name", "checkout"), attribute.String("service.version", version)}
				}
				l.stable = []*pod{l.run(false, hash("6d4cf56db6")...)}
				l.traffic(5 * time.Minute)
				l.canary = []*pod{l.run(true, hash("75b6bf95b8")...)}
				args := map[string]string{"service": "checkout", "treatment": "75b6bf95b8", "control": "6d4cf56db6", "token": l.editor, "url": serverURL}
				if got := l.rollout(watch, gate, args); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		})
	}
}

// rollout plays a canary of 15 minutes with the watch, and then the gate.
func (c *cluster) rollout(watch, gate *analysisTemplate, args map[string]string) string {
	c.t.Helper()
	inconclusive := 0
	for minutes := 0.0; ; minutes += 0.5 {
		if got := c.measure(watch, args); got == "failed" {
			return "aborted"
		} else if got != "successful" {
			return "watch: " + got
		}
		if minutes >= 15 {
			switch got := c.measure(gate, args); got {
			case "successful":
				return "promoted"
			case "failed":
				return "aborted"
			case "inconclusive":
				if inconclusive++; inconclusive > gate.Spec.Metrics[0].InconclusiveLimit {
					return "paused"
				}
			default:
				return "gate: " + got
			}
		}
		c.traffic(30 * time.Second)
	}
}

// canary is what Flagger reads of one.
type canary struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		Analysis struct {
			Threshold, MaxWeight, StepWeight int
			Webhooks                         []struct {
				Name, Type, URL string
				Metadata        map[string]string
			}
		}
	}
}

// call posts to the webhooks of a type as Flagger does (pkg/controller/webhook.go), and reports
// whether all of them succeeded.
func (f *canary) call(c *cluster, kind, phase, checksum string) (ok bool) {
	c.t.Helper()
	for _, hook := range f.Spec.Analysis.Webhooks {
		if hook.Type != kind {
			continue
		}
		payload, err := json.Marshal(map[string]any{
			"name": f.Metadata.Name, "namespace": f.Metadata.Namespace, "phase": phase, "checksum": checksum, "metadata": hook.Metadata,
		})
		if err != nil {
			c.t.Fatal(err)
		}
		url := strings.NewReplacer("TOKEN", c.editor, "seatrial.seatrial.svc:8420", "127.0.0.1:8420").Replace(hook.URL)
		status, body := c.ask("POST", url, string(payload), map[string]string{"Content-Type": "application/json"})
		if status > 202 {
			if status != http.StatusConflict {
				c.t.Fatalf("%s: %d %s", hook.Name, status, body)
			}
			return false
		}
		ok = true
	}
	return ok
}

// deploy plays Flagger's loop for one revision: rollback hooks, rollout hooks, more weight, and at the
// last weight the hooks that confirm the promotion.
func (f *canary) deploy(c *cluster, checksum string) string {
	c.t.Helper()
	weight, failed, phase := 0, 0, "Progressing"
	for range 300 {
		c.traffic(time.Minute)
		if f.call(c, "rollback", phase, checksum) {
			return "rolled back"
		}
		if phase == "Progressing" && !f.call(c, "rollout", phase, checksum) {
			if failed++; failed >= f.Spec.Analysis.Threshold {
				return "rolled back for failed checks"
			}
			continue
		}
		if weight < f.Spec.Analysis.MaxWeight {
			weight += f.Spec.Analysis.StepWeight
			continue
		}
		phase = "WaitingPromotion"
		if f.call(c, "confirm-promotion", phase, checksum) {
			return "promoted"
		}
	}
	return "waiting"
}

// TestFlagger plays the canary of deploy/flagger, three revisions of it: a bad one, that one mended,
// and one without telemetry, which waits.
func TestFlagger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := documents[canary](t, "flagger/canary.yaml")[0]
		l := newCluster(t)
		on := func(deployment string) []attribute.KeyValue {
			return []attribute.KeyValue{attribute.String("service.name", "podinfo"), attribute.String("k8s.deployment.name", deployment)}
		}
		l.stable = []*pod{l.run(false, on("podinfo-primary")...)}
		l.traffic(5 * time.Minute)
		for i, c := range []struct {
			bad  float64
			slow time.Duration
			want string
		}{{0.08, 0, "rolled back"}, {0.01, -8 * time.Millisecond, "promoted"}} {
			l.canaryBad, l.canarySlow = c.bad, c.slow
			l.canary = []*pod{l.run(true, on("podinfo")...)}
			if got := f.deploy(l, fmt.Sprint("revision ", i)); got != c.want {
				t.Errorf("revision %d: %s, want %s", i, got, c.want)
			}
			if err := l.canary[0].stop(); err != nil {
				t.Error(err)
			}
			l.canary = nil
			// Between canaries nothing is asked for the next one in the name of the last.
			if f.call(l, "rollback", "Waiting", fmt.Sprint("revision ", i)) {
				t.Error("a rollback while Flagger waits")
			}
		}
		if got := f.deploy(l, "silent"); got != "waiting" {
			t.Errorf("without telemetry of the canary: %s, want waiting", got)
		}
	})
}
