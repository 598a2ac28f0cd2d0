package seatrial

import (
	"context"
	"errors"
	"slices"

	"github.com/seatrial/seatrial/internal/core/eval"
)

// MarksHeader is the header of an HTTP answer, and in lower case the key of a gRPC trailer, that
// tells the caller what experiments its unit of work has met further inside; see [Marks].
const MarksHeader = "Seatrial-Marks"

// Marks gives what the answer of the unit of work in ctx should tell its caller: the chaos
// experiments that it has met so far, itself or in units of work within it for the same call, and
// which of them hit it; "-" if it has met none. It is empty while no experiment runs, and if the
// caller did not send a decision of [Client.Carry], so that strangers at the edge learn nothing.
// Adapters send it in [MarksHeader] when the head of the answer is written, or with its end;
// [Client.Handler] does so itself.
func Marks(ctx context.Context) string {
	where := scopeOf(ctx)
	if where == nil {
		return ""
	}
	return where.work.marks()
}

func (w *Work) marks() string {
	if w == nil {
		return ""
	}
	at := w.client.current.Load()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.chaos != nil && len(w.chaos.met) > 0:
		return formatMarks(w.chaos.met)
	case at != nil && len(at.experiments) > 0 && w.asked(at):
		return nothingMet
	}
	return ""
}

// asked tells whether the caller has sent a decision on an experiment that runs. w.mu is held.
func (w *Work) asked(at *snapshot) bool {
	incoming := w.experiments().decisions(w)
	return incoming != "" && slices.ContainsFunc(at.experiments, func(x *experiment) bool {
		if x.signer == nil {
			return false
		}
		_, _, _, ok := x.signer.open(incoming)
		return ok
	})
}

// NoteMarks tells the unit of work in ctx what the answer of a dependency said in [MarksHeader]: the
// unit of work has met the same experiments, and was hit by the same faults. Only what agrees with
// the unit's own part in an experiment that runs counts; anything else is passed over, and nothing
// in marks can do harm.
//
// So a unit of work is exposed to an experiment where its call really came to a point of faults,
// however far inside, and its outcome counts for no other trial if a fault hit it there.
func NoteMarks(ctx context.Context, marks string) {
	if marks == "" {
		return
	}
	where := scopeOf(ctx)
	if where == nil || where.work == nil {
		return
	}
	c := where.work.client
	at := c.current.Load()
	if at == nil {
		return
	}
	for _, m := range parseMarks(marks) {
		if x := at.experimentBy(m.id); x != nil {
			c.noteMark(ctx, where, at, x, m)
		} else if p, ok := where.work.carried(where, m.id); ok && m.hit && armOf(p.role) == m.arm {
			where.work.hit(p.of) // and is over by now
		}
	}
}

func (c *Client) noteMark(ctx context.Context, where *scope, at *snapshot, x *experiment, m met) {
	p := c.part(ctx, where, at, x)
	if p.role == eval.RoleNone || armOf(p.role) != m.arm {
		return
	}
	c.meet(ctx, where, at, x, p)
	if m.hit && m.arm == treatment {
		where.work.hit(x)
	}
}

// NoteUnanswered tells the unit of work in ctx that a call with the decisions of [Client.Carry] has
// failed, and that no answer of the dependency had [MarksHeader]: what the call has met is not known,
// since a fault, such as a latency beyond the caller's patience, is just what may keep the answer
// away. So the unit of work counts as having met what it carried, in both arms alike, and in the
// treatment as hit. If ctx was cancelled, rather than that its time ran out, nobody waited for the
// answer, and nothing is noted.
func NoteUnanswered(ctx context.Context) {
	where := scopeOf(ctx)
	if where == nil || where.work == nil || errors.Is(ctx.Err(), context.Canceled) && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return
	}
	c := where.work.client
	at := c.current.Load()
	if at == nil {
		return
	}
	for _, p := range where.work.allCarried(where) {
		x := at.experimentBy(p.of.signer.id)
		if x != nil {
			c.meet(ctx, where, at, x, p.part)
		} else {
			x = p.of // it is over
		}
		if x.on && p.role == eval.RoleTreatment {
			where.work.hit(x)
		}
	}
}

// experimentBy gives the experiment that an id on the wire names, nil if none of them runs.
func (s *snapshot) experimentBy(id string) *experiment {
	for _, x := range s.experiments {
		if x.signer != nil && x.signer.id == id {
			return x
		}
	}
	return nil
}
