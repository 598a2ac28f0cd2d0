package seatrial

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// benchSet is a state with a thousand flags: "static", "rule" (a segment, then 5 % of the units),
// "trial" (with all units in an arm), and others.
func benchSet() flag.Set {
	rule := release("rule")
	rule.Rules = []flag.Rule{
		{When: &flag.Condition{Segment: "testers"}, Serve: "on"},
		{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight / 20}}}},
	}
	testers := flag.Segment{Key: "testers", When: &flag.Condition{Attribute: "group", Op: flag.OpIn, Values: raw(`"beta-testers"`, `"internal-users"`)}}
	trial := release("trial")
	parts := []any{release("static"), rule, testers, trial, trialOn(trial, 0, 50)}
	for i := range 1000 {
		parts = append(parts, release(fmt.Sprint("other-", i)))
	}
	return setAt(1, parts...)
}

func benchUser() Context {
	return NewContext("8d7f0c1e-5a53-4e0f-9f0e-2f9d7c1b6a42").With("group", "customers").With("plan", "gold").With("country", "de")
}

// connected gives a client that records outcomes, but whose control plane never answers.
func connected(tb testing.TB, set flag.Set) *Client {
	c := newClient(config{server: "http://nowhere", logger: quiet, flushInterval: time.Minute})
	c.reports = newReporter(c)
	if _, err := c.install(set); err != nil {
		tb.Fatal(err)
	}
	return c
}

func BenchmarkEvaluate(b *testing.B) {
	c := connected(b, benchSet())
	ctx := WithContext(context.Background(), benchUser())
	inWork, work := c.Begin(ctx)
	defer work.End(nil)
	for _, key := range []string{"static", "rule", "trial"} {
		handle := c.BoolFlag(key, false)
		where := ctx
		if key == "trial" {
			where = inWork // where it counts
		}
		b.Run(key+"/handle", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				handle.Get(where)
			}
		})
		b.Run(key+"/key", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Bool(where, key, false)
			}
		})
		b.Run(key+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					handle.Get(where)
				}
			})
		})
	}
}

// BenchmarkWork is a unit of work with one exposure, from Begin to End.
func BenchmarkWork(b *testing.B) {
	c := connected(b, benchSet())
	handle := c.BoolFlag("trial", false)
	ctx := WithContext(context.Background(), benchUser())
	b.ReportAllocs()
	for b.Loop() {
		ctx, w := c.Begin(ctx)
		handle.Get(ctx)
		w.End(nil)
	}
}

func BenchmarkHandler(b *testing.B) {
	c := connected(b, benchSet())
	handler := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(w, r)
	}
}

func BenchmarkDependency(b *testing.B) {
	c := connected(b, benchSet())
	d := c.Dependency("payment")
	ctx := WithContext(context.Background(), benchUser())
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Do(ctx, succeed)
	}
}

// Evaluations without a trial must not allocate, nor repeated ones with a trial.
func TestEvaluationNoAlloc(t *testing.T) {
	c := connected(t, benchSet())
	ctx := WithContext(context.Background(), benchUser())
	inWork, work := c.Begin(ctx)
	defer work.End(nil)
	wrapped := context.WithValue(ctx, foreignKey{}, "value")
	static, rule, trial := c.BoolFlag("static", false), c.BoolFlag("rule", false), c.BoolFlag("trial", false)
	tests := map[string]func(){
		"handle, static":         func() { static.Get(ctx) },
		"handle, rule and split": func() { rule.Get(ctx) },
		"handle, details":        func() { rule.Details(ctx) },
		"handle, wrapped":        func() { rule.Get(wrapped) },
		"handle, nil context":    func() { static.Get(noContext) },
		"key, static":            func() { c.Bool(ctx, "static", false) },
		"key, rule and split":    func() { c.Bool(ctx, "rule", false) },
		"key, not found":         func() { c.Bool(ctx, "nowhere", false) },
		"key, string":            func() { c.String(ctx, "static", "") },
		"trial, in work, again":  func() { trial.Get(inWork) },
		"trial, outside":         func() { trial.Get(ctx) },
		"nil client":             func() { (*Client)(nil).Bool(ctx, "static", false) },
	}
	for name, evaluation := range tests {
		if n := testing.AllocsPerRun(1000, evaluation); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
