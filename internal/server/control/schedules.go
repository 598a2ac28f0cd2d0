package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// ScheduleState says how far a schedule is.
type ScheduleState string

// The states. Only pending ones are left to be carried out; the others are final.
const (
	SchedulePending   ScheduleState = "pending"
	ScheduleDone      ScheduleState = "done"
	ScheduleFailed    ScheduleState = "failed"
	ScheduleCancelled ScheduleState = "cancelled"
)

// Schedule is an edit of a flag that the control plane makes at a time.
type Schedule struct {
	ID   string    `json:"id"`
	Flag string    `json:"flag"`
	At   time.Time `json:"at"` // UTC; it is carried out then or as soon after as the server runs
	// Patch is a JSON merge patch (RFC 7396) of the flag's definition. What it does not name stays
	// as it is at that time, whoever has changed it meanwhile.
	Patch     json.RawMessage `json:"patch"`
	Reason    string          `json:"reason,omitempty"` // of the change that it makes
	CreatedAt time.Time       `json:"createdAt"`
	CreatedBy string          `json:"createdBy"` // an actor
	State     ScheduleState   `json:"state"`
	EndedAt   time.Time       `json:"endedAt,omitzero"` // when it was carried out, failed or was cancelled
	Failure   string          `json:"failure,omitempty"`
}

// ScheduleEntry is a schedule with the revision of the last change to it.
type ScheduleEntry struct {
	Schedule
	Revision int64 `json:"revision"`
}

// NewSchedule asks for a schedule.
type NewSchedule struct {
	Flag   string
	At     time.Time // in the future, at most 2 years ahead
	Patch  json.RawMessage
	Reason string // at most 2 000 bytes
}

// Limits of schedules.
const (
	maxAhead             = 2 * 365 * 24 * time.Hour
	maxPendingSchedules  = 1_000
	maxFinishedSchedules = 1_000 // that are listed; the log keeps all
)

// ScheduleFilter selects schedules; empty fields select all.
type ScheduleFilter struct {
	Flag  string
	State ScheduleState
}

// ListSchedules gives a page of the schedules, the first due first: those that are pending and
// the last 1 000 that are not. The cursor is opaque.
func (s *Service) ListSchedules(f ScheduleFilter, p Page) (items []ScheduleEntry, next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	byTime := map[string]ScheduleEntry{}
	for _, entry := range s.state.schedules {
		if (f.Flag == "" || entry.Flag == f.Flag) && (f.State == "" || entry.State == f.State) {
			byTime[entry.At.UTC().Format("2006-01-02T15:04:05.000000000")+" "+entry.ID] = entry
		}
	}
	return page(byTime, p)
}

// GetSchedule gives a schedule, or a *Error with CodeNotFound.
func (s *Service) GetSchedule(id string) (ScheduleEntry, error) { return schedules.get(s, id) }

// CreateSchedule plans an edit. Its result must be a valid flag if the edits that are due before
// it are made and nothing else happens; what else may be in the way at its time, such as a trial,
// is not asked now. Errors: CodeInvalid with the places, CodeNotFound for the flag,
// CodePrecondition if too many are pending.
func (s *Service) CreateSchedule(ctx context.Context, n NewSchedule, o WriteOptions) (ScheduleEntry, error) {
	id := newTokenID()
	c, err := s.commit(ctx, o, write{verb: "create schedule", input: []any{n}, plan: func(p *projection) (plan, error) {
		if err := p.mayCreateSchedule(n, s.now(), s.view.Set); err != nil {
			return plan{}, err
		}
		op, err := setOp(KindSchedule, id, Schedule{ID: id, Flag: n.Flag, At: n.At.UTC().Round(0), Patch: n.Patch, Reason: n.Reason,
			CreatedAt: s.now(), CreatedBy: o.Actor, State: SchedulePending})
		return plan{ops: []Op{op}}, err
	}})
	if err != nil {
		return ScheduleEntry{}, err
	}
	for _, op := range c.Ops { // of a repeat it is another id
		id = op.Key
	}
	return scheduleOf(c, id)
}

func scheduleOf(c Change, id string) (ScheduleEntry, error) {
	value, err := stored[Schedule](c, entity{KindSchedule, id})
	return ScheduleEntry{value, c.Revision}, err
}

func (p *projection) mayCreateSchedule(n NewSchedule, now time.Time, set *flag.Set) error {
	f, ok := p.flags[n.Flag]
	switch {
	case n.Flag == "":
		return invalid("/flag", "schedule: no flag: name the one to change")
	case !ok:
		return notFound(entity{KindFlag, n.Flag})
	case !n.At.After(now):
		return invalid("/at", "schedule: %s is not in the future, it is %s now: change the flag at once, or name a later time", n.At.Format(time.RFC3339), now.Format(time.RFC3339))
	case n.At.After(now.Add(maxAhead)):
		return invalid("/at", "schedule: %s is more than 2 years ahead: plan it later", n.At.Format(time.RFC3339))
	case len(n.Reason) > MaxReason:
		return invalid("/reason", "schedule: the reason has %d bytes, at most %d are allowed: shorten it", len(n.Reason), MaxReason)
	}
	pending := p.pendingSchedules()
	if len(pending) >= maxPendingSchedules {
		return precondition("schedule: %d are pending, no more are allowed: cancel some first", len(pending))
	}
	next := f.Flag
	for _, entry := range pending {
		if entry.Flag != n.Flag || entry.At.After(n.At) {
			continue
		}
		if then, err := patched(next, entry.Patch); err == nil {
			next = then
		}
	}
	if err := checkPatch(n.Patch); err != nil {
		return err
	}
	next, err := patched(next, n.Patch)
	if err == nil {
		problems := &flag.Problems{Subject: fmt.Sprintf("flag %q after the patch", n.Flag)}
		problems.Merge("", next.Validate(*set))
		problems.Merge("", checkValues(next))
		err = problems.Err()
	}
	return inPatch(asInvalid(err))
}

// checkPatch checks the patch by itself: it is what a flag may be made of.
func checkPatch(patch json.RawMessage) error {
	var fields map[string]json.RawMessage
	if len(patch) > flag.MaxFlagBytes {
		return invalid("/patch", "schedule: the patch has %d bytes, at most %d are allowed", len(patch), flag.MaxFlagBytes)
	}
	if err := json.Unmarshal(patch, &fields); err != nil || len(fields) == 0 {
		return invalid("/patch", `schedule: the patch is no object with changes: write what is to change, such as {"enabled": true}`)
	}
	for _, fixed := range []string{"key", "kind", "type"} {
		if _, named := fields[fixed]; named {
			return invalid("/patch/"+fixed, "schedule: the %s of a flag never changes: leave it out", fixed)
		}
	}
	_, err := flag.DecodeFlag(patch)
	return inPatch(asInvalid(err))
}

// inPatch moves the places of an error into the patch.
func inPatch(err error) error {
	if e, ok := err.(*Error); ok {
		for i := range e.Fields {
			e.Fields[i].Pointer = "/patch" + e.Fields[i].Pointer
		}
	}
	return err
}

// patched gives the flag after a patch. The error is a *[flag.Problems].
func patched(f flag.Flag, patch json.RawMessage) (flag.Flag, error) {
	raw, err := json.Marshal(f)
	if err == nil {
		raw, err = mergePatch(raw, patch)
	}
	if err != nil {
		return flag.Flag{}, err
	}
	return flag.DecodeFlag(raw)
}

// pendingSchedules gives those that are to be carried out, in the order of their times.
func (p *projection) pendingSchedules() (list []ScheduleEntry) {
	for _, entry := range p.schedules {
		if entry.State == SchedulePending {
			list = append(list, entry)
		}
	}
	slices.SortFunc(list, func(a, b ScheduleEntry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Revision, b.Revision), strings.Compare(a.ID, b.ID))
	})
	return list
}

// CancelSchedule ends a pending schedule before its time. CodeNotFound if there is none,
// CodePrecondition if it is not pending any more.
func (s *Service) CancelSchedule(ctx context.Context, id string, o WriteOptions) (ScheduleEntry, error) {
	c, err := s.commit(ctx, o, write{verb: "cancel schedule", input: []any{id}, plan: func(p *projection) (plan, error) {
		e := entity{KindSchedule, id}
		entry, ok := p.schedules[id]
		if !ok {
			return plan{}, notFound(e)
		}
		if err := o.IfMatch.match(e, entry.Revision); err != nil {
			return plan{}, err
		}
		if entry.State != SchedulePending {
			return plan{}, precondition("%s is %s: only a pending one can be cancelled", e, entry.State)
		}
		op, err := endSchedule(entry.Schedule, ScheduleCancelled, "", s.now())
		return plan{ops: []Op{op}, before: entry.Revision}, err
	}})
	if err != nil {
		return ScheduleEntry{}, err
	}
	return scheduleOf(c, id)
}

func endSchedule(sc Schedule, state ScheduleState, failure string, at time.Time) (Op, error) {
	sc.State, sc.Failure, sc.EndedAt = state, shorten(failure, MaxReason), at
	return setOp(KindSchedule, sc.ID, sc)
}

// forgetSchedules drops the schedule that ended first when one more has ended, beyond the bound.
func (p *projection) forgetSchedules(now *ScheduleEntry) {
	if now == nil || now.State == SchedulePending || len(p.schedules) <= maxFinishedSchedules {
		return
	}
	var oldest ScheduleEntry
	finished := 0
	for _, entry := range p.schedules {
		if entry.State == SchedulePending {
			continue
		}
		if finished++; finished == 1 || entry.Revision < oldest.Revision {
			oldest = entry
		}
	}
	if finished > maxFinishedSchedules {
		delete(p.schedules, oldest.ID)
	}
}
