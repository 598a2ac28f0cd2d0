package control

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// KindLever is the entity that says whether faults are allowed in the environment. There is one, of
// the key "faults".
const KindLever EntityKind = "lever"

const leverKey = "faults"

// Lever is the safety lever of an environment. While it is off, no experiment starts, and clients
// inject nothing ([flag.Set.FaultsOff]); it stays so, over restarts, until somebody puts it on. One
// that nobody ever moved is on.
type Lever struct {
	Off    bool      `json:"off"`
	Reason string    `json:"reason,omitempty"` // why it was moved last
	By     string    `json:"by,omitempty"`     // an actor
	At     time.Time `json:"at,omitzero"`      // UTC
}

// LeverEntry is the lever with the revision of the last change to it, 0 if nobody ever moved it.
type LeverEntry struct {
	Lever
	Revision int64 `json:"revision"`
}

// GetLever gives the lever as it stands.
func (s *Service) GetLever() LeverEntry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.levers[leverKey]
}

// FaultsOff puts the lever off and aborts every chaos experiment that has not ended, in one change,
// whatever its phase. It gives those experiments, sorted by name; look at their Error, as for
// [Service.HaltAll]: the lever is off all the same, so that clients inject nothing for them either.
//
// A reason is required (o.Reason), else CodeInvalid. It does not give way: while others write, it is
// tried again until ctx ends. A lever that is off already keeps its reason, and what should still
// run is aborted. o.IfMatch and o.IdempotencyKey do not apply.
func (s *Service) FaultsOff(ctx context.Context, o WriteOptions) (LeverEntry, []Halted, error) {
	if err := leverReason(o); err != nil {
		return LeverEntry{}, nil, err
	}
	lever := s.GetLever()
	halted, err := s.stopAll(ctx, o, stopping{
		verb: "faults off",
		want: func(t TrialEntry) bool { return t.Spec.Goal == trial.GoalSurvive },
		also: func(p *projection) ([]Op, error) {
			if lever = p.levers[leverKey]; lever.Off {
				return nil, nil
			}
			lever = LeverEntry{s.moved(true, o), lever.Revision}
			op, err := setOp(KindLever, leverKey, lever.Lever)
			return []Op{op}, err
		},
		why: "Faults are off",
	})
	if !o.DryRun {
		lever = s.GetLever()
	}
	return lever, halted, err
}

// FaultsOn puts the lever on again: experiments may be started. Those that were aborted do not go
// on. A reason is required, else CodeInvalid. A lever that is on stays as it is. o.IfMatch and
// o.IdempotencyKey do not apply.
func (s *Service) FaultsOn(ctx context.Context, o WriteOptions) (LeverEntry, error) {
	if err := leverReason(o); err != nil {
		return LeverEntry{}, err
	}
	o.IfMatch, o.IdempotencyKey = MatchAlways, ""
	var lever LeverEntry
	c, err := s.commit(ctx, o, write{verb: "faults on", plan: func(p *projection) (plan, error) {
		if lever = p.levers[leverKey]; !lever.Off {
			return plan{}, nil
		}
		lever.Lever = s.moved(false, o)
		op, err := setOp(KindLever, leverKey, lever.Lever)
		return plan{ops: []Op{op}, before: lever.Revision, reason: "Faults are allowed again: " + o.Reason}, err
	}})
	if err != nil {
		return LeverEntry{}, err
	}
	if len(c.Ops) > 0 {
		lever.Revision = c.Revision
	}
	return lever, nil
}

func (s *Service) moved(off bool, o WriteOptions) Lever {
	return Lever{Off: off, Reason: o.Reason, By: o.Actor, At: s.now()}
}

func leverReason(o WriteOptions) error {
	if o.Reason == "" {
		return invalid("/reason", "lever: no reason: say why, others will want to know")
	}
	return nil
}

// faultsOff reports whether the lever is off.
func (p *projection) faultsOff() bool { return p.levers[leverKey].Off }

// mayExperiment refuses experiments while the lever is off.
func (p *projection) mayExperiment(spec trial.Spec) error {
	lever := p.levers[leverKey]
	if spec.Goal != trial.GoalSurvive || !lever.Off {
		return nil
	}
	return precondition("trial %q: faults are off since %s (%s: %s), so no experiment starts: put them on again first, `seatrial chaos on --reason ...`",
		spec.Name, lever.At.Format(time.RFC3339), nameOf(lever.By), lever.Reason)
}

// haltReason is what the log says of a stop that aborted n trials.
func haltReason(why string, n int, reason string) string {
	if n > 0 {
		why = fmt.Sprintf("%s (%d)", why, n)
	}
	if reason == "" {
		return why + "."
	}
	return why + ": " + reason
}
