package control

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// edit is what becomes of one definition.
type edit struct {
	entity
	value any // flag.Flag, flag.Segment or flag.Layer; nil: it is deleted
	// at is the place of the definition in the request. Problems get it as a pointer if placed,
	// else they name the entity.
	at     string
	placed bool
	// restored says that the value comes from the log.
	restored bool
}

// reach is the state that edits lead to. What is allowed is asked of it, so the order of edits
// that are made together does not matter.
type reach struct {
	p      *projection
	before *flag.Set
	list   []edit
	edits  map[entity]*edit
}

// mayReach says why edits, each of another entity, cannot be made; nil if they can. set is the
// present state as evaluators see it.
func (p *projection) mayReach(set *flag.Set, edits []edit) error {
	r := &reach{p: p, before: set, list: edits, edits: make(map[entity]*edit, len(edits))}
	for i := range edits {
		r.edits[edits[i].entity] = &edits[i]
	}
	for _, e := range edits {
		if err := r.mayDelete(e); err != nil {
			return err
		}
	}
	if err := r.valid(); err != nil {
		return err
	}
	for _, e := range edits {
		if err := r.mayPut(e); err != nil {
			return err
		}
	}
	return r.keepsPlaces()
}

func (r *reach) mayDelete(e edit) error {
	if e.value != nil || r.p.revision(e.entity) == 0 {
		return nil
	}
	return r.unused(e.entity)
}

func (r *reach) mayPut(e edit) error {
	switch value := e.value.(type) {
	case flag.Flag:
		return r.mayPutFlag(value)
	case flag.Segment:
		return r.mayPutSegment(value)
	case flag.Layer:
		return r.mayPutLayer(value)
	}
	return nil
}

// after gives an entity as it will be.
func after[T, E any](r *reach, c *collection[T, E], key string) (value T, ok bool) {
	if e := r.edits[entity{c.kind, key}]; e != nil {
		value, ok = e.value.(T)
		return value, ok
	}
	entry, ok := c.in(r.p)[key]
	if ok {
		value = c.value(entry)
	}
	return value, ok
}

// allAfter yields all entities of a kind as they will be, in no order.
func allAfter[T, E any](r *reach, c *collection[T, E]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for key, entry := range c.in(r.p) {
			if r.edits[entity{c.kind, key}] == nil && !yield(c.value(entry)) {
				return
			}
		}
		for _, e := range r.list {
			if value, ok := e.value.(T); ok && !yield(value) {
				return
			}
		}
	}
}

// count gives how many entities of a kind there will be.
func (r *reach) count(kind interface {
	count(*projection) int
	of() EntityKind
}) int {
	n := kind.count(r.p)
	for _, e := range r.list {
		if e.kind != kind.of() {
			continue
		}
		if exists := r.p.revision(e.entity) > 0; exists && e.value == nil {
			n--
		} else if !exists && e.value != nil {
			n++
		}
	}
	return n
}

func (c *collection[T, E]) count(p *projection) int { return len(c.in(p)) }
func (c *collection[T, E]) of() EntityKind          { return c.kind }

// unused refuses to take away a flag or segment that others name.
func (r *reach) unused(e entity) error {
	var users []string
	switch e.kind {
	case KindFlag:
		if name := r.p.trialOn(e.key); name != "" {
			return precondition("flag %q: trial %q runs on it: abort the trial first", e.key, name)
		}
		users = r.usersOfFlag(e.key)
	case KindSegment:
		users = r.p.trialsNaming(e.key)
		for f := range allAfter(r, flags) {
			if flagNames(&f, e.key) {
				users = append(users, fmt.Sprintf("flag %q", f.Key))
			}
		}
	}
	return usedBy(e, users)
}

// trialOn gives the name of the trial that runs on a flag, "" if none does.
func (p *projection) trialOn(key string) string {
	for name, entry := range p.trials {
		if entry.Spec.Flag == key && !entry.State.Ended() {
			return name
		}
	}
	return ""
}

func (r *reach) usersOfFlag(key string) (users []string) {
	for f := range allAfter(r, flags) {
		if slices.ContainsFunc(f.Prerequisites, func(need flag.Prerequisite) bool { return need.Flag == key }) {
			users = append(users, fmt.Sprintf("flag %q as a prerequisite", f.Key))
		}
	}
	users = append(users, r.layersOf(key)...)
	for id, entry := range r.p.schedules {
		if entry.State == SchedulePending && entry.Flag == key {
			users = append(users, fmt.Sprintf("schedule %q", id))
		}
	}
	return users
}

func (r *reach) layersOf(key string) (list []string) {
	for l := range allAfter(r, layers) {
		if slices.ContainsFunc(l.Slots, func(s flag.Slot) bool { return s.Flag == key }) {
			list = append(list, fmt.Sprintf("layer %q", l.Key))
		}
	}
	return list
}

// maxNamed bounds how many users an error names.
const maxNamed = 10

func usedBy(e entity, users []string) error {
	if len(users) == 0 {
		return nil
	}
	slices.Sort(users)
	more := ""
	if n := len(users) - maxNamed; n > 0 {
		users, more = users[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return precondition("%s is used by %s%s: change those first", e, strings.Join(users, ", "), more)
}

// valid checks the state that is reached with the code that evaluates it, and gives CodeInvalid
// with all places.
func (r *reach) valid() error {
	problems := &flag.Problems{Subject: "the state that this leads to"}
	if one, ok := r.alone(); ok {
		problems.Subject = r.list[0].String()
		problems.Merge(r.list[0].at, one)
	} else if err := r.validAll(problems); err != nil {
		return err
	}
	for _, e := range r.list {
		if f, ok := e.value.(flag.Flag); ok {
			r.merge(problems, e, checkValues(f))
		}
	}
	return asInvalid(problems.Err())
}

// merge adds what is wrong with one entity.
func (r *reach) merge(problems *flag.Problems, e edit, err error) {
	if e.placed || err == nil {
		problems.Merge(e.at, err)
		return
	}
	problems.Add("", "%v", err)
}

// alone validates a single definition without looking at all others, where that is the same;
// ok is false where it is not.
func (r *reach) alone() (err error, ok bool) {
	if len(r.list) != 1 {
		return nil, false
	}
	switch value := r.list[0].value.(type) {
	case flag.Flag:
		return value.Validate(*r.before), true
	case flag.Segment:
		if old := r.p.segments[value.Key]; len(old.Rule) == 0 && len(value.Rule) == 0 {
			return value.Validate(), true
		}
	case flag.Layer:
		return value.Validate(*r.before), true
	}
	return nil, false
}

// validAll validates the whole set that is reached. What is wrong with entities that are not
// edited counts only if it was not wrong before.
func (r *reach) validAll(problems *flag.Problems) error {
	next, err := r.before.Apply(r.delta())
	if err != nil {
		return internalError("the change cannot be applied: %v", err)
	}
	found, others := r.sorted(&next, next.Validate())
	var known map[string]bool
	for i, p := range others {
		if i == 0 {
			known = map[string]bool{}
			_, before := r.sorted(r.before, r.before.Validate())
			for _, p := range before {
				known[p.Detail] = true
			}
		}
		if !known[p.Detail] {
			found = append(found, p)
		}
	}
	for _, p := range found {
		problems.Add(p.Pointer, "%s", p.Detail)
	}
	return nil
}

func (r *reach) delta() flag.Delta {
	d := flag.Delta{History: r.before.History, Epoch: r.before.Epoch, Parent: r.before.Revision, Revision: r.before.Revision + 1}
	for _, e := range r.list {
		switch value := e.value.(type) {
		case flag.Flag:
			d.Flags = append(d.Flags, value)
		case flag.Segment:
			d.Segments = append(d.Segments, value)
		case flag.Layer:
			d.Layers = append(d.Layers, value)
		default:
			deleted := map[EntityKind]*[]string{KindFlag: &d.DeletedFlags, KindSegment: &d.DeletedSegments, KindLayer: &d.DeletedLayers}[e.kind]
			*deleted = append(*deleted, e.key)
		}
	}
	return d
}

// sorted parts the problems of a set into those of edited entities, with pointers into the
// request, and those of others, whose details name the entity.
func (r *reach) sorted(set *flag.Set, err error) (edited, others []flag.Problem) {
	var problems *flag.Problems
	if !errors.As(err, &problems) {
		return nil, nil
	}
	for _, p := range problems.List {
		e, inside := subject(set, p.Pointer)
		if at := r.edits[e]; at != nil && at.value != nil && at.placed {
			edited = append(edited, flag.Problem{Pointer: at.at + inside, Detail: p.Detail})
			continue
		} else if at != nil && at.value != nil {
			edited = append(edited, flag.Problem{Detail: fmt.Sprintf("%s: %s: %s", e, inside, p.Detail)})
			continue
		}
		others = append(others, flag.Problem{Detail: fmt.Sprintf("%s: %s: %s", e, inside, p.Detail)})
	}
	return edited, others
}

// subject finds the entity that a pointer into a set leads to, and the rest of the pointer.
func subject(set *flag.Set, pointer string) (e entity, inside string) {
	parts := strings.SplitN(pointer, "/", 4)
	if len(parts) < 3 {
		return entity{"flag set", set.Environment}, pointer
	}
	if len(parts) == 4 {
		inside = "/" + parts[3]
	}
	i, err := strconv.Atoi(parts[2])
	switch list := parts[1]; {
	case err != nil || i < 0:
	case list == "flags" && i < len(set.Flags):
		return entity{KindFlag, set.Flags[i].Key}, inside
	case list == "segments" && i < len(set.Segments):
		return entity{KindSegment, set.Segments[i].Key}, inside
	case list == "layers" && i < len(set.Layers):
		return entity{KindLayer, set.Layers[i].Key}, inside
	case list == "allocations" && i < len(set.Allocations):
		return entity{KindTrial, set.Allocations[i].Trial}, inside
	}
	return entity{"flag set", set.Environment}, pointer
}
