package conformance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	eapache "github.com/eapache/go-resiliency/breaker"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/seatrial/seatrial/conformance/safety"
	"github.com/seatrial/seatrial/resilience"
	"github.com/sony/gobreaker/v2"
)

var update = flag.Bool("update", false, "write docs/breaker-safety.md anew")

// Each adapter is a breaker as its documentation says to use it, with its defaults.
var adapters = []safety.Adapter{
	{Name: "Seatrial", New: func(c safety.Config) safety.Breaker {
		var options []resilience.Option
		if c.OnChange != nil {
			options = append(options, resilience.OnEvent(func(resilience.Event) { c.OnChange() }))
		}
		return ours{resilience.NewBreaker("safety", resilience.BreakerPolicy{
			ConsecutiveFailures: c.Failures, OpenFor: c.OpenFor, Probes: 1,
		}, options...)}
	}},
	{Name: "gobreaker 2.4.0", New: func(c safety.Config) safety.Breaker {
		settings := gobreaker.Settings{
			MaxRequests: 1, Timeout: c.OpenFor,
			ReadyToTrip: func(n gobreaker.Counts) bool { return int(n.ConsecutiveFailures) >= c.Failures },
		}
		if c.OnChange != nil {
			settings.OnStateChange = func(string, gobreaker.State, gobreaker.State) { c.OnChange() }
		}
		return sony{gobreaker.NewCircuitBreaker[struct{}](settings)}
	}},
	{Name: "failsafe-go 0.9.8", New: func(c safety.Config) safety.Breaker {
		builder := circuitbreaker.NewBuilder[any]().WithFailureThreshold(uint(c.Failures)).WithDelay(c.OpenFor).WithSuccessThreshold(1)
		if c.OnChange != nil {
			builder = builder.OnStateChanged(func(circuitbreaker.StateChangedEvent) { c.OnChange() })
		}
		b := builder.Build()
		return failsafeBreaker{b, failsafe.With[any](b)}
	}},
	{Name: "go-resiliency 1.7.0", NoCallback: true, New: func(c safety.Config) safety.Breaker {
		return eapacheBreaker{eapache.New(c.Failures, 1, c.OpenFor)}
	}},
}

type ours struct{ *resilience.Breaker }

func (b ours) State() string { return b.Breaker.State().String() }

type sony struct {
	b *gobreaker.CircuitBreaker[struct{}]
}

func (s sony) Do(ctx context.Context, call func(context.Context) error) error {
	_, err := s.b.Execute(func() (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

func (s sony) State() string { return s.b.State().String() }

type failsafeBreaker struct {
	b circuitbreaker.CircuitBreaker[any]
	e failsafe.Executor[any]
}

func (f failsafeBreaker) Do(ctx context.Context, call func(context.Context) error) error {
	return f.e.WithContext(ctx).Run(func() error { return call(ctx) })
}

func (f failsafeBreaker) State() string { return f.b.State().String() }

type eapacheBreaker struct{ b *eapache.Breaker }

func (e eapacheBreaker) Do(ctx context.Context, call func(context.Context) error) error {
	return e.b.Run(func() error { return call(ctx) })
}

func (e eapacheBreaker) State() string {
	switch e.b.GetState() {
	case eapache.Open:
		return "open"
	case eapache.HalfOpen:
		return "half-open"
	}
	return "closed"
}

// TestBreakerSafety puts our breaker and others through the scenarios. Ours must pass all of them; what the others do is
// written down, so that a new version that does better, or worse, is noticed.
func TestBreakerSafety(t *testing.T) {
	results := map[string][]safety.Result{}
	for _, a := range adapters {
		for _, s := range safety.Scenarios() {
			r := play(t, s, a)
			results[a.Name] = append(results[a.Name], r)
			if a.Name == "Seatrial" && !r.Safe {
				t.Errorf("%s, %s: %s; required: %s", s.ID, s.Title, r.Seen, s.Required)
			}
		}
	}
	page := safetyPage(results)
	const file = "../docs/breaker-safety.md"
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile(file); err != nil || string(written) != page {
		t.Errorf("%s is not what was seen now (%v); run the test with -update and look at the difference:\n%s", file, err, page)
	}
}

func play(t *testing.T, s safety.Scenario, a safety.Adapter) (r safety.Result) {
	if s.Real {
		return s.Run(a)
	}
	synctest.Test(t, func(*testing.T) {
		r = s.Run(a)
		time.Sleep(time.Minute) // for timers of the breaker
	})
	return r
}

func safetyPage(results map[string][]safety.Result) string {
	var b strings.Builder
	b.WriteString(`# Breakers under stress

Eight scenarios in which circuit breakers go wrong, and what four breakers for Go do in them: each opens after three failures in
a row, stays open for 60 ms, and one probe closes it. ✓ is what a safe breaker does. The table is written by a test
(` + "`cd conformance && go test -run BreakerSafety -update .`" + `), which also holds Seatrial's column to it. Any other breaker can be put
through the same scenarios: package ` + "`conformance/safety`" + ` asks for an adapter of two methods.

`)
	b.WriteString("| | scenario | required |")
	for _, a := range adapters {
		fmt.Fprintf(&b, " %s |", a.Name)
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(adapters)) + "\n")
	for i, s := range safety.Scenarios() {
		fmt.Fprintf(&b, "| %s | %s | %s |", s.ID, s.Title, s.Required)
		for _, a := range adapters {
			fmt.Fprintf(&b, " %s |", cell(a, results[a.Name][i]))
		}
		b.WriteString("\n")
	}
	b.WriteString(`
failsafe-go passes T7 with a rule of its own for what counts as a failure (HandleIf), gobreaker with IsExcluded; the table has
their defaults. cep21/circuit and mercari/go-circuitbreaker could not be had as modules here.
`)
	return b.String()
}

func cell(a safety.Adapter, r safety.Result) string {
	switch {
	case r.Scenario.ID == "T8" && a.NoCallback:
		return "has no listener"
	case r.Safe:
		return "✓"
	}
	return "**" + r.Seen + "**"
}

// TestSafetySeesDefects makes sure that the scenarios can fail: a breaker that lets everything through fails all but those
// about what it must not do.
func TestSafetySeesDefects(t *testing.T) {
	open := safety.Adapter{Name: "no breaker", NoCallback: true, New: func(safety.Config) safety.Breaker { return none{} }}
	shut := safety.Adapter{Name: "always open", NoCallback: true, New: func(safety.Config) safety.Breaker { return shut{} }}
	passed := map[string]string{"no breaker": "T4 T5 T6 T7 T8", "always open": "T8"}
	for _, a := range []safety.Adapter{open, shut} {
		var safe []string
		for _, s := range safety.Scenarios() {
			if play(t, s, a).Safe {
				safe = append(safe, s.ID)
			}
		}
		if got := strings.Join(safe, " "); got != passed[a.Name] {
			t.Errorf("%s passes %q, should pass %q", a.Name, got, passed[a.Name])
		}
	}
}

type none struct{}

func (none) Do(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
func (none) State() string                                                  { return "closed" }

type shut struct{}

func (shut) Do(context.Context, func(context.Context) error) error { return errors.New("refused") }
func (shut) State() string                                         { return "open" }
