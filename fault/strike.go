package fault

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Strike is a fault on one call, from [Point.Begin] to [Strike.End]. The methods of a nil Strike
// leave the call as it is. The fault is over when its point is disarmed, its lease ends or a switch
// goes off: the methods then leave alone what is left of the call. Body, Write, Reader, Writer and
// what they return, Hold, Fail and End are safe for concurrent use; Before and After belong to the
// goroutine of the call.
type Strike struct {
	injection Injection
	ctx       context.Context // of Begin
	charge    *charge
	draw      uint64
	longest   time.Duration // of one operation, or of the whole call
	each      bool          // longest is of one operation
	spent     atomic.Int64  // ns held up, of the whole call
	told      atomic.Bool
	ended     atomic.Bool

	inner  context.Context // of the call, if it is to be cancelled
	cancel context.CancelCauseFunc
	timer  *time.Timer
	cause  *Error
}

// Injection tells what the fault is; the zero Injection for a nil Strike.
func (s *Strike) Injection() Injection {
	if s == nil {
		return Injection{}
	}
	return s.injection
}

// Live tells whether the fault may still do something.
func (s *Strike) Live() bool { return s != nil && !s.ended.Load() && s.charge.live() }

// Before is called before the call is made, and gives the context to make it with. With an error,
// an [*Error], the call is not to be made and fails with it. It holds a latency, arms a
// cancellation, and panics with an *Error for [KindPanic].
func (s *Strike) Before(ctx context.Context) (context.Context, error) {
	if s == nil || s.injection.Phase == After || !s.Live() {
		return ctx, nil
	}
	if s.injection.Kind == KindCancel {
		return s.arm(ctx), nil
	}
	return ctx, s.do(ctx)
}

// After is called once the call has returned, with its context and its error, and gives the error
// that the caller gets: that of a reply that was lost or came late, or why a cancelled call failed.
func (s *Strike) After(ctx context.Context, err error) error {
	switch {
	case s == nil:
		return err
	case s.injection.Kind == KindCancel:
		return s.blame(err)
	case s.injection.Phase != After || err != nil || !s.Live():
		return err
	default:
		return s.do(ctx)
	}
}

// do does what can be done to a call at one moment.
func (s *Strike) do(ctx context.Context) error {
	switch s.injection.Kind {
	case KindError:
		return s.Fail(nil)
	case KindReset, KindLostReply:
		return s.Fail(syscall.ECONNRESET)
	case KindPanic:
		panic(s.Fail(nil))
	case KindLatency:
		return s.late(ctx)
	default:
		return nil
	}
}

func (s *Strike) late(ctx context.Context) error {
	instead := s.injection.Phase == Instead
	if s.injection.Delay == 0 && !instead {
		return nil
	}
	s.tell()
	full := s.charge.hold(ctx, s.injection.Delay)
	switch {
	case full && instead:
		return s.error(os.ErrDeadlineExceeded)
	case ctx.Err() != nil && s.charge.live():
		return s.error(ctx.Err())
	default:
		return nil
	}
}

// arm derives a context that is cancelled when the time has come.
func (s *Strike) arm(ctx context.Context) context.Context {
	s.cause = s.error(nil)
	s.inner, s.cancel = context.WithCancelCause(ctx)
	strike := func() {
		if s.Live() && s.inner.Err() == nil {
			s.tell()
			s.cancel(s.cause)
		}
	}
	if s.injection.Delay == 0 {
		strike()
	} else {
		s.timer = time.AfterFunc(s.injection.Delay, strike)
	}
	return s.inner
}

// blame marks the error of a call that failed because it was cancelled.
func (s *Strike) blame(err error) error {
	if err != nil && s.inner != nil && context.Cause(s.inner) == error(s.cause) {
		return s.error(err)
	}
	return err
}

// Hold holds the call up for d more, as part of the fault: for adapters that slow down messages or
// operations. It gives an *Error if ctx ends before, and cuts d short so that [Caps.MaxLatency] is
// kept to.
func (s *Strike) Hold(ctx context.Context, d time.Duration) error {
	if !s.Live() {
		return nil
	}
	if d = s.spend(d); d <= 0 {
		return nil
	}
	s.tell()
	if !s.charge.hold(ctx, d) && ctx.Err() != nil {
		return s.error(ctx.Err())
	}
	return nil
}

// spend takes d, or what is left, from the time that the call may be held up.
func (s *Strike) spend(d time.Duration) time.Duration {
	if s.each {
		return min(d, s.longest)
	}
	for {
		spent := s.spent.Load()
		d := min(d, s.longest-time.Duration(spent))
		if d <= 0 || s.spent.CompareAndSwap(spent, spent+int64(d)) {
			return d
		}
	}
}

// Fail gives the error of a call, or of a part of it, that an adapter makes fail as the fault asks
// for: an *Error around err, which may be nil. For a nil Strike it gives err.
func (s *Strike) Fail(err error) error {
	if s == nil {
		return err
	}
	s.tell()
	return s.error(err)
}

func (s *Strike) error(err error) *Error { return &Error{Injection: s.injection, Err: err} }

// End gives the place of the call back, and releases its context. Nothing happens after it. Ending
// twice does nothing.
func (s *Strike) End() {
	if s == nil || !s.ended.CompareAndSwap(false, true) {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.cancel != nil {
		s.cancel(nil)
	}
	s.charge.active.Add(-1)
}

// live tells whether what the point is armed with may do anything.
func (c *charge) live() bool {
	select {
	case <-c.off:
		return false
	default:
	}
	if _, off := process.Engaged(); off {
		return false
	}
	_, off := c.point.off.Engaged()
	return !off && c.lease.Live()
}

// hold waits for d, but no longer than ctx, the charge and its lease last; it tells whether it
// waited for all of d.
func (c *charge) hold(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	wake := make(chan struct{}, 1)
	defer process.sleeping(wake)()
	defer c.point.off.sleeping(wake)()
	for d > 0 {
		if !c.live() {
			return false
		}
		// One wait reaches to the end of the lease; by then it may have been renewed.
		step := min(d, max(c.lease.left(), 1))
		timer := time.NewTimer(step)
		select {
		case <-timer.C:
			d -= step
			continue
		case <-ctx.Done():
		case <-c.off:
		case <-c.lease.ended:
		case <-wake:
		}
		timer.Stop()
		return false
	}
	return true
}
