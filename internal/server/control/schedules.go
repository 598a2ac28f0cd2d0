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
	"github.com/seatrial/seatrial/internal/core/trial"
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

// Schedule is something that the control plane does at a time: it edits a flag (Patch), or starts
// an experiment (Trial), once or again and again.
type Schedule struct {
	ID   string `json:"id"`
	Flag string `json:"flag"` // of an experiment the one that it is on
	// At is when, in UTC; of an experiment that is started again and again, the next time. An edit
	// is made then or as soon after as the server runs. A start that is more than 5 minutes late is
	// passed over: the hour that somebody chose for it is over.
	At time.Time `json:"at"`
	// Patch is a JSON merge patch (RFC 7396) of the flag's definition. What it does not name stays
	// as it is at that time, whoever has changed it meanwhile.
	Patch json.RawMessage `json:"patch,omitempty"`
	ScheduledStart
	Reason    string        `json:"reason,omitempty"` // of the change that it makes
	CreatedAt time.Time     `json:"createdAt"`
	CreatedBy string        `json:"createdBy"` // an actor
	State     ScheduleState `json:"state"`
	EndedAt   time.Time     `json:"endedAt,omitzero"` // when it was carried out, failed or was cancelled
	Failure   string        `json:"failure,omitempty"`
}

// ScheduledStart is the part of a schedule that starts an experiment.
type ScheduledStart struct {
	Trial *trial.Spec `json:"trial,omitempty"`
	// Every is how often it is started; 0: once. Whole days keep the time of day in the zone of
	// Between, also over changes of daylight saving time.
	Every trial.Duration `json:"every,omitempty"`
	// Between restricts the starts to hours of the week, such as "Mon-Fri 10:00-16:00
	// Europe/Berlin"; empty: any time. Without a zone it is UTC.
	Between string    `json:"between,omitempty"`
	First   time.Time `json:"first,omitzero"` // the time that was asked for; the others follow from it
	// Tries are the last starts and refusals, oldest first, at most 10; the log has all.
	Tries []ScheduleTry `json:"tries,omitempty"`
}

// ScheduleTry is one time at which an experiment was to be started.
type ScheduleTry struct {
	At      time.Time `json:"at"`                // when it was due
	Attempt int       `json:"attempt,omitempty"` // that was started; 0: none
	Skipped string    `json:"skipped,omitempty"` // why none was
}

// ScheduleEntry is a schedule with the revision of the last change to it.
type ScheduleEntry struct {
	Schedule
	Revision int64 `json:"revision"`
}

// NewSchedule asks for a schedule.
type NewSchedule struct {
	Flag string
	// At is in the future, at most 2 years ahead. The zero time with Between means the next time that
	// those hours begin.
	At     time.Time
	Reason string // at most 2 000 bytes
	// Patch or Trial is given. Flag may be left out for a trial.
	Patch json.RawMessage
	// Trial is the plan of an experiment (goal survive). Every is 5 minutes to a year, 0: once.
	// Between is as in [ScheduledStart].
	Trial   *trial.Spec
	Every   time.Duration
	Between string
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

// CreateSchedule plans an edit or a start. An experiment must be one that may be planned now; whether
// it may be started is asked at its time. An edit's result must be a valid flag if the edits that are due before
// it are made and nothing else happens; what else may be in the way at its time, such as a trial,
// is not asked now. Errors: CodeInvalid with the places, CodeNotFound for the flag,
// CodePrecondition if too many are pending.
func (s *Service) CreateSchedule(ctx context.Context, n NewSchedule, o WriteOptions) (ScheduleEntry, error) {
	id := newTokenID()
	c, err := s.commit(ctx, o, write{verb: "create schedule", input: []any{n}, plan: func(p *projection) (plan, error) {
		planned, err := p.mayCreateSchedule(n, s.now(), s.view.Set)
		if err != nil {
			return plan{}, err
		}
		planned.ID, planned.CreatedAt, planned.CreatedBy = id, s.now(), o.Actor
		op, err := setOp(KindSchedule, id, planned)
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

// mayCreateSchedule gives the schedule that was asked for, or why it cannot be.
func (p *projection) mayCreateSchedule(n NewSchedule, now time.Time, set *flag.Set) (Schedule, error) {
	if h, err := parseHours(n.Between); n.At.IsZero() && err == nil {
		n.At = h.next(now)
	}
	planned := Schedule{Flag: n.Flag, At: n.At.UTC().Round(0), Patch: n.Patch, Reason: n.Reason, State: SchedulePending}
	switch {
	case n.At.IsZero():
		return planned, invalid("/at", "schedule: no time: say when")
	case !n.At.After(now):
		return planned, invalid("/at", "schedule: %s is not in the future, it is %s now: do it at once, or name a later time", n.At.Format(time.RFC3339), now.Format(time.RFC3339))
	case n.At.After(now.Add(maxAhead)):
		return planned, invalid("/at", "schedule: %s is more than 2 years ahead: plan it later", n.At.Format(time.RFC3339))
	case len(n.Reason) > MaxReason:
		return planned, invalid("/reason", "schedule: the reason has %d bytes, at most %d are allowed: shorten it", len(n.Reason), MaxReason)
	}
	if pending := len(p.pendingSchedules()); pending >= maxPendingSchedules {
		return planned, precondition("schedule: %d are pending, no more are allowed: cancel some first", pending)
	}
	if n.Trial != nil || n.Every != 0 || n.Between != "" {
		return p.mayScheduleStart(n, planned, set)
	}
	return planned, p.mayScheduleEdit(n, set)
}

func (p *projection) mayScheduleEdit(n NewSchedule, set *flag.Set) error {
	f, ok := p.flags[n.Flag]
	switch {
	case n.Flag == "":
		return invalid("/flag", "schedule: no flag: name the one to change")
	case !ok:
		return notFound(entity{KindFlag, n.Flag})
	}
	next := f.Flag
	for _, entry := range p.pendingSchedules() {
		if entry.Flag != n.Flag || entry.Trial != nil || entry.At.After(n.At) {
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
	return within("/patch", asInvalid(err))
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
	return within("/patch", asInvalid(err))
}

// within moves the places of an error into a part of the request.
func within(part string, err error) error {
	if e, ok := err.(*Error); ok {
		for i := range e.Fields {
			e.Fields[i].Pointer = part + e.Fields[i].Pointer
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
