package seatrial

import (
	"cmp"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"go.opentelemetry.io/otel/trace"
)

// endedKept is how long the counters of an ended trial or step are kept for units of work that
// still run.
const endedKept = 10 * time.Minute

// arm indexes the two arms of a trial.
type arm uint8

const (
	treatment arm = iota
	control
	arms // how many
)

func armOf(r eval.Role) arm {
	if r == eval.RoleTreatment {
		return treatment
	}
	return control
}

func (a arm) name() string {
	if a == treatment {
		return outcome.ArmTreatment
	}
	return outcome.ArmControl
}

// outcomes counts the outcomes of all trials since the last flush.
type outcomes struct {
	mixed      atomic.Uint64
	excluded   atomic.Uint64
	injections injections
	unusable   atomic.Uint64 // tracked values that could not be counted

	mu      sync.Mutex
	history string            // whose trials the following are
	trials  map[string]*tally // by attempt of a trial
	series  map[string]*series
	from    time.Time         // start of the report to come
	live    map[string]string // attempt of a trial → version in force
}

func newOutcomes(start time.Time) *outcomes {
	return &outcomes{trials: map[string]*tally{}, series: map[string]*series{}, from: start, live: map[string]string{}}
}

// series is one (trial, version): what is counted for it lies in its tally.
type series struct {
	ref       eval.TrialRef
	attempt   string
	variants  [arms]string
	telemetry [arms]telemetry
	tally     *tally
	lastUsed  time.Time // at a flush; guarded by outcomes.mu
}

// tally counts one attempt of one trial, over all its steps. Units belong to shards by their
// hash, so one lock guards a unit's history and the counts that it changes.
type tally struct {
	fault  bool // the fault of an experiment is on; guarded by outcomes.mu
	shards []shard
	events []flag.Event // what is counted of tracked events, at most flag.MaxEvents
}

// shard is one part of a tally.
type shard struct {
	mu      sync.Mutex
	ledger  ledger
	current string // the version in force
	counts  []versionCounts
	_       [64]byte // keeps neighbours off the cache line
}

// versionCounts are the counts of one version; there is rarely more than one.
type versionCounts struct {
	version   string
	arms      [arms]outcome.Arm
	measures  [arms][]outcome.Measure // as tally.events; nil: none yet
	exemplars []outcome.Exemplar
}

// attemptOf cuts the step off a version: "trial.attempt.step".
func attemptOf(version string) string {
	if dot := strings.LastIndexByte(version, '.'); dot > 0 {
		return version[:dot]
	}
	return version
}

// shardCount is a power of two near the number of processors.
var shardCount = func() int {
	n := 1
	for n < runtime.GOMAXPROCS(0) && n < 16 {
		n *= 2
	}
	return n
}()

func newTally(version string, events []flag.Event) *tally {
	t := &tally{shards: make([]shard, shardCount), events: events[:min(len(events), flag.MaxEvents)]}
	for i := range t.shards {
		t.shards[i].ledger = newLedger(maxUnits / shardCount)
		t.shards[i].current = version
	}
	return t
}

// setLive tells that the allocations of set are in force from now on. Trials that are over are
// forgotten with their units; a new step starts a new epoch. When the fault of an experiment comes on
// after its steady phase, all units are new: what they were like without it says nothing about it.
// With another history everything is forgotten: the same version is another trial there.
func (o *outcomes) setLive(set *flag.Set) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.history != set.History {
		o.history = set.History
		clear(o.trials)
		clear(o.series)
		o.injections.take()
	}
	allocations := set.Allocations
	live := make(map[string]string, len(allocations))
	for i := range allocations {
		version := allocations[i].Version
		attempt := attemptOf(version)
		live[attempt] = version
		if t := o.trials[attempt]; t != nil {
			t.moveTo(version, t.fault != allocations[i].Fault)
			t.fault = allocations[i].Fault
		}
	}
	for attempt := range o.trials {
		if live[attempt] == "" {
			delete(o.trials, attempt)
		}
	}
	o.live = live
}

// moveTo makes version the one whose units are counted; afresh forgets those seen so far.
func (t *tally) moveTo(version string, afresh bool) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		if s.current != version {
			s.current = version
			s.ledger.nextEpoch()
		}
		if afresh {
			s.ledger = newLedger(maxUnits / shardCount)
		}
		s.mu.Unlock()
	}
}

// seriesOf gives the series of a reference that an evaluation in s gave. The cache lives with
// the snapshot, as the reference does.
func (o *outcomes) seriesOf(s *snapshot, ref *eval.TrialRef) *series {
	if found, ok := s.series.Load(ref); ok {
		return found.(*series)
	}
	found := o.findSeries(s, ref)
	s.series.Store(ref, found)
	return found
}

func (o *outcomes) findSeries(s *snapshot, ref *eval.TrialRef) *series {
	o.mu.Lock()
	defer o.mu.Unlock()
	current := s.set.History == o.history
	if found := o.series[ref.Version]; current && found != nil {
		return found
	}
	allocated := s.allocated(ref)
	if !current { // just replaced: what it decides counts for nobody
		return newSeries(s, ref, allocated, newTally(ref.Version, nil))
	}
	attempt := attemptOf(ref.Version)
	t := o.trials[attempt]
	if t == nil {
		// An evaluation in a snapshot that was just replaced may come first.
		t = newTally(cmp.Or(o.live[attempt], ref.Version), allocated.Events)
		t.fault = allocated.Fault
		o.trials[attempt] = t
	}
	found := newSeries(s, ref, allocated, t)
	o.series[ref.Version] = found
	return found
}

func newSeries(s *snapshot, ref *eval.TrialRef, allocated *flag.Allocation, t *tally) *series {
	made := &series{ref: *ref, attempt: attemptOf(ref.Version), tally: t, lastUsed: time.Now()}
	made.variants = [arms]string{treatment: allocated.Treatment, control: allocated.Control}
	for a := range arms {
		made.telemetry[a] = newTelemetry(s.set.Environment, ref, made.variants[a])
	}
	return made
}

// allocated gives what a trial makes of its flag.
func (s *snapshot) allocated(ref *eval.TrialRef) *flag.Allocation {
	for i := range s.set.Allocations {
		if a := &s.set.Allocations[i]; a.Version == ref.Version {
			return a
		}
	}
	return &flag.Allocation{}
}

// observation is the end of one unit of work.
type observation struct {
	seconds float64
	bad     bool
	at      time.Time
	traceID trace.TraceID // zero: no exemplar
	spanID  trace.SpanID
	tracked []tracked
}

// record counts the end of a unit of work for one arm. An empty key counts as a request of
// nobody.
func (s *series) record(a arm, key string, seen *observation) {
	had := seen.had(s.tally.events)
	hash := rand.Uint64()
	if key != "" {
		hash = unitHash(s.ref.Salt, key)
	}
	part := &s.tally.shards[hash&uint64(len(s.tally.shards)-1)]
	part.mu.Lock()
	defer part.mu.Unlock()
	counts := part.countsOf(s.ref.Version)
	to := &counts.arms[a]
	to.Requests++
	if seen.bad {
		to.Bad++
	}
	to.Latency.Record(seen.seconds)
	var first sighting
	if key != "" {
		first = part.count(to, hash, s.ref.Version, seen.bad, had)
	}
	counts.addEvents(a, s.tally.events, seen, had, first)
	if seen.bad && a == treatment && seen.traceID.IsValid() {
		counts.exemplars = outcome.AddExemplars(counts.exemplars, outcome.Exemplar{
			TraceID: seen.traceID.String(), SpanID: seen.spanID.String(), Time: seen.at, Seconds: seen.seconds,
		})
	}
}

// count adds a request to the counts of units. What ends under a step that is over no longer
// counts units, so that no unit is at risk under one step and bad under another.
func (p *shard) count(to *outcome.Arm, hash uint64, version string, bad bool, had eventSet) sighting {
	if version != p.current {
		if bad || had != 0 {
			p.ledger.spoil(hash, bad, had)
		}
		return sighting{}
	}
	s := p.ledger.see(hash, bad, had)
	addIf(&to.NewUnits, s.isNew)
	addIf(&to.AtRiskUnits, s.atRisk)
	addIf(&to.BadUnits, s.firstBad)
	return s
}

func addIf(n *uint64, yes bool) {
	if yes {
		*n++
	}
}

func (p *shard) countsOf(version string) *versionCounts {
	for i := range p.counts {
		if p.counts[i].version == version {
			return &p.counts[i]
		}
	}
	p.counts = append(p.counts, versionCounts{version: version})
	return &p.counts[len(p.counts)-1]
}

// report is what one flush sends: all that was counted from From to To.
type report struct {
	from, to time.Time
	series   []seriesReport
	told     // goes with the first report of a flush
}

// told is what a report tells beside outcomes.
type told struct {
	seen         []served
	injected     []injectedCalls
	points       []pointSeen
	dependencies []dependencyTold
}

func (t *told) empty() bool {
	return len(t.seen)+len(t.injected)+len(t.points)+len(t.dependencies) == 0
}

type seriesReport struct {
	ref       eval.TrialRef
	variants  [arms]string
	arms      [arms]outcome.Arm
	events    []flag.Event
	measures  [arms][]outcome.Measure // as events; nil: none
	exemplars []outcome.Exemplar      // of the treatment
}

// take gives all counts since the last call and starts anew. Reports do not overlap in time and
// are never of no length, so that the receiver can tell them from repetitions.
func (o *outcomes) take(now time.Time) report {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !now.After(o.from) {
		now = o.from.Add(1)
	}
	r := report{from: o.from, to: now}
	o.from = now
	taken := map[string]*seriesReport{}
	done := map[*tally]bool{}
	for _, s := range o.series {
		if !done[s.tally] {
			done[s.tally] = true
			s.tally.take(taken)
		}
	}
	for version, s := range o.series {
		if got := taken[version]; got != nil {
			got.ref, got.variants, got.events, s.lastUsed = s.ref, s.variants, s.tally.events, now
			r.series = append(r.series, *got)
		} else if o.live[attemptOf(version)] != version && now.Sub(s.lastUsed) > endedKept {
			delete(o.series, version)
		}
	}
	return r
}

// take moves the tally's counts into the reports by version.
func (t *tally) take(into map[string]*seriesReport) {
	for i := range t.shards {
		p := &t.shards[i]
		p.mu.Lock()
		counts := p.counts
		p.counts = nil
		p.ledger.nextEpoch()
		p.mu.Unlock()
		for j := range counts {
			got := into[counts[j].version]
			if got == nil {
				got = &seriesReport{}
				into[counts[j].version] = got
			}
			got.merge(&counts[j])
		}
	}
}

func (r *seriesReport) merge(c *versionCounts) {
	for a := range r.arms {
		r.arms[a].Merge(&c.arms[a])
		r.measures[a] = addMeasures(r.measures[a], c.measures[a])
	}
	r.exemplars = outcome.AddExemplars(r.exemplars, c.exemplars...)
}
