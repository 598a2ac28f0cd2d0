// Package cohorts turns the telemetry of stock OpenTelemetry SDKs into the outcomes of trials that
// compare two deployments, told apart by a resource attribute such as service.version.
//
// What it reads are the request durations that the semantic conventions define (http.server.* and
// rpc.server.*, as histograms of either kind and either temporality), or SERVER spans. What it
// gives are the points that the SDK of Seatrial sends by itself, so everything behind it (intervals,
// evidence, journal) is the same.
//
// A count belongs to a trial if it was caused after the trial had started. Cumulative counts are
// told apart by process: a stream is known by its resource, scope, metric and start time, so a
// restarted process, and one whose resource does not tell it from its neighbours, is a stream of its
// own. The first point of a stream that began before the trial only says where counting starts.
package cohorts

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// Outcomes takes the points; *intervals.Accumulator is one.
type Outcomes interface {
	AddOutcomes(points []intervals.Point)
}

// Trials tells which trials run; *control.Service is one.
type Trials interface {
	ActiveTrials() []control.TrialEntry
	WaitSnapshot(ctx context.Context, have control.Head) (*control.View, error)
}

var (
	_ Outcomes = (*intervals.Accumulator)(nil)
	_ Trials   = (*control.Service)(nil)
)

// Limits bound a [Tracker]; zero fields mean the default.
type Limits struct {
	// MaxSeries is how many cumulative series are remembered, default 65 536. Above it, the
	// streams that were silent longest are forgotten; their next points only say where counting
	// starts again.
	MaxSeries int
	// MaxCounts is how many bucket counts they may have together, default 4 194 304 (32 MiB).
	MaxCounts int
}

// Tracker converts telemetry for the cohort trials that run. All methods are safe for concurrent
// use. Make one with [New].
type Tracker struct {
	outcomes Outcomes
	limits   Limits
	table    atomic.Pointer[table] // nil while no cohort trial runs

	mu      sync.Mutex
	streams map[streamKey]*stream
	series  int // of all streams
	counts  int
	touched uint64
	better  map[identity]uint8 // per resource: which conventions of a newer kind it follows
	common  map[string]*boundSet
	spans   seenSpans
	stats   Stats
}

// Stats count points (and spans) since the start. Every one that a trial wanted is in exactly one
// of the first five.
type Stats struct {
	Counted    uint64
	Early      uint64 // caused before the trial had started, or the first sight of a counter
	Duplicates uint64 // not later than what was counted of their series
	Resets     uint64 // counts that went down although the stream says it did not start anew
	Superseded uint64 // the same requests under an older convention
	Forgotten  uint64 // streams forgotten to stay within the limits
}

// New gives a tracker that wants nothing until [Tracker.Run] or [Tracker.Follow] tells it of trials.
func New(outcomes Outcomes, l Limits) *Tracker {
	l.MaxSeries = cmp.Or(max(l.MaxSeries, 0), 1<<16)
	l.MaxCounts = cmp.Or(max(l.MaxCounts, 0), 1<<22)
	return &Tracker{
		outcomes: outcomes, limits: l, streams: map[streamKey]*stream{},
		better: map[identity]uint8{}, common: map[string]*boundSet{},
	}
}

// Run follows the trials until ctx ends.
func (t *Tracker) Run(ctx context.Context, trials Trials) {
	var have control.Head
	for {
		view, err := trials.WaitSnapshot(ctx, have)
		if err != nil {
			return
		}
		have = view.Head
		t.Follow(trials.ActiveTrials())
	}
}

// table says whom a resource's requests count for.
type table struct {
	metrics, spans bool                           // anybody wants them
	byAttribute    map[string]map[string][]target // attribute, its value
	names          []string
}

// target is one arm of a trial.
type target struct {
	trial, version string
	arm            string
	service        string // empty: any
	spans          bool
	started        time.Time
	asked          []int // cells of the bounds that the trial reads, ascending
}

// Follow tells which trials run. Those without cohorts do not matter.
func (t *Tracker) Follow(trials []control.TrialEntry) {
	next := &table{byAttribute: map[string]map[string][]target{}}
	for i := range trials {
		if trials[i].Spec.Cohorts != nil {
			next.add(&trials[i])
		}
	}
	if len(next.names) == 0 {
		next = nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.Store(next)
	if next == nil {
		clear(t.streams)
		clear(t.better)
		t.series, t.counts, t.spans = 0, 0, seenSpans{}
	}
	for name := range t.common {
		if next == nil || !slices.Contains(next.names, name) {
			delete(t.common, name)
		}
	}
}

func (tb *table) add(entry *control.TrialEntry) {
	c := entry.Spec.Cohorts
	one := target{
		trial: entry.Spec.Name, version: entry.State.Version(entry.Spec), service: c.Service,
		spans: c.From == trial.FromSpans, started: entry.State.StartedAt, asked: asked(entry.Spec),
	}
	tb.metrics, tb.spans = tb.metrics || !one.spans, tb.spans || one.spans
	tb.names = append(tb.names, one.version)
	values := tb.byAttribute[c.Attribute]
	if values == nil {
		values = map[string][]target{}
		tb.byAttribute[c.Attribute] = values
	}
	one.arm = outcome.ArmTreatment
	values[c.Treatment] = append(values[c.Treatment], one)
	one.arm = outcome.ArmControl
	values[c.Control] = append(values[c.Control], one)
}

// asked are the bounds that a plan names. (Those that a trial learns are bounds of the telemetry
// already.)
func asked(spec trial.Spec) (cells []int) {
	for i := range spec.Guardrails {
		g := &spec.Guardrails[i]
		for _, bound := range g.Bounds {
			cells = append(cells, cellOf(bound))
		}
		if g.SLO != nil && g.SLO.Seconds > 0 {
			cells = append(cells, cellOf(g.SLO.Seconds))
		}
	}
	slices.Sort(cells)
	return slices.Compact(cells)
}

// Active reports whether any trial wants metrics or spans of stock SDKs now. It costs a load.
func (t *Tracker) Active() (metrics, spans bool) {
	if tb := t.table.Load(); tb != nil {
		return tb.metrics, tb.spans
	}
	return false, false
}

// Resource is who sent telemetry.
type Resource struct {
	Service    string // service.name
	Attributes []traces.Attribute
	Scope      string // what identifies the instrumentation scope
}

// Wants reports whether some trial counts the metrics (or the spans) of a resource.
func (t *Tracker) Wants(r *Resource, spans bool) bool {
	tb := t.table.Load()
	return tb != nil && len(tb.targets(r, spans)) > 0
}

// targets are the arms that a resource belongs to.
func (tb *table) targets(r *Resource, spans bool) (list []target) {
	for i := range r.Attributes {
		values := tb.byAttribute[r.Attributes[i].Key]
		if values == nil {
			continue
		}
		for _, one := range values[r.Attributes[i].Value.String()] {
			if one.spans == spans && (one.service == "" || one.service == r.Service) {
				list = append(list, one)
			}
		}
	}
	return list
}

// Stats returns the counts of now.
func (t *Tracker) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// compareAttributes orders by key, for identities.
func compareAttributes(a, b traces.Attribute) int { return strings.Compare(a.Key, b.Key) }
