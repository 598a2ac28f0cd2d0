package control

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// projection is the fold of the log: what all its changes together have made. It is a plain
// value without locks; the Service guards it.
type projection struct {
	head     Head
	flags    map[string]FlagEntry
	segments map[string]SegmentEntry
	layers   map[string]LayerEntry
	trials   map[string]TrialEntry // as of their last change, without journalled intervals
	tokens   map[string]tokenEntry
	holders  map[[32]byte]string // SHA-256 of a secret → id of its token

	schedules map[string]ScheduleEntry
	webhooks  map[string]webhookEntry
	levers    map[string]LeverEntry

	trialRevisions []int64 // of the changes that touched trials, ascending

	reserved map[string]reservation // keys of deleted flags
	ages     map[string]ages        // of flags
	touched  map[entity][]int64     // revisions of the changes to an entity, ascending
	requests map[string]request     // writes with an idempotency key, by actor and key
}

// entity names one entity of the log.
type entity struct {
	kind EntityKind
	key  string
}

func (e entity) String() string { return fmt.Sprintf("%s %q", e.kind, e.key) }

func newProjection(head Head) *projection {
	return &projection{
		head:  Head{History: head.History, Hash: ""},
		flags: map[string]FlagEntry{}, segments: map[string]SegmentEntry{}, layers: map[string]LayerEntry{},
		trials: map[string]TrialEntry{}, tokens: map[string]tokenEntry{}, holders: map[[32]byte]string{},
		schedules: map[string]ScheduleEntry{}, webhooks: map[string]webhookEntry{}, levers: map[string]LeverEntry{}, reserved: map[string]reservation{}, ages: map[string]ages{},
		touched: map[entity][]int64{}, requests: map[string]request{},
	}
}

// fold takes the next change in and gives what it means to evaluators. It takes all of it or, if
// it cannot understand it, nothing.
func (p *projection) fold(c Change) (flag.Delta, error) {
	if c.Revision != p.head.Revision+1 {
		return flag.Delta{}, fmt.Errorf("control: revision %d follows %d in the log", c.Revision, p.head.Revision)
	}
	values := make([]any, len(c.Ops))
	before := make(map[entity]visible, len(c.Ops))
	for i, op := range c.Ops {
		value, err := decodeOp(op)
		if err != nil {
			return flag.Delta{}, fmt.Errorf("control: revision %d: %s %q cannot be read (%w): a newer version may have written it", c.Revision, op.Kind, op.Key, err)
		}
		values[i] = value
		e := entity{op.Kind, op.Key}
		before[e] = p.visible(e)
	}
	for i, op := range c.Ops {
		e := entity{op.Kind, op.Key}
		kinds[e.kind].set(p, e.key, values[i], &c)
		if list := p.touched[e]; len(list) == 0 || list[len(list)-1] != c.Revision {
			p.touched[e] = append(list, c.Revision)
		}
	}
	if slices.ContainsFunc(c.Ops, func(op Op) bool { return op.Kind == KindTrial }) {
		p.trialRevisions = append(p.trialRevisions, c.Revision)
	}
	if r, ok := parseRequest(c); ok {
		p.requests[r.id] = r
	}
	p.head.Epoch, p.head.Revision, p.head.Hash = c.Epoch, c.Revision, c.Hash
	return p.delta(before), nil
}

// revision gives the revision of the last change to an entity that exists, else 0.
func (p *projection) revision(e entity) int64 { return kinds[e.kind].revision(p, e.key) }

// visible is what evaluators see of an entity; nil fields where there is nothing.
type visible struct {
	flag       *flag.Flag
	segment    *flag.Segment
	layer      *flag.Layer
	allocation *flag.Allocation
	faultsOff  bool
}

func (p *projection) visible(e entity) (v visible) {
	switch e.kind {
	case KindFlag:
		if entry, ok := p.flags[e.key]; ok {
			v.flag = &entry.Flag
		}
	case KindSegment:
		if entry, ok := p.segments[e.key]; ok {
			v.segment = &entry.Segment
		}
	case KindLayer:
		if entry, ok := p.layers[e.key]; ok {
			v.layer = &entry.Layer
		}
	case KindLever:
		v.faultsOff = p.faultsOff()
	case KindTrial:
		entry, ok := p.trials[e.key]
		if !ok {
			break
		}
		if a, ok := entry.allocation(); ok {
			v.allocation = &a
		}
	}
	return v
}

// delta compares what was visible before with what is now. Its lists are sorted, so that equal
// changes have equal bytes.
func (p *projection) delta(before map[entity]visible) flag.Delta {
	d := flag.Delta{History: p.head.History, Epoch: p.head.Epoch, Parent: p.head.Revision - 1,
		Revision: p.head.Revision, Hash: p.head.Hash}
	for e, was := range before {
		now := p.visible(e)
		d.Flags, d.DeletedFlags = differ(d.Flags, d.DeletedFlags, e.key, was.flag, now.flag)
		d.Segments, d.DeletedSegments = differ(d.Segments, d.DeletedSegments, e.key, was.segment, now.segment)
		d.Layers, d.DeletedLayers = differ(d.Layers, d.DeletedLayers, e.key, was.layer, now.layer)
		d.Allocations, d.EndedTrials = differ(d.Allocations, d.EndedTrials, e.key, was.allocation, now.allocation)
		if was.faultsOff != now.faultsOff {
			d.FaultsOff = &now.faultsOff
		}
	}
	slices.SortFunc(d.Flags, func(a, b flag.Flag) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(d.Segments, func(a, b flag.Segment) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(d.Layers, func(a, b flag.Layer) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(d.Allocations, func(a, b flag.Allocation) int { return cmp.Compare(a.Trial, b.Trial) })
	slices.Sort(d.DeletedFlags)
	slices.Sort(d.DeletedSegments)
	slices.Sort(d.DeletedLayers)
	slices.Sort(d.EndedTrials)
	return d
}

func differ[T any](put []T, deleted []string, key string, was, now *T) ([]T, []string) {
	switch {
	case now == nil && was != nil:
		return put, append(deleted, key)
	case now != nil && (was == nil || !reflect.DeepEqual(was, now)):
		return append(put, *now), deleted
	}
	return put, deleted
}

// snapshot builds the set of the whole state, in normal form.
func (p *projection) snapshot(environment string) flag.Set {
	set := flag.Set{Environment: environment, History: p.head.History, Epoch: p.head.Epoch,
		Revision: p.head.Revision, Hash: p.head.Hash, FaultsOff: p.faultsOff()}
	for _, entry := range p.flags {
		set.Flags = append(set.Flags, entry.Flag)
	}
	for _, entry := range p.segments {
		set.Segments = append(set.Segments, entry.Segment)
	}
	for _, entry := range p.layers {
		set.Layers = append(set.Layers, entry.Layer)
	}
	for _, entry := range p.trials {
		if a, ok := entry.allocation(); ok {
			set.Allocations = append(set.Allocations, a)
		}
	}
	return set.Normalize()
}
