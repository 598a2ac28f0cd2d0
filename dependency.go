package seatrial

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/resilience"
)

// maxDependencies bounds the names that a client keeps.
const maxDependencies = 1000

// Dependency is a called service: calls go through its policy, and may have faults injected. Get
// one with [Client.Dependency]. All methods are safe for concurrent use. A nil Dependency makes
// calls as they are.
//
// How it stands is reported to the control plane, and offered as metrics of OpenTelemetry with the
// attributes "seatrial.dependency" and "seatrial.policy.variant": "seatrial.dependency.state" (0
// closed, 1 half-open, 2 open), "seatrial.dependency.budget" (of retries, 0 to 1),
// "seatrial.dependency.in_flight", "seatrial.dependency.limit" (0: none), and the counter
// "seatrial.dependency.events" with the attribute "seatrial.event": opened, half_opened, closed,
// refused_open, refused_full, refused_limited, retry, retry_budget, hedge, fallback, timeout and
// failure. They are there from the first call of [Client.Dependency] on. Changes of the breaker are
// logged, too ([WithLogger]).
type Dependency struct {
	name   string
	client *Client // nil: calls go straight through
	point  *fault.Point
	code   resilience.Policy // of WithPolicy
	shield atomic.Pointer[shield]

	mu sync.Mutex // serialises refresh
}

// shield is what protects calls under one snapshot. Units whom no rule or trial of the policy flag
// concerns share the main executor, whose breaker outlives all changes; each other variant has
// its own, so that the breaker of one arm of a trial does not act in the other.
type shield struct {
	flag      *policyFlag // nil if all units get the same
	at        *snapshot
	main      *resilience.Executor
	base      string                          // the variant of main; empty: the policy in the code
	executors map[string]*resilience.Executor // by variant, without that of main
}

// Dependency gives the called service with that name, always the same one for a name. Names are
// fixed in the code and few: the client keeps up to 1000, more are served, but no longer
// controlled by flags. A nil client gives one that makes calls as they are.
func (c *Client) Dependency(name string) *Dependency {
	if c == nil {
		return &Dependency{name: name}
	}
	if found, ok := c.dependencies.Load(name); ok {
		return found.(*Dependency)
	}
	return c.addDependency(name)
}

func (c *Client) addDependency(name string) *Dependency {
	c.adding.Lock()
	defer c.adding.Unlock()
	if found, ok := c.dependencies.Load(name); ok {
		return found.(*Dependency)
	}
	d := &Dependency{name: name, client: c, code: c.config.policies[name], point: c.faultPoints.point(name)}
	d.shield.Store(&shield{main: d.newExecutor(d.code)})
	if c.dependencyCount >= maxDependencies {
		return d
	}
	d.refresh() // before anybody else can call under it
	c.dependencies.Store(name, d)
	c.dependencyCount++
	d.refresh() // if a snapshot came in between, it did not find d
	return d
}

// Name gives the dependency's name.
func (d *Dependency) Name() string {
	if d == nil {
		return ""
	}
	return d.name
}

// State gives the state of the breaker, as those units see it whom no rule or trial of the policy
// concerns; resilience.Closed without a breaker.
func (d *Dependency) State() resilience.State {
	if d == nil || d.client == nil {
		return resilience.Closed
	}
	return d.shield.Load().main.State()
}

// Policy gives the policy in force for those units, with defaults filled in.
func (d *Dependency) Policy() resilience.Policy {
	if d == nil || d.client == nil {
		return resilience.Policy{}
	}
	return d.shield.Load().main.Policy()
}

// PolicyFor gives the policy in force for the unit in ctx, with defaults filled in: the one that
// [Dependency.Do] would use now. Adapters ask for it where a call goes on after [Run].
func (d *Dependency) PolicyFor(ctx context.Context) resilience.Policy {
	if d == nil || d.client == nil {
		return resilience.Policy{}
	}
	return d.shield.Load().executor(ctx, d.client).Policy()
}

// Do makes the call under the dependency's policy, as [resilience.Executor.Do] does. Each attempt
// passes the point where faults may be injected, as the last thing before the call. The policy is
// that of the flag "policy-<name>", of kind policy, for the unit in ctx; without one that of
// [WithPolicy]. A nil ctx counts as context.Background().
func (d *Dependency) Do(ctx context.Context, call func(context.Context) error) error {
	if ctx == nil {
		ctx = context.Background()
	}
	if d == nil || d.client == nil {
		return call(ctx)
	}
	e := d.shield.Load().executor(ctx, d.client)
	if d.point == nil {
		return e.Do(ctx, call)
	}
	return e.Do(ctx, func(ctx context.Context) error { return d.point.Do(ctx, call) })
}

// executor gives the one for the unit in ctx, and exposes it to a trial of the policy.
func (s *shield) executor(ctx context.Context, c *Client) *resilience.Executor {
	if s.flag == nil {
		return s.main
	}
	where := scopeOf(ctx)
	var result eval.Result
	evaluateFor(s.flag.flag, where.core(), &result)
	s.at.seen.note(&result)
	if result.Role != eval.RoleNone {
		c.exposeBy(ctx, where, s.at, &result)
	}
	if e := s.executors[s.flag.usable(result.Variant)]; e != nil {
		return e
	}
	return s.main
}

// refreshDependencies brings all dependencies to the current snapshot.
func (c *Client) refreshDependencies() {
	c.dependencies.Range(func(_, d any) bool { d.(*Dependency).refresh(); return true })
}

// refresh brings the dependency to the current snapshot. Whoever comes last finds the newest.
func (d *Dependency) refresh() {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.client.current.Load()
	if at == nil {
		return
	}
	d.shield.Store(d.shield.Load().next(d, at))
}

// next gives the protection under another snapshot. Executors are kept as long as their variant.
func (s *shield) next(d *Dependency, at *snapshot) *shield {
	n := &shield{at: at, main: s.main}
	f := at.policy[d.name]
	if f == nil {
		n.main.Update(d.code)
		return n
	}
	base := f.base()
	n.base = base
	n.main.Update(d.policyOf(f, base))
	if !f.varies() {
		return n
	}
	n.flag = f
	n.executors = make(map[string]*resilience.Executor, len(f.policies))
	for variant := range f.policies {
		n.adopt(d, s, variant, base)
	}
	n.adopt(d, s, "", base)
	return n
}

// adopt adds the executor of a variant, the former one if there is one.
func (s *shield) adopt(d *Dependency, before *shield, variant, base string) {
	if variant == base {
		return
	}
	e := before.executors[variant]
	if e == nil {
		e = d.newExecutor(resilience.Policy{})
	}
	e.Update(d.policyOf(s.flag, variant))
	s.executors[variant] = e
}

// newExecutor makes an executor whose breaker's changes are logged.
func (d *Dependency) newExecutor(p resilience.Policy) *resilience.Executor {
	logger := d.client.config.logger
	if !logger.Enabled(context.Background(), slog.LevelWarn) {
		return resilience.New(d.name, p)
	}
	return resilience.New(d.name, p, resilience.OnEvent(func(e resilience.Event) { d.log(logger, e) }))
}

// log tells an operator what happened to a dependency as a whole; calls are not logged.
func (d *Dependency) log(logger *slog.Logger, e resilience.Event) {
	switch {
	case e.Kind == resilience.Panicked:
		logger.Warn("seatrial: a rival of a call panicked", "dependency", d.name, "error", e.Err)
	case e.Kind == resilience.StateChanged && e.To == resilience.Open:
		logger.Warn("seatrial: the breaker is open: calls are refused", "dependency", d.name, "before", e.From.String())
	case e.Kind == resilience.StateChanged:
		logger.Info("seatrial: the breaker changed", "dependency", d.name, "state", e.To.String(), "before", e.From.String())
	}
}

func (d *Dependency) policyOf(f *policyFlag, variant string) resilience.Policy {
	if p, ok := f.policies[variant]; ok {
		return p
	}
	return d.code
}
