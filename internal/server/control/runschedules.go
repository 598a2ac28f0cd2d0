package control

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// scheduleActor names the automation in the log.
const scheduleActor = "schedule"

// How long RunSchedules sleeps: never longer than recheck, since a clock may be set and a machine
// may sleep, and retry after the store could not be written to.
const (
	recheckSchedules = time.Minute
	retrySchedules   = time.Second
)

// RunSchedules carries out schedules when they are due, until ctx ends or the log is closed. What
// was due before it started is carried out at once, in the order of the times.
//
// Each is one change by the actor "schedule": the edit of the flag and the state of the schedule
// in the same compare-and-set, so that it happens once, however many servers run on the log and
// whenever one of them dies. One that cannot be carried out fails, which is one change too, and an
// error in the log for operators; it is not tried again. An experiment that is started again and
// again and may not start is tried at its next time.
func (s *Service) RunSchedules(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.RLock()
		pending, changed := s.state.pendingSchedules(), s.changed
		s.mu.RUnlock()
		sleep := recheckSchedules
		if len(pending) > 0 {
			sleep = min(sleep, pending[0].At.Sub(s.cfg.Now()))
		}
		if sleep <= 0 {
			err := s.runDue(ctx, pending[0].Schedule)
			switch {
			case err == nil || ctx.Err() != nil:
				continue
			case errors.Is(err, ErrClosed):
				return
			}
			s.cfg.Logger.Error("a schedule could not be carried out; it is tried again", "schedule", pending[0].ID, "flag", pending[0].Flag, "error", err)
			sleep, changed = retrySchedules, nil
		}
		timer := time.NewTimer(sleep)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (s *Service) runDue(ctx context.Context, sc Schedule) error {
	if sc.Trial != nil {
		return s.startScheduled(ctx, sc)
	}
	return s.runSchedule(ctx, sc.ID)
}

// runSchedule carries out one schedule, if it is still pending and due. An error says that the
// store could not be written to, or that others wrote all the time.
func (s *Service) runSchedule(ctx context.Context, id string) error {
	var why error // why the edit is not possible
	c, err := s.commit(ctx, WriteOptions{Actor: scheduleActor}, write{verb: "run schedule", plan: func(p *projection) (next plan, err error) {
		entry, ok := p.schedules[id]
		if !ok || entry.State != SchedulePending || entry.At.After(s.cfg.Now()) {
			return plan{}, nil // somebody else was faster
		}
		if next, why = s.planSchedule(p, entry.Schedule); why == nil {
			return next, nil
		}
		op, err := endSchedule(entry.Schedule, ScheduleFailed, why.Error(), s.now())
		return plan{ops: []Op{op}, reason: fmt.Sprintf("Schedule %s could not change flag %s: %v", id, entry.Flag, why)}, err
	}})
	switch {
	case err != nil:
		return err
	case len(c.Ops) > 0 && why != nil:
		s.cfg.Logger.Error("a schedule failed; the flag stays as it is", "schedule", id, "revision", c.Revision, "error", why)
	case len(c.Ops) > 0:
		s.cfg.Logger.Info("a schedule was carried out", "schedule", id, "revision", c.Revision)
	}
	return nil
}

// planSchedule gives the edit of the flag and the end of the schedule, or why it is not possible.
func (s *Service) planSchedule(p *projection, sc Schedule) (plan, error) {
	entry, ok := p.flags[sc.Flag]
	if !ok {
		return plan{}, notFound(entity{KindFlag, sc.Flag})
	}
	f, err := patched(entry.Flag, sc.Patch)
	if err != nil {
		return plan{}, err
	}
	if err := p.mayReach(s.view.Set, []edit{{entity: entity{KindFlag, sc.Flag}, value: f}}); err != nil {
		return plan{}, err
	}
	done, err := endSchedule(sc, ScheduleDone, "", s.now())
	if err != nil {
		return plan{}, err
	}
	why := fmt.Sprintf("Schedule %s of %s", sc.ID, nameOf(sc.CreatedBy))
	if sc.Reason != "" {
		why += ": " + sc.Reason
	}
	ops := []Op{done}
	if !sameJSON(entry.Flag, f) {
		op, err := setOp(KindFlag, sc.Flag, f)
		if err != nil {
			return plan{}, err
		}
		ops = []Op{op, done}
	}
	return plan{ops: ops, reason: why}, nil
}
