package seatrialsql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// source is what the connections of a wrapped driver have in common.
type source struct {
	config     config
	dependency *seatrial.Dependency
	point      *fault.Point
	tracer     trace.Tracer
	attrs      []attribute.KeyValue // of all spans
}

func newSource(d driver.Driver, c *seatrial.Client, dependency string, options []Option) *source {
	s := &source{config: collect(d, options), dependency: c.Dependency(dependency)}
	s.point, s.tracer, s.attrs = s.dependency.Point(), s.config.tracer(), s.config.common(dependency)
	return s
}

// operation is one thing that is asked of the driver.
type operation struct {
	name    string // for the deny list of faults, and for the span if there is no summary
	summary string // of a statement
	text    string // of a statement; may be recorded
	repeat  bool   // may be carried out again on the same connection
	rows    bool   // gives rows

	keep func(*fault.Strike) // takes the fault along with the rows, until they are closed
}

func newOperation(text string) *operation {
	verb, summary := summarize(text)
	return &operation{name: verb, summary: summary, text: text}
}

// pass carries out an operation under the policy: each try with a span, past the point of faults.
// C is nil for an operation without a connection. Undo, if not nil, gives back what do has got when
// the operation fails all the same.
func (s *source) pass(ctx context.Context, op *operation, c *conn, do func(context.Context) error, undo func()) error {
	if c.lost() {
		return driver.ErrBadConn
	}
	tries := 0
	var last, judged error // of the last try: as it came, and as the policy sees it
	err := s.run(ctx, func(ctx context.Context) error {
		done := false
		last = s.try(ctx, op, c, tries, func(ctx context.Context) error {
			err := do(ctx)
			done = err == nil
			return err
		})
		if tries++; last != nil && done && undo != nil {
			undo()
		}
		judged = s.judge(last, op.repeat && !c.lost())
		return judged
	})
	if err != nil && err == judged {
		return last
	}
	return err
}

// run is the policy.
func (s *source) run(ctx context.Context, do func(context.Context) error) error {
	_, err := seatrial.Run(ctx, s.dependency, resilience.Call[struct{}]{Do: func(ctx context.Context) (struct{}, error) {
		return struct{}{}, do(ctx)
	}})
	return err
}

// try is one try, with a span, past the point of faults.
func (s *source) try(ctx context.Context, op *operation, c *conn, tries int, do func(context.Context) error) error {
	ctx, span := s.start(ctx, op, tries)
	defer span.End()
	err := s.strike(ctx, op, c, do)
	describe(span, err)
	return err
}

// strike makes the call to the driver, or what a fault makes of it.
func (s *source) strike(ctx context.Context, op *operation, c *conn, do func(context.Context) error) error {
	strike := s.point.Begin(ctx, fault.Call{Operation: op.name, Messages: op.rows})
	if strike == nil {
		return do(ctx)
	}
	kept := false
	defer func() {
		if !kept {
			strike.End()
		}
	}()
	ctx, err := strike.Before(ctx)
	if err == nil {
		err = strike.After(ctx, do(ctx))
	}
	if kept = err == nil && op.keep != nil && strikesRows(strike.Injection().Kind); kept {
		op.keep(strike)
	}
	return c.breaks(strike.Injection(), op, err)
}

// strikesRows tells whether there is more to the fault once the driver has returned.
func strikesRows(k fault.Kind) bool { return k == fault.KindBandwidth || k == fault.KindTruncate }

// breaks makes of err, which an injected fault may have caused, what a lost connection gives.
func (c *conn) breaks(i fault.Injection, op *operation, err error) error {
	_, injected := err.(*fault.Error)
	if c == nil || !injected || i.Kind != fault.KindReset && i.Kind != fault.KindLostReply {
		return err
	}
	c.broken.Store(true)
	if i.Phase == fault.After && !op.repeat { // who knows what was done
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrBadConn, err)
}

// judge marks an error with what it means to the policy.
func (s *source) judge(err error, again bool) error {
	if err == nil {
		return nil
	}
	switch class := s.config.classify(err); {
	case class == resilience.Success:
		return resilience.Answer(err)
	case class == resilience.Transient && again:
		return &passing{err}
	default:
		return resilience.AsPermanent(err)
	}
}

// passing is a failure that may pass.
type passing struct{ error }

func (p *passing) Unwrap() error   { return p.error }
func (p *passing) Retryable() bool { return true }

// lease is a context for a driver that may keep it for longer than the operation takes: for rows,
// or for a transaction. While the operation is under way it ends with the try; afterwards with the
// caller's context, or when it is released.
type lease struct {
	ctx    context.Context
	try    context.Context
	cancel context.CancelCauseFunc
	stop   func() bool
}

func lasting(caller, try context.Context) *lease {
	ctx, cancel := context.WithCancelCause(caller)
	return &lease{
		ctx:    trace.ContextWithSpan(ctx, trace.SpanFromContext(try)),
		try:    try,
		cancel: cancel,
		stop:   context.AfterFunc(try, func() { cancel(context.Cause(try)) }),
	}
}

func (l *lease) release() { l.cancel(nil) }

// settle ends the part of the try, with the driver's error. What the driver has given when the try
// was over already is undone.
func (l *lease) settle(err error, undo func()) error {
	if err == nil && l.stop() {
		return nil
	}
	l.stop()
	defer l.release()
	over := l.try.Err()
	switch {
	case err == nil:
		undo()
		return over
	case over != nil && errors.Is(over, context.DeadlineExceeded) && errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", over, err) // the driver cannot know that it was a deadline
	default:
		return err
	}
}
