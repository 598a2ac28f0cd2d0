package control

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Limits of scheduled starts.
const (
	minEvery  = 5 * time.Minute
	maxEvery  = 366 * 24 * time.Hour
	lateStart = 5 * time.Minute // a start that is later is passed over
	maxTries  = 10              // that a schedule remembers
)

// mayScheduleStart completes a schedule that starts an experiment, or says why it cannot be.
func (p *projection) mayScheduleStart(n NewSchedule, planned Schedule, set *flag.Set) (Schedule, error) {
	switch {
	case n.Trial == nil:
		return planned, invalid("/every", "schedule: only the start of an experiment can be repeated or kept to hours: leave every and between out")
	case n.Patch != nil:
		return planned, invalid("/patch", "schedule: a patch and a trial: make a schedule for each")
	case n.Trial.Goal != trial.GoalSurvive:
		return planned, invalid("/trial/goal", "schedule: only an experiment (goal survive) can be started by a schedule, this one is to %q", n.Trial.Goal)
	case n.Flag != "" && n.Flag != n.Trial.Flag:
		return planned, invalid("/flag", "schedule: the experiment is on flag %q: leave this one out", n.Trial.Flag)
	case n.Every != 0 && (n.Every < minEvery || n.Every > maxEvery):
		return planned, invalid("/every", "schedule: every %s: give 5m to a year (8784h), or leave it out", trial.Duration(n.Every))
	}
	if _, ok := p.flags[n.Trial.Flag]; !ok {
		return planned, notFound(entity{KindFlag, n.Trial.Flag})
	}
	spec := trial.Normalize(*n.Trial)
	if err := spec.Validate(*set); err != nil {
		return planned, within("/trial", asInvalid(err))
	}
	spec.Salt = n.Trial.Salt // left out, it is that of the attempt before
	planned.Flag = n.Trial.Flag
	planned.ScheduledStart = ScheduledStart{Trial: &spec, Every: trial.Duration(n.Every), Between: n.Between, First: planned.At}
	when, err := planned.recurrence()
	if err != nil {
		return planned, invalid("/between", "schedule: between %v", err)
	}
	at, ok := when.next(planned.At.Add(-time.Nanosecond))
	if !ok {
		return planned, invalid("/at", "schedule: %s is not within %q, nor is any time after it: choose another", n.At.Format(time.RFC3339), n.Between)
	}
	planned.At = at.UTC()
	return planned, nil
}

// recurrence gives the times of a scheduled start.
func (sc *Schedule) recurrence() (recurrence, error) {
	r := recurrence{first: sc.First, every: time.Duration(sc.Every)}
	if sc.Between == "" {
		return r, nil
	}
	var err error
	r.within, err = parseHours(sc.Between)
	return r, err
}

// startScheduled starts the experiment of a schedule that is due, or notes why it may not start.
// Both are one change together with what becomes of the schedule: the next time, or its end. What
// was missed is not made up for. An error says that the store could not be written to.
func (s *Service) startScheduled(ctx context.Context, sc Schedule) error {
	var why error
	if late := s.now().Sub(sc.At); late > lateStart {
		why = precondition("it was due %s ago, when the server did not run", late.Round(time.Second))
	} else if why = s.checkStart(ctx, *sc.Trial); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused error
	c, err := s.commit(ctx, WriteOptions{Actor: scheduleActor}, write{verb: "run schedule", plan: func(p *projection) (next plan, err error) {
		entry, ok := p.schedules[sc.ID]
		if !ok || entry.State != SchedulePending || entry.At.After(s.cfg.Now()) {
			return plan{}, nil // somebody else was faster
		}
		var op Op
		var started Trial
		if refused = why; refused == nil {
			op, started, refused = s.planStart(p, *entry.Trial, entry.CreatedBy)
		}
		if refused == nil {
			next.ops = []Op{op}
		}
		then, err := entry.after(s.now(), started.State.Attempt, refused)
		next.ops, next.reason = append(next.ops, then), entry.told(refused)
		return next, err
	}})
	switch {
	case err != nil:
		return err
	case len(c.Ops) > 0 && refused != nil:
		s.cfg.Logger.Warn("a scheduled experiment was not started", "schedule", sc.ID, "trial", sc.Trial.Name, "revision", c.Revision, "error", refused)
	case len(c.Ops) > 0:
		s.cfg.Logger.Info("a scheduled experiment was started", "schedule", sc.ID, "trial", sc.Trial.Name, "revision", c.Revision)
	}
	return nil
}

// told is what the log says of a start, or of why there was none.
func (sc *Schedule) told(refused error) string {
	why := fmt.Sprintf("Schedule %s of %s", sc.ID, nameOf(sc.CreatedBy))
	switch {
	case refused != nil:
		return fmt.Sprintf("%s did not start experiment %s: %v", why, sc.Trial.Name, refused)
	case sc.Reason != "":
		why += ": " + sc.Reason
	}
	return why
}

// after gives the op that stores what becomes of a schedule whose time has come.
func (sc Schedule) after(now time.Time, attempt int, refused error) (Op, error) {
	try := ScheduleTry{At: sc.At, Attempt: attempt}
	if refused != nil {
		try.Skipped = shorten(refused.Error(), MaxReason)
	}
	tries := append(sc.Tries[:len(sc.Tries):len(sc.Tries)], try)
	sc.Tries = tries[max(0, len(tries)-maxTries):]
	when, err := sc.recurrence()
	if err != nil {
		refused = err // by another version
	} else if at, ok := when.next(now); ok {
		sc.At = at.UTC()
		return setOp(KindSchedule, sc.ID, sc)
	}
	if refused != nil {
		return endSchedule(sc, ScheduleFailed, refused.Error(), now)
	}
	return endSchedule(sc, ScheduleDone, "", now)
}
