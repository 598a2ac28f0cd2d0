package control

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// entityKind is what the fold of the log asks of a kind of entity.
type entityKind interface {
	// decode reads an op's value, which is not nil, strictly: what this version does not know it
	// must not pretend to serve.
	decode(op Op) (any, error)
	// set takes an op of a change in; value is what decode gave, nil deletes the entity.
	set(p *projection, key string, value any, c *Change)
	// revision gives the revision of the last change to an entity that exists, else 0.
	revision(p *projection, key string) int64
	// raw gives an entity as the log has it, nil if there is none.
	raw(p *projection, key string) (json.RawMessage, error)
}

// collection is one kind of entity: T is its value in the log, E what the projection keeps of it.
type collection[T, E any] struct {
	kind     EntityKind
	read     func(data []byte) (T, error) // strict
	key      func(T) string
	in       func(*projection) map[string]E
	entry    func(value T, revision int64) E
	value    func(E) T // nil for tokens and webhooks, whose secrets are told to nobody
	revised  func(E) int64
	replaced func(p *projection, key string, old, now *E, at time.Time) // keeps indexes in step; may be nil
}

// The kinds of entity.
var (
	flags = &collection[flag.Flag, FlagEntry]{
		kind: KindFlag, read: flag.DecodeFlag, key: func(f flag.Flag) string { return f.Key },
		in:      func(p *projection) map[string]FlagEntry { return p.flags },
		entry:   func(f flag.Flag, revision int64) FlagEntry { return FlagEntry{f, revision} },
		value:   func(e FlagEntry) flag.Flag { return e.Flag },
		revised: func(e FlagEntry) int64 { return e.Revision },
		replaced: func(p *projection, key string, old, now *FlagEntry, at time.Time) {
			p.reserve(key, old, now)
			p.age(key, old, now, at)
		},
	}
	segments = &collection[flag.Segment, SegmentEntry]{
		kind: KindSegment, read: flag.DecodeSegment, key: func(s flag.Segment) string { return s.Key },
		in:      func(p *projection) map[string]SegmentEntry { return p.segments },
		entry:   func(s flag.Segment, revision int64) SegmentEntry { return SegmentEntry{s, revision} },
		value:   func(e SegmentEntry) flag.Segment { return e.Segment },
		revised: func(e SegmentEntry) int64 { return e.Revision },
	}
	layers = &collection[flag.Layer, LayerEntry]{
		kind: KindLayer, read: flag.DecodeLayer, key: func(l flag.Layer) string { return l.Key },
		in:      func(p *projection) map[string]LayerEntry { return p.layers },
		entry:   func(l flag.Layer, revision int64) LayerEntry { return LayerEntry{l, revision} },
		value:   func(e LayerEntry) flag.Layer { return e.Layer },
		revised: func(e LayerEntry) int64 { return e.Revision },
	}
	trials = &collection[trialRecord, TrialEntry]{
		kind: KindTrial, read: strictly[trialRecord], key: func(t trialRecord) string { return t.Spec.Name },
		in:      func(p *projection) map[string]TrialEntry { return p.trials },
		entry:   func(t trialRecord, revision int64) TrialEntry { return TrialEntry{t.Trial, revision, t.unseen} },
		value:   func(e TrialEntry) trialRecord { return trialRecord{e.Trial, e.unseen} },
		revised: func(e TrialEntry) int64 { return e.Revision },
	}
	schedules = &collection[Schedule, ScheduleEntry]{
		kind: KindSchedule, read: strictly[Schedule], key: func(s Schedule) string { return s.ID },
		in:      func(p *projection) map[string]ScheduleEntry { return p.schedules },
		entry:   func(s Schedule, revision int64) ScheduleEntry { return ScheduleEntry{s, revision} },
		value:   func(e ScheduleEntry) Schedule { return e.Schedule },
		revised: func(e ScheduleEntry) int64 { return e.Revision },
		replaced: func(p *projection, _ string, _, now *ScheduleEntry, _ time.Time) {
			p.forgetSchedules(now)
		},
	}
	tokens = &collection[tokenRecord, tokenEntry]{
		kind: KindToken, read: strictly[tokenRecord], key: func(t tokenRecord) string { return t.ID },
		in:      func(p *projection) map[string]tokenEntry { return p.tokens },
		entry:   newTokenEntry,
		revised: func(e tokenEntry) int64 { return e.Revision },
		replaced: func(p *projection, key string, old, now *tokenEntry, _ time.Time) {
			if old != nil {
				delete(p.holders, old.sum)
			}
			if now != nil {
				p.holders[now.sum] = key
			}
		},
	}

	webhooks = &collection[webhookRecord, webhookEntry]{
		kind: KindWebhook, read: strictly[webhookRecord], key: func(w webhookRecord) string { return w.Name },
		in:      func(p *projection) map[string]webhookEntry { return p.webhooks },
		entry:   func(w webhookRecord, revision int64) webhookEntry { return webhookEntry{w, revision, revision} },
		revised: func(e webhookEntry) int64 { return e.revision },
		replaced: func(p *projection, name string, old, now *webhookEntry, _ time.Time) {
			p.sinceWhen(name, old, now)
		},
	}

	levers = &collection[Lever, LeverEntry]{
		kind: KindLever, read: strictly[Lever], key: func(Lever) string { return leverKey },
		in:      func(p *projection) map[string]LeverEntry { return p.levers },
		entry:   func(l Lever, revision int64) LeverEntry { return LeverEntry{l, revision} },
		value:   func(e LeverEntry) Lever { return e.Lever },
		revised: func(e LeverEntry) int64 { return e.Revision },
	}

	kinds = map[EntityKind]entityKind{
		KindFlag: flags, KindSegment: segments, KindLayer: layers,
		KindTrial: trials, KindSchedule: schedules, KindToken: tokens, KindWebhook: webhooks, KindLever: levers,
	}
)

// decodeOp reads the value of an op, nil for a deletion.
func decodeOp(op Op) (any, error) {
	kind, known := kinds[op.Kind]
	switch {
	case !known:
		return nil, fmt.Errorf("the kind %q is unknown", op.Kind)
	case op.Value == nil:
		return nil, nil
	}
	return kind.decode(op)
}

func (c *collection[T, E]) decode(op Op) (any, error) {
	value, err := c.read(op.Value)
	return value, cmp.Or(err, sameKey(op.Key, c.key(value)))
}

func sameKey(key, inside string) error {
	if key != inside {
		return fmt.Errorf("it calls itself %q", inside)
	}
	return nil
}

func (c *collection[T, E]) set(p *projection, key string, value any, change *Change) {
	var old, now *E
	all := c.in(p)
	if entry, ok := all[key]; ok {
		old = &entry
		delete(all, key)
	}
	if value != nil {
		entry := c.entry(value.(T), change.Revision)
		now, all[key] = &entry, entry
	}
	if c.replaced != nil {
		c.replaced(p, key, old, now, change.Time)
	}
}

func (c *collection[T, E]) revision(p *projection, key string) int64 {
	if entry, ok := c.in(p)[key]; ok {
		return c.revised(entry)
	}
	return 0
}

func (c *collection[T, E]) raw(p *projection, key string) (json.RawMessage, error) {
	entry, ok := c.in(p)[key]
	if !ok {
		return nil, nil
	}
	op, err := setOp(c.kind, key, c.value(entry))
	return op.Value, err
}

// strictly reads JSON without unknown fields.
func strictly[T any](data []byte) (value T, err error) { return value, decodeStrict(data, &value) }

func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
