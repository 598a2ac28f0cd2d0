package seatrial

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
)

// seenIn gives the sightings of reports, one text for each point: "flag" or "flag=variant".
func seenIn(t *testing.T, reports []*collector.ExportMetricsServiceRequest) (list []string) {
	t.Helper()
	for _, r := range reports {
		for _, m := range r.ResourceMetrics[0].ScopeMetrics[0].Metrics {
			if m.Name != "seatrial.flag.evaluations.seen" {
				continue
			}
			if s := m.GetSum(); s.AggregationTemporality != 1 || !s.IsMonotonic || m.Unit != "{flag}" {
				t.Errorf("not a monotonic delta sum: %v", m)
			}
			for _, p := range m.GetSum().DataPoints {
				var text []string
				for _, a := range p.Attributes {
					if want := []string{"feature_flag.key", "feature_flag.result.variant"}[len(text)]; a.Key != want {
						t.Errorf("attribute %q, want %q", a.Key, want)
					}
					text = append(text, a.Value.GetStringValue())
				}
				if p.GetAsInt() != 1 || p.StartTimeUnixNano == 0 || p.StartTimeUnixNano >= p.TimeUnixNano {
					t.Errorf("point %v", p)
				}
				list = append(list, strings.Join(text, "="))
			}
		}
	}
	return list
}

// wantSeen checks what the plane was told since the last call.
func (p *plane) wantSeen(when string, want ...string) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	got := seenIn(p.t, p.taken)
	p.taken = nil
	p.mu.Unlock()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		p.t.Errorf("%s: told %q, want %q", when, got, want)
	}
}

func TestSeenIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off := release("off")
		off.Enabled = false
		rule := release("rule")
		rule.Rules = []flag.Rule{{When: &flag.Condition{Attribute: "plan", Op: flag.OpExists}, Serve: "on"}}
		set := setAt(1, off, rule, release("never"), release("mismatch"))
		p := newPlane(t, set)
		c := p.open()
		ctx := t.Context()
		use := func() {
			c.Bool(ctx, "off", true)
			c.BoolFlag("rule", true).Get(ctx)
			c.Int(ctx, "mismatch", 1)
			c.Bool(ctx, "nowhere", true)
		}
		use()
		time.Sleep(6 * time.Second)
		p.wantSeen("first", "mismatch=off", "off", "rule=off")
		use()
		time.Sleep(50 * time.Second)
		p.wantSeen("within the minute")
		c.Bool(WithContext(ctx, NewContext("u").With("plan", "pro")), "rule", true)
		time.Sleep(15 * time.Second)
		p.wantSeen("after the minute", "mismatch=off", "off", "rule=off", "rule=on")
		time.Sleep(time.Hour)
		p.wantSeen("nothing was evaluated")

		use()
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		p.wantSeen("flush", "mismatch=off", "off", "rule=off")
		c.Bool(ctx, "rule", true)
		p.publish(setAt(2, off, release("never"), release("rule")))
		synctest.Wait()
		_ = c.Close(ctx)
		p.wantSeen("noted in the snapshot before, told at the end", "rule=off")
	})
}

// Faults and policies are evaluated where calls are, which counts.
func TestSeenOfFaultsAndPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newFlag("slow", flag.KindFault, flag.TypeObject, "off", "null", "on", failing)
		policy := newFlag("policy-payment", flag.KindPolicy, flag.TypeObject, "a", `{}`, "b", `{}`)
		policy.Rules = []flag.Rule{{When: &flag.Condition{Attribute: "plan", Op: flag.OpExists}, Serve: "b"}}
		set := setAt(1, slow, policy, trialOn(slow, 0, 50))
		out := WithContext(t.Context(), NewContext(userIn(t, offline(t, set), "slow", control)))
		p := newPlane(t, set)
		c := p.open(allowed())
		if err := c.Dependency("payment").Do(out, func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		p.wantSeen("a call", "policy-payment=a", "slow=off")
	})
}

// A report is bounded; what is left over comes with the next, and nothing comes twice.
func TestSeenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		var parts []any
		for i := range n {
			parts = append(parts, release(fmt.Sprintf("flag-%04d", i)))
		}
		p := newPlane(t, setAt(1, parts...))
		c := p.open()
		for i := range n {
			c.Bool(t.Context(), fmt.Sprintf("flag-%04d", i), false)
		}
		time.Sleep(10 * time.Minute)
		told := map[string]int{}
		taken, _ := p.reports()
		for _, r := range taken {
			list := seenIn(t, []*collector.ExportMetricsServiceRequest{r})
			if len(list) > 2000 {
				t.Errorf("%d points in one report", len(list))
			}
			for _, s := range list {
				told[s]++
			}
		}
		for s, times := range told {
			if times != 1 {
				t.Errorf("%s was told %d times", s, times)
			}
		}
		if len(told) != n {
			t.Errorf("%d flags were told, want %d", len(told), n)
		}
	})
}

// While the control plane is away, sightings wait, and Close does not wait for them.
func TestSeenWaitsForThePlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, setAt(1, release("f")))
		c := p.open()
		p.fail(503)
		p.judge = func(int) (int, string) { return 503, "" }
		time.Sleep(time.Minute)
		c.Bool(t.Context(), "f", false)
		time.Sleep(10 * time.Minute)
		if _, bodies := p.reports(); len(bodies) > 0 {
			t.Errorf("%d reports were sent", len(bodies))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := c.Close(ctx); err != nil || time.Since(began) > time.Second {
			t.Errorf("closed with %v after %v", err, time.Since(began))
		}
	})
}

// A set of flags that changes all the time loses no sighting.
func TestSeenSurvivesChanges(t *testing.T) {
	c := offline(t, setAt(1, release("a"), release("b")))
	c.Bool(t.Context(), "a", true)
	for revision := int64(2); revision < 50; revision++ {
		parts := []any{release("b"), release(fmt.Sprint("a", revision)), newFlag("a", flag.KindRelease, flag.TypeBoolean, fmt.Sprint("v", revision), "true", "off", "false")}
		if _, err := c.install(setAt(revision, parts...)); err != nil {
			t.Fatal(err)
		}
	}
	var state seenReports
	if got := c.takeSeen(&state, time.Now(), true); !slices.Equal(got, []served{{"a", "off"}}) {
		t.Errorf("told %v", got)
	}
}
