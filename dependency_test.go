package seatrial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/resilience"
)

const (
	failing = `{"point":"payment","rate":1,"faults":[{"kind":"error","status":503}]}`
	slow    = `{"point":"payment","rate":1,"faults":[{"kind":"latency","min":"9m","max":"9m"}]}`
)

// faultSet is a state with fault flag "f", under trial with 50 % in each arm.
func faultSet(revision int64, program string) flag.Set {
	f := faultFlagOf(program)
	return setAt(revision, f, trialOn(f, 0, 50))
}

func faultFlagOf(program string) flag.Flag {
	return newFlag("f", flag.KindFault, flag.TypeObject, "none", "null", "fault", program)
}

// allowed lets everything be injected.
func allowed() Option { return WithFaults(fault.Caps{MaxLatency: fault.MaxLatency, MaxActive: 1000}) }

func succeed(context.Context) error { return nil }

// usersOf gives contexts of a unit in treatment and of one in control of "f".
func usersOf(t *testing.T, set flag.Set) (in, out context.Context) {
	c := offline(t, set)
	return WithContext(t.Context(), NewContext(userIn(t, c, "f", treatment))), WithContext(t.Context(), NewContext(userIn(t, c, "f", control)))
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		p := newPlane(t, set)
		c := p.open(allowed())
		if !c.Status().FaultsAllowed {
			t.Error("status says that no faults can be injected")
		}
		call := func(ctx context.Context, dependency string) error {
			ctx, w := c.Begin(ctx)
			err := c.Dependency(dependency).Do(ctx, succeed)
			w.End(err)
			return err
		}
		if err := call(in, "payment"); !errors.Is(err, fault.ErrInjected) {
			t.Errorf("treatment: %v, want an injected fault", err)
		}
		if err := call(out, "payment"); err != nil {
			t.Errorf("control: %v", err)
		}
		for _, ctx := range []context.Context{in, out, t.Context()} {
			if err := call(ctx, "shipping"); err != nil {
				t.Errorf("another point: %v", err)
			}
		}
		if err := call(t.Context(), "payment"); err != nil {
			t.Errorf("an anonymous unit: %v", err)
		}
		p.wantArrived(c, map[string]arrived{
			inTreatment: {Requests: 1, Bad: 1, New: 1, AtRisk: 1, BadUnits: 1},
			inControl:   {Requests: 1, New: 1, AtRisk: 1},
		})
	})
}

// Where faults are not allowed nothing is injected, and nobody is exposed to a trial of them: its
// verdict must not come from units that could not be hit.
func TestFaultsNotAllowed(t *testing.T) {
	tests := map[string]struct {
		environment string
		options     []Option
		want        bool
	}{
		"allowed":            {"", []Option{allowed()}, true},
		"allowed twice":      {"ON", []Option{allowed()}, true},
		"not asked for":      {"", nil, false},
		"on, not asked for":  {"on", nil, false},
		"off by environment": {"off", []Option{allowed()}, false},
		"slip of the pen":    {"offf", []Option{allowed()}, false},
		"a number":           {"0", []Option{allowed()}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvFaults, test.environment)
			synctest.Test(t, func(t *testing.T) {
				set := faultSet(1, failing)
				in, _ := usersOf(t, set)
				p := newPlane(t, set)
				c := p.open(test.options...)
				ctx, w := c.Begin(in)
				err := c.Dependency("payment").Do(ctx, succeed)
				w.End(nil)
				if got := errors.Is(err, fault.ErrInjected); got != test.want || c.Status().FaultsAllowed != test.want {
					t.Errorf("injected %v, allowed %v, want %v", got, c.Status().FaultsAllowed, test.want)
				}
				if got := len(p.arrivedAt(c)) > 0; got != test.want {
					t.Errorf("exposed %v, want %v", got, test.want)
				}
			})
		})
	}
}

// The dead man's switch: with the control plane silent, faults end within the lease, and a second.
func TestS1FaultsEndWithTheLease(t *testing.T) {
	silences := map[string]func(p *plane){
		"silent":  func(p *plane) { p.setSilent(true) },
		"refused": func(p *plane) { p.fail(503) },
		"gone":    func(p *plane) { p.fail(503); _ = p.listener.Close() },
		"a state that cannot be used": func(p *plane) {
			next := faultSet(2, failing)
			next.Flags[0].Type = "no type"
			p.change(next)
			p.send(sse("snapshot", next))
		},
		"old states": func(p *plane) {
			p.setSilent(true)
			go func() {
				for range 20 {
					time.Sleep(5 * time.Second)
					p.send(sse("snapshot", faultSet(0, failing)))
				}
			}()
		},
		"server behind": func(p *plane) { p.change(faultSet(0, failing)) },
	}
	for name, silence := range silences {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := faultSet(1, failing)
				in, _ := usersOf(t, set)
				p := newPlane(t, set)
				c := p.open(allowed())
				d := c.Dependency("payment")
				time.Sleep(5 * time.Minute)
				if err := d.Do(in, succeed); !errors.Is(err, fault.ErrInjected) {
					t.Fatalf("five minutes with bookmarks: %v, want a fault", err)
				}
				silence(p)
				quiet := time.Now()
				for d.Do(in, succeed) != nil {
					if time.Since(quiet) > fault.MaxLease+time.Second {
						t.Fatal("faults are injected after the lease")
					}
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(time.Hour)
				if err := d.Do(in, succeed); err != nil || c.Status().FaultsAllowed {
					t.Errorf("an hour later: %v, allowed %v", err, c.Status().FaultsAllowed)
				}
			})
		})
	}
}

func TestFaultsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, _ := usersOf(t, set)
		p := newPlane(t, set)
		c := p.open(allowed())
		p.fail(503)
		time.Sleep(time.Hour)
		p.fail(0)
		time.Sleep(2 * time.Minute)
		if err := c.Dependency("payment").Do(in, succeed); !errors.Is(err, fault.ErrInjected) {
			t.Errorf("the control plane is back: %v, want a fault", err)
		}
	})
}

// What a file says is never injected before the control plane has been heard from.
func TestFileDoesNotInject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, _ := usersOf(t, set)
		path := filepath.Join(t.TempDir(), "lkg.json")
		if err := saveSnapshot(path, &set); err != nil {
			t.Fatal(err)
		}
		p := newPlane(t, set)
		p.fail(503)
		c := p.open(allowed(), WithFile(path), WithWait(0))
		d := c.Dependency("payment")
		if err := d.Do(in, succeed); err != nil || c.Status().Revision != 1 {
			t.Errorf("from the file: %v, status %+v", err, c.Status())
		}
		p.fail(0)
		time.Sleep(2 * time.Second)
		if err := d.Do(in, succeed); !errors.Is(err, fault.ErrInjected) {
			t.Errorf("with the control plane: %v, want a fault", err)
		}
	})
}

// Latencies under way end with what made them, so that a stop is felt at once.
func TestS2FaultsAreCutShort(t *testing.T) {
	stopped := faultSet(2, slow)
	stopped.Flags[0].Enabled = false
	tests := map[string]struct {
		stop func(p *plane, c *Client)
		want time.Duration // that the call takes at most
	}{
		"flag off":      {func(p *plane, _ *Client) { p.publish(stopped) }, 0},
		"flag deleted":  {func(p *plane, _ *Client) { p.publish(setAt(2)) }, 0},
		"trial over":    {func(p *plane, _ *Client) { p.publish(setAt(2, faultFlagOf(slow))) }, 0},
		"other program": {func(p *plane, _ *Client) { p.publish(faultSet(2, failing)) }, 0},
		"closed":        {func(_ *plane, c *Client) { c.Close(context.Background()) }, 0},
		"silent":        {func(p *plane, _ *Client) { p.setSilent(true) }, 31 * time.Second},
		"unrelated change": {func(p *plane, _ *Client) {
			next := faultSet(2, slow)
			next.Flags = append(next.Flags, release("other"))
			p.publish(next)
		}, 9 * time.Minute},
		"next step": {func(p *plane, _ *Client) {
			f := faultFlagOf(slow)
			p.publish(setAt(2, f, trialOn(f, 1, 50)))
		}, 9 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := faultSet(1, slow)
				in, _ := usersOf(t, set)
				p := newPlane(t, set)
				c := p.open(allowed())
				began := time.Now()
				var took time.Duration
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := c.Dependency("payment").Do(in, succeed); err != nil {
						t.Error(err)
					}
					took = time.Since(began)
				})
				synctest.Wait()
				test.stop(p, c)
				wg.Wait()
				if took > test.want || test.want == 9*time.Minute && took != test.want {
					t.Errorf("the call took %v, want %v", took, test.want)
				}
			})
		})
	}
}

func TestSeveralFaultFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newFlag("a", flag.KindFault, flag.TypeObject, "none", "null", "fault", strings.Replace(failing, "503", "500", 1))
		second := newFlag("b", flag.KindFault, flag.TypeObject, "none", "null", "fault", failing)
		broken := newFlag("broken", flag.KindFault, flag.TypeObject, "bad", `{"point":"payment","rate":7}`)
		var log bytes.Buffer
		p := newPlane(t, setAt(1, broken, second, first, trialOn(first, 0, 50), trialOn(second, 0, 50)))
		c := p.open(allowed(), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		seen := map[int]int{}
		for i := range 100 {
			ctx, w := c.Begin(WithContext(t.Context(), NewContext(fmt.Sprint("user-", i))))
			err := c.Dependency("payment").Do(ctx, succeed)
			w.End(nil)
			injection, _ := fault.From(err)
			seen[injection.Status]++
			if injection.Status == 500 && injection.Experiment != "a-trial" || injection.Status == 503 && injection.Experiment != "b-trial" {
				t.Errorf("%+v", injection)
			}
		}
		if seen[500] < 25 || seen[503] < 10 || seen[0] < 10 {
			t.Errorf("by status: %v", seen)
		}
		requests := 0
		for _, a := range p.arrivedAt(c) {
			requests += int(a.Requests)
		}
		hit := seen[500] + seen[503]
		if requests != 200-hit || c.Status().Excluded != uint64(hit) {
			t.Errorf("%d exposures, %d units excluded: want both flags to be met by all 100 units, but for the %d hit by the other's fault",
				requests, c.Status().Excluded, hit)
		}
		if got := strings.Count(log.String(), "cannot be used"); got != 1 || !strings.Contains(log.String(), "broken") {
			t.Errorf("log: %s", &log)
		}
	})
}

// Whoever asks for a dependency first, or at the same time, gets it with its policy and its faults.
func TestADependencyIsUnderControlFromItsFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, _ := usersOf(t, set)
		set.Flags = append(set.Flags, policySet(1, "a", twice).Flags...)
		for range 50 {
			c := newPlane(t, set).open(allowed())
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					d := c.Dependency("payment")
					if retry := d.Policy().Retry; retry == nil || retry.MaxAttempts != 2 {
						t.Errorf("retries %+v, want the flag's", retry)
					}
					if err := d.Do(in, succeed); !errors.Is(err, fault.ErrInjected) {
						t.Errorf("not injected: %v", err)
					}
				})
			}
			all.Wait()
			_ = c.Close(t.Context())
		}
	})
}

// policySet is a state with the policy of "payment": the values by variant, the first in force.
func policySet(revision int64, variants ...string) flag.Set {
	return setAt(revision, newFlag("policy-payment", flag.KindPolicy, flag.TypeObject, variants...))
}

const (
	twice  = `{"retry":{"maxAttempts":2,"baseDelay":"1ms"}}`
	breaks = `{"breaker":{"consecutiveFailures":2,"openFor":"1m"}}`
)

// quiet is a logger for clients that are made without Open.
var quiet = slog.New(slog.DiscardHandler)

var errDown = errors.New("down")

// attempts gives how many attempts a failing call makes.
func attempts(ctx context.Context, d *Dependency) (n int) {
	_ = d.Do(ctx, func(context.Context) error { n++; return errDown })
	return n
}

func TestPolicyIsLive(t *testing.T) {
	inCode := WithPolicy("payment", resilience.Policy{Retry: &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Millisecond}})
	disabled := policySet(1, "a", twice)
	disabled.Flags[0].Enabled = false
	otherKind := policySet(1, "a", twice)
	otherKind.Flags[0].Kind = flag.KindConfig
	codeDefault := policySet(1, "a", twice)
	codeDefault.Flags[0].DefaultVariant = ""
	tests := map[string]struct {
		set  flag.Set
		want int // attempts
	}{
		"no flag":           {setAt(1), 3},
		"flag":              {policySet(1, "a", twice), 2},
		"no policy by flag": {policySet(1, "a", "null"), 1},
		"disabled":          {disabled, 3},
		"code default":      {codeDefault, 3},
		"another kind":      {otherKind, 3},
		"cannot be read":    {policySet(1, "a", `{"retry":{"maxAttempts":-1}}`), 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := offline(t, setAt(0), inCode)
			d := c.Dependency("payment")
			if got := attempts(t.Context(), d); got != 3 {
				t.Errorf("before: %d attempts, want the 3 of the code", got)
			}
			if _, err := c.install(test.set); err != nil {
				t.Fatal(err)
			}
			if got := attempts(t.Context(), d); got != test.want {
				t.Errorf("%d attempts, want %d", got, test.want)
			}
			late := offline(t, test.set, inCode).Dependency("payment")
			if got := attempts(t.Context(), late); got != test.want {
				t.Errorf("dependency made after the flag: %d attempts, want %d", got, test.want)
			}
			if _, err := c.install(setAt(2)); err != nil {
				t.Fatal(err)
			}
			if got := attempts(t.Context(), d); got != 3 {
				t.Errorf("flag gone: %d attempts, want 3", got)
			}
		})
	}
}

func TestPolicyChangeKeepsTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := offline(t, policySet(1, "a", breaks, "b", strings.Replace(breaks, "1m", "10m", 1)))
		d := c.Dependency("payment")
		for range 2 {
			attempts(t.Context(), d)
		}
		if d.State() != resilience.Open {
			t.Fatalf("breaker is %v", d.State())
		}
		next := policySet(2, "b", strings.Replace(breaks, "1m", "10m", 1), "a", breaks)
		if _, err := c.install(next); err != nil {
			t.Fatal(err)
		}
		if d.State() != resilience.Open || attempts(t.Context(), d) != 0 || d.Policy().Breaker.OpenFor != 10*time.Minute {
			t.Errorf("breaker is %v under policy %+v: want it open still", d.State(), d.Policy())
		}
	})
}

// In a trial of a policy each arm has a breaker of its own, and both are exposed by calling.
func TestPolicyUnderTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlag("f", flag.KindPolicy, flag.TypeObject, "none", "null", "breaks", breaks)
		f.Key = "policy-payment"
		a := trialOn(f, 0, 50)
		a.Trial, a.Version, a.Salt = "f-trial", "f-trial.1.0", "f-salt"
		set := setAt(1, f, a)
		base := offline(t, set)
		in := WithContext(t.Context(), NewContext(userIn(t, base, f.Key, treatment)))
		out := WithContext(t.Context(), NewContext(userIn(t, base, f.Key, control)))
		p := newPlane(t, set)
		c := p.open()
		d := c.Dependency("payment")
		reach := func(ctx context.Context) (n int) {
			for range 5 {
				ctx, w := c.Begin(ctx)
				n += attempts(ctx, d)
				w.End(nil)
			}
			return n
		}
		if treated, others := reach(in), reach(out); treated != 2 || others != 5 || d.State() != resilience.Closed {
			t.Errorf("%d calls of the treatment and %d of control arrived, want 2 and 5", treated, others)
		}
		if of := d.PolicyFor; of(in).Breaker == nil || of(out).Breaker != nil || d.Policy().Breaker != nil {
			t.Errorf("policies: treatment %+v, control %+v, without a trial %+v", of(in), of(out), d.Policy())
		}
		p.wantArrived(c, map[string]arrived{
			inTreatment: {Requests: 5, New: 1, AtRisk: 1},
			inControl:   {Requests: 5, New: 1, AtRisk: 1},
		})
		set.Revision, set.Hash = 2, "hash-2"
		set.Flags[0].Description = "changed"
		p.publish(set)
		if err := c.WaitRevision(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if treated := reach(in); treated != 0 {
			t.Errorf("after a change of something else %d calls arrived: the breaker forgot", treated)
		}
	})
}

// The policy is outside and the fault inside: each attempt meets it.
func TestPolicyAroundFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		set.Flags = append(set.Flags, policySet(1, "a", `{"retry":{"maxAttempts":4,"baseDelay":"1ms"}}`).Flags...)
		in, _ := usersOf(t, set)
		c := newPlane(t, set).open(allowed())
		d := c.Dependency("payment")
		called := false
		err := d.Do(in, func(context.Context) error { called = true; return nil })
		if !errors.Is(err, fault.ErrInjected) || called || d.point.Injected() != 4 {
			t.Errorf("error %v, called %v, %d faults: want 4 attempts, all hit", err, called, d.point.Injected())
		}
	})
}

// The same trace meets the same faults, other traces others.
func TestS11FaultsOfATraceCanBeReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, strings.Replace(failing, `"rate":1`, `"rate":0.5`, 1))
		in, _ := usersOf(t, set)
		c := newPlane(t, set).open(allowed())
		hits := func(trace byte) string {
			ctx, w := c.Begin(inTrace(in, trace))
			defer w.End(nil)
			var b strings.Builder
			for range 40 {
				b.WriteByte("01"[min(attempts(ctx, c.Dependency("payment")), 1)])
			}
			return b.String()
		}
		one, again, other := hits(1), hits(1), hits(2)
		if one != again || one == other || !strings.Contains(one, "1") || !strings.Contains(one, "0") {
			t.Errorf("trace 1: %s, again: %s, trace 2: %s", one, again, other)
		}
	})
}

// The last dependency that there is room for is one, however many ask for it at a time.
func TestTheLastDependencyIsOne(t *testing.T) {
	for range 100 {
		c := offline(t, setAt(1))
		c.dependencyCount = maxDependencies - 1
		got := make(chan *Dependency, 8)
		for range cap(got) {
			go func() { got <- c.Dependency("last") }()
		}
		first := <-got
		for range cap(got) - 1 {
			if d := <-got; d != first {
				t.Fatal("two dependencies of one name")
			}
		}
	}
}

func TestDependencies(t *testing.T) {
	c := offline(t, setAt(1), WithPolicy("payment", resilience.Policy{Timeout: time.Second}))
	d := c.Dependency("payment")
	if c.Dependency("payment") != d || d.Name() != "payment" || d.Policy().Timeout != time.Second {
		t.Errorf("%q, %+v", d.Name(), d.Policy())
	}
	if err := d.Do(noContext, succeed); err != nil {
		t.Error(err)
	}
	if err := (*Dependency)(nil).Do(t.Context(), func(context.Context) error { return errDown }); err != errDown {
		t.Errorf("nil dependency: %v", err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				c.Dependency(fmt.Sprint("d-", i))
				if i%100 == g {
					_, _ = c.install(policySet(int64(2+i+g), "a", twice))
				}
			}
		})
	}
	wg.Wait()
	for i := range 2000 {
		if got := c.Dependency(fmt.Sprint("dynamic-", i)).Do(t.Context(), func(context.Context) error { return errDown }); got != errDown {
			t.Fatal(got)
		}
	}
	kept := 0
	c.dependencies.Range(func(_, _ any) bool { kept++; return true })
	if kept != maxDependencies {
		t.Errorf("%d dependencies are kept, want %d", kept, maxDependencies)
	}
}
