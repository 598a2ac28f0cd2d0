package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Batch is what many definitions become at once. Each is named at most once.
type Batch struct {
	Flags    []flag.Flag
	Segments []flag.Segment
	Layers   []flag.Layer

	DeleteFlags, DeleteSegments, DeleteLayers []string

	// Conditions must all hold, also those on entities that the batch does not change.
	Conditions []Condition
}

// Condition asks that an entity is at a revision.
type Condition struct {
	Kind EntityKind `json:"kind"` // flag, segment or layer
	Key  string     `json:"key"`
	// Revision of the last change to it; 0: it does not exist.
	Revision int64 `json:"revision"`
}

// Action says what a batch does to one entity.
type Action string

// The actions.
const (
	ActionCreated   Action = "created"
	ActionUpdated   Action = "updated"
	ActionDeleted   Action = "deleted"
	ActionUnchanged Action = "unchanged" // it is so already, or is not there to be deleted
)

// Applied is what a batch did.
type Applied struct {
	// Revision is that of the change. 0: nothing was stored, because nothing had to be, or in a
	// dry run.
	Revision int64 `json:"revision"`
	// Items are all entities of the batch: flags, segments, layers, as the batch names them, with
	// the deleted ones of each kind behind the others.
	Items []AppliedItem `json:"items"`
}

// AppliedItem is what a batch did to one entity. Before and After are its definition, nil where
// it did not or does not exist, and both nil if it is unchanged.
type AppliedItem struct {
	Kind   EntityKind      `json:"kind"`
	Key    string          `json:"key"`
	Action Action          `json:"action"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Apply makes a batch one change: all of it or, on an error, nothing. What is allowed is asked of
// the state that is reached, so the order inside of a batch does not matter: a flag may name a
// segment that comes with it. Entities that are so already get no op, and if all are, nothing is
// stored. o.IfMatch does not apply, see Batch.Conditions.
//
// Errors are those of the single writes; CodeInvalid has places such as /flags/3/rules/0 and
// /deleteFlags/1. CodeTooLarge if it is more than one change can hold (MaxOps, MaxChange).
func (s *Service) Apply(ctx context.Context, b Batch, o WriteOptions) (Applied, error) {
	if n := b.size(); n > MaxOps {
		return Applied{}, &Error{Code: CodeTooLarge, Message: fmt.Sprintf("apply: the batch has %d entities, at most %d are allowed: split it", n, MaxOps)}
	}
	edits := b.edits()
	if err := cmp.Or(distinct(edits), b.checkConditions()); err != nil {
		return Applied{}, err
	}
	o.IfMatch = MatchAlways
	var items []AppliedItem
	c, err := s.commit(ctx, o, write{verb: "apply", input: []any{b}, plan: func(p *projection) (next plan, err error) {
		if err := b.match(p); err != nil {
			return plan{}, err
		}
		items, next.ops, err = p.apply(edits, s.view.Set)
		return next, err
	}})
	if err != nil {
		return Applied{}, err
	}
	if items == nil { // a repeat: the plan was made the first time
		items, err = s.itemsOf(ctx, c, edits)
	}
	if o.DryRun {
		c.Revision = 0
	}
	return Applied{Revision: c.Revision, Items: items}, err
}

func (b Batch) size() int {
	return len(b.Flags) + len(b.Segments) + len(b.Layers) + len(b.DeleteFlags) + len(b.DeleteSegments) + len(b.DeleteLayers)
}

// edits lists the batch with the places that people know.
func (b Batch) edits() []edit {
	list := make([]edit, 0, b.size())
	list = appendEdits(list, flags, "/flags", b.Flags, "/deleteFlags", b.DeleteFlags)
	list = appendEdits(list, segments, "/segments", b.Segments, "/deleteSegments", b.DeleteSegments)
	return appendEdits(list, layers, "/layers", b.Layers, "/deleteLayers", b.DeleteLayers)
}

func appendEdits[T, E any](list []edit, c *collection[T, E], at string, put []T, deleteAt string, deleted []string) []edit {
	for i, value := range put {
		list = append(list, edit{entity: entity{c.kind, c.key(value)}, value: value, at: flag.Pointer(at, i), placed: true})
	}
	for i, key := range deleted {
		list = append(list, edit{entity: entity{c.kind, key}, at: flag.Pointer(deleteAt, i), placed: true})
	}
	return list
}

// distinct refuses a batch that says two things of one entity.
func distinct(edits []edit) error {
	first := make(map[entity]string, len(edits))
	problems := &flag.Problems{Subject: "apply"}
	for _, e := range edits {
		if at, twice := first[e.entity]; twice {
			problems.Add(e.at, "%s is named at %s already: keep one of the two", e, at)
			continue
		}
		first[e.entity] = e.at
	}
	return asInvalid(problems.Err())
}

func (b Batch) checkConditions() error {
	problems := &flag.Problems{Subject: "apply"}
	for i, c := range b.Conditions {
		if !slices.Contains([]EntityKind{KindFlag, KindSegment, KindLayer}, c.Kind) {
			problems.Add(flag.Pointer("/ifMatch", i, "kind"), "%q is none of flag, segment and layer", c.Kind)
		}
		if c.Revision < 0 {
			problems.Add(flag.Pointer("/ifMatch", i, "revision"), "%d is no revision: give the one that was read, or 0 if it must not exist", c.Revision)
		}
	}
	if len(b.Conditions) > MaxOps {
		problems.Add("/ifMatch", "there are %d conditions; at most %d are allowed", len(b.Conditions), MaxOps)
	}
	return asInvalid(problems.Err())
}

func (b Batch) match(p *projection) error {
	for _, c := range b.Conditions {
		e, want := entity{c.Kind, c.Key}, IfMatch(c.Revision)
		if c.Revision == 0 {
			want = MatchAbsent
		}
		if err := want.match(e, p.revision(e)); err != nil {
			return err
		}
	}
	return nil
}

// apply gives what edits do to the state, and the ops that do it.
func (p *projection) apply(edits []edit, set *flag.Set) (items []AppliedItem, ops []Op, err error) {
	items = make([]AppliedItem, 0, len(edits))
	var changed []edit
	for _, e := range edits {
		op := Op{Kind: e.kind, Key: e.key}
		if e.value != nil {
			if op, err = setOp(e.kind, e.key, e.value); err != nil {
				return nil, nil, err
			}
		}
		before, err := kinds[e.kind].raw(p, e.key)
		if err != nil {
			return nil, nil, err
		}
		item := newItem(e.entity, before, op.Value)
		if items = append(items, item); item.Action != ActionUnchanged {
			changed, ops = append(changed, e), append(ops, op)
		}
	}
	if len(changed) == 0 {
		return items, nil, nil
	}
	return items, ops, p.mayReach(set, changed)
}

func newItem(e entity, before, after json.RawMessage) AppliedItem {
	item := AppliedItem{Kind: e.kind, Key: e.key, Before: before, After: after}
	switch {
	case string(before) == string(after):
		return AppliedItem{Kind: e.kind, Key: e.key, Action: ActionUnchanged}
	case before == nil:
		item.Action = ActionCreated
	case after == nil:
		item.Action = ActionDeleted
	default:
		item.Action = ActionUpdated
	}
	return item
}

// itemsOf tells again what a batch did with change c.
func (s *Service) itemsOf(ctx context.Context, c Change, edits []edit) ([]AppliedItem, error) {
	after := make(map[entity]json.RawMessage, len(c.Ops))
	for _, op := range c.Ops {
		after[entity{op.Kind, op.Key}] = op.Value
	}
	items := make([]AppliedItem, len(edits))
	for i, e := range edits {
		value, changed := after[e.entity]
		if !changed {
			items[i] = newItem(e.entity, nil, nil)
			continue
		}
		before, err := s.valueBefore(ctx, e.entity, c.Revision)
		if err != nil {
			return nil, err
		}
		items[i] = newItem(e.entity, before.Value, value)
	}
	return items, nil
}
