package seatrial

import (
	"context"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/eval"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
)

// This file decides and remembers what part the unit of a unit of work plays in chaos experiments.

// part is the part that a unit plays in one experiment.
type part struct {
	role  eval.Role
	unit  string // its key, or the digest of it that came with the call
	told  bool   // the decision came with the call, and so did its entry
	entry string // the signed decision, if it was asked for
}

// chaosWork is what a unit of work knows of experiments; most units of work have none. It is guarded
// by Work.mu.
type chaosWork struct {
	read     bool   // the baggage that the unit of work began with
	incoming string // its member on decisions
	parts    []partOf
	met      []met // that the caller is to be told of
	hits     hits
	reached  []reached
}

// partOf is a part that was decided: for good if it was told, else for the unit with that key.
type partOf struct {
	of  *experiment // as it was when that was decided
	key string
	part
}

// reached counts the calls of a unit of work that came to a point.
type reached struct {
	point string
	calls uint64
}

// Bounds of what a unit of work remembers.
const (
	maxParts   = 64
	maxMet     = 2 * maxCarried
	maxHits    = 16
	maxReached = 64
)

// workOf gives the open unit of work, nil if there is none of this client.
func (s *scope) workOf(c *Client) *Work {
	if s == nil || s.work == nil || s.work.client != c {
		return nil
	}
	return s.work
}

// part gives the part that the unit in ctx plays in the experiment. It is decided once for a unit of
// work and key: by the caller, if a decision of this attempt came along, and else here.
func (c *Client) part(ctx context.Context, where *scope, at *snapshot, x *experiment) part {
	w := where.workOf(c)
	if w == nil {
		return decide(decisionsIn(ctx), where, at, x)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return *w.part(where, at, x)
}

// signedPart is part with the signed decision, which a unit of work makes once, too. Without a unit
// of work nobody would count how it ends, so that none is made: who is asked further inside decides.
func (c *Client) signedPart(ctx context.Context, where *scope, at *snapshot, x *experiment) part {
	w := where.workOf(c)
	if w == nil {
		if p := decide(decisionsIn(ctx), where, at, x); p.told {
			return p
		}
		return part{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.part(where, at, x)
	p.sign(x)
	return *p
}

// part gives what the unit of work knows of a part, once it is decided. w.mu is held.
func (w *Work) part(where *scope, at *snapshot, x *experiment) *part {
	key, known := where.evaluation.TargetingKey, w.experiments()
	for i := range known.parts {
		if p := &known.parts[i]; p.of.attempt == x.attempt && (p.told || p.key == key) {
			return &p.part
		}
	}
	p := decide(known.decisions(w), where, at, x)
	if key == "" && !p.told { // the unit may get a name yet
		return &p
	}
	if len(known.parts) >= maxParts {
		known.parts = known.parts[1:]
	}
	known.parts = append(known.parts, partOf{x, key, p})
	return &known.parts[len(known.parts)-1].part
}

// experiments gives what the unit of work knows of experiments. w.mu is held.
func (w *Work) experiments() *chaosWork {
	if w.chaos == nil {
		w.chaos = &chaosWork{}
	}
	return w.chaos
}

// decisions gives the member on decisions of the baggage that the unit of work w began with.
func (k *chaosWork) decisions(w *Work) string {
	if !k.read {
		k.read, k.incoming = true, decisionsIn(w.scope.Context)
	}
	return k.incoming
}

// allCarried gives the parts in arms of experiments that calls made with where have carried.
func (w *Work) allCarried(where *scope) (list []partOf) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chaos == nil {
		return nil
	}
	for _, p := range w.chaos.parts {
		if p.entry != "" && p.role != eval.RoleNone && (p.told || p.key == where.evaluation.TargetingKey) {
			list = append(list, p)
		}
	}
	return list
}

// carried is allCarried for one experiment, by its id on the wire.
func (w *Work) carried(where *scope, id string) (part partOf, ok bool) {
	list := w.allCarried(where)
	i := slices.IndexFunc(list, func(p partOf) bool { return p.of.signer.id == id })
	if i < 0 {
		return partOf{}, false
	}
	return list[i], true
}

// decisionsIn gives the member on decisions of the baggage in ctx.
func decisionsIn(ctx context.Context) string {
	return baggage.FromContext(ctx).Member(baggageKey).Value()
}

// decide takes the decision that came along, or else makes it.
func decide(incoming string, where *scope, at *snapshot, x *experiment) part {
	if x.signer != nil && incoming != "" {
		if role, digest, entry, ok := x.signer.open(incoming); ok {
			return part{role: role, unit: digest, told: true, entry: entry}
		}
	}
	unit := where.core()
	if unit == nil || unit.TargetingKey == "" {
		return part{}
	}
	var result eval.Result
	evaluateFor(x.flag, unit, &result)
	at.seen.note(&result)
	p := part{unit: unit.TargetingKey}
	if result.Role != eval.RoleNone && result.Trial.Version == x.ref.Version {
		p.role = result.Role
	}
	return p
}

// sign adds the signed decision; none for an anonymous unit, about whom nothing was decided.
func (p *part) sign(x *experiment) {
	if p.entry == "" && p.unit != "" && x.signer != nil {
		p.entry = x.signer.entry(p.role, x.signer.digest(p.unit))
	}
}

// reached counts a call that came to a point, from 1; 0 if there is no room to count it.
func (w *Work) reached(point string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.experiments()
	for i := range known.reached {
		if r := &known.reached[i]; r.point == point {
			r.calls++
			return r.calls
		}
	}
	if len(known.reached) >= maxReached {
		return 0
	}
	known.reached = append(known.reached, reached{point, 1})
	return 1
}

// meet notes that the unit in ctx has come to a point of the experiment. Its outcome is counted by
// whoever decided about it, once: if that was the caller, he is told.
func (c *Client) meet(ctx context.Context, where *scope, at *snapshot, x *experiment, p part) {
	switch {
	case !p.told:
		c.expose(ctx, where, at, &x.ref, armOf(p.role), p.unit)
	case c.mark(where, x, p):
		c.outcomes.seriesOf(at, &x.ref).tell(armOf(p.role), where.work.entry, trace.SpanFromContext(ctx))
	}
}

// mark notes that the caller is to be told that its unit of work has met the experiment: by all units
// of work that are open for the same call. False if that is noted already, or nobody can be told.
func (c *Client) mark(where *scope, x *experiment, p part) (news bool) {
	for w := where.workOf(c); w != nil; w = w.outer() {
		news = w.mark(x, p) || news
	}
	return news
}

func (w *Work) mark(x *experiment, p part) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.experiments()
	if !strings.Contains(known.decisions(w), p.entry) { // it is not for this one that the caller decided
		return false
	}
	if len(known.met) >= maxMet || slices.ContainsFunc(known.met, func(m met) bool { return m.id == x.signer.id }) {
		return false
	}
	known.met = append(known.met, met{x.signer.id, armOf(p.role), slices.Contains(known.hits, x.attempt)})
	return true
}

// hit notes that a fault of the experiment hit the unit of work, and so those around it.
func (w *Work) hit(x *experiment) {
	for ; w != nil; w = w.outer() {
		w.hitOnce(x)
	}
}

func (w *Work) hitOnce(x *experiment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.experiments()
	for i := range known.met {
		if x.signer != nil && known.met[i].id == x.signer.id {
			known.met[i].hit = true
		}
	}
	if !w.ended && len(known.hits) < maxHits && !slices.Contains(known.hits, x.attempt) {
		known.hits = append(known.hits, x.attempt)
	}
}

// outer gives the unit of work of the same client within which this one was begun, nil if there is
// none.
func (w *Work) outer() *Work { return scopeOf(w.scope.Context).workOf(w.client) }

// hits are the attempts of the experiments whose faults hit a unit of work.
type hits []string

// spoil reports whether there is one besides that attempt: the outcome of the unit of work then says
// nothing about it.
func (h hits) spoil(attempt string) bool {
	return slices.ContainsFunc(h, func(by string) bool { return by != attempt })
}
