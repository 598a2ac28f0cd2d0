package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/freeport"
)

// shop is a process that Prometheus scrapes.
type shop struct {
	mu   sync.Mutex
	text string // empty: it does not answer
}

func (s *shop) set(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
}

func (s *shop) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = io.WriteString(w, s.text)
}

// realPrometheus starts the one of the system, scraping target each second; stop ends it.
func realPrometheus(t *testing.T, target string) (at string, stop func()) {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	switch must := os.Getenv("SEATRIAL_TEST_REQUIRE") == "all"; {
	case err != nil && must:
		t.Fatal("this test wants prometheus in PATH (Debian: apt-get install prometheus)")
	case err != nil:
		t.Skip("wants prometheus in PATH (Debian: apt-get install prometheus)")
	case testing.Short() && !must:
		t.Skip("scrapes for some seconds")
	}
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: shop, static_configs: [{targets: [%q]}]}]\n", target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(binary, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() { once.Do(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) }
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("prometheus: %s", said.String())
		}
	})
	await(t, "prometheus to be ready", func() bool {
		res, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return "http://" + address, stop
}

// await waits for something in another process.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// now asks Prometheus for the present value of a selector, "" if there is none.
func now(t *testing.T, at, selector string) string {
	t.Helper()
	res, err := http.Get(at + "/api/v1/query?query=" + url.QueryEscape(selector))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var a struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if len(a.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(a.Data.Result[0].Value[1])
}

// With the real one: pulls one after the other over a gap, a restart and a first error count what
// the shop counted, exactly; what it does not understand comes back with its place; and when it is
// gone, nothing is counted.
func TestRealPrometheus(t *testing.T) {
	target := &shop{text: "up_since 1\n"}
	web := httptest.NewServer(target)
	t.Cleanup(web.Close)
	at, stop := realPrometheus(t, strings.TrimPrefix(web.URL, "http://"))
	s, err := New(Config{URL: at, Lag: 4 * time.Second, Align: 200 * time.Millisecond, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	spec := trial.Spec{Name: "checkout", Guardrails: []trial.Guardrail{{Name: "errors", Metric: trial.MetricErrors, Prometheus: &trial.PromSource{
		Treatment: trial.PromCounters{Total: `requests_total{version="2"}`, Bad: `requests_total{version="2",code=~"5.."} # server errors`},
		Control:   trial.PromCounters{Total: `requests_total{version="1"}`, Good: `requests_total{version="1",code="200"}`},
	}}}}
	show := func(version, code string, n int) string {
		return fmt.Sprintf("requests_total{version=\"%s\",code=\"%s\"} %d\n", version, code, n)
	}
	scraped := func(text string, selector, value string) {
		target.set(text)
		await(t, selector+" = "+value, func() bool { return now(t, at, selector) == value })
	}

	scraped(show("2", "200", 1000)+show("1", "200", 500), `requests_total{version="2"}`, "1000")
	began := time.Now()
	await(t, "the start of a pull", func() bool { return time.Since(began) > 200*time.Millisecond })
	var got pulled
	got.to = began
	got.pull(t, s, &spec)
	scraped(show("2", "200", 1040)+show("2", "500", 3)+show("1", "200", 520), `requests_total{code="500"}`, "3")
	got.pull(t, s, &spec)
	target.set("") // a gap
	await(t, "the gap", func() bool { return now(t, at, `up{job="shop"}`) == "0" })
	got.pull(t, s, &spec)
	scraped(show("2", "200", 10)+show("2", "500", 1)+show("1", "200", 525)+show("1", "500", 2), `requests_total{version="2",code="200"}`, "10")
	got.pull(t, s, &spec)
	last := time.Now()
	await(t, "the last pull", func() bool { got.pull(t, s, &spec); return got.to.After(last) })
	if want := (outcome.Measure{Name: "errors", Of: 40 + 3 + 10 + 1, Bad: 3 + 1}); got.treatment != want {
		t.Errorf("treatment %+v, want %+v", got.treatment, want)
	}
	if want := (outcome.Measure{Name: "errors", Of: 20 + 5 + 2, Bad: 2}); got.control != want {
		t.Errorf("control %+v, want %+v", got.control, want)
	}

	if warnings, err := s.Check(t.Context(), spec); err != nil || len(warnings) > 0 {
		t.Errorf("check: %q, %v", warnings, err)
	}
	for _, expression := range []string{`rate(requests_total[1m])`, `sum(requests_total)`, `requests_total[1m]`, `requests_total offset 1m`, `requests_total{`, `1`} {
		wrong := spec
		wrong.Guardrails = []trial.Guardrail{{Name: "own", Prometheus: &trial.PromSource{Treatment: trial.PromCounters{Total: expression}}}}
		if _, err := s.Check(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "guardrail own: treatment total") || !strings.Contains(err.Error(), "bad_data") {
			t.Errorf("%s: %v", expression, err)
		}
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if pull, err := s.Pull(ctx, spec, began, time.Now()); err == nil || len(pull.Treatment) > 0 {
		t.Errorf("after its end: %+v, %v", pull, err)
	}
}

// pulled adds up pulls that follow each other.
type pulled struct {
	to                 time.Time
	treatment, control outcome.Measure
}

func (p *pulled) pull(t *testing.T, s *Source, spec *trial.Spec) {
	t.Helper()
	pull, err := s.Pull(t.Context(), *spec, p.to, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.to = pull.To
	for _, m := range pull.Treatment {
		p.treatment = outcome.Measure{Name: m.Name, Of: p.treatment.Of + m.Of, Bad: p.treatment.Bad + m.Bad}
	}
	for _, m := range pull.Control {
		p.control = outcome.Measure{Name: m.Name, Of: p.control.Of + m.Of, Bad: p.control.Bad + m.Bad}
	}
}
