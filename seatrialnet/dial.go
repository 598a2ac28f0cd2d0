package seatrialnet

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/seatrial/seatrial/fault"
)

var errTimeout = os.ErrDeadlineExceeded

// Dialer dials connections with faults. Its DialContext fits an http.Transport, and with a closure
// any driver that lets the dial be replaced. A Dialer must not be changed once it is used; it is safe for
// concurrent use.
type Dialer struct {
	// Point is where the faults come from; nil means there are none.
	Point *fault.Point
	// Base dials; nil means a net.Dialer with a timeout of 30 s.
	Base func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial is DialContext with context.Background().
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext dials. The context says for whom faults are decided, for as long as the connection
// lives, and bounds the dial only. A dial that a fault makes fail gives a *net.OpError around the
// *fault.Error, as a real one would.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	arming := d.Point.Arming()
	s := d.Point.Begin(ctx, call(address))
	if s == nil {
		raw, err := d.base(ctx, network, address)
		if err != nil || d.Point == nil {
			return raw, err
		}
		c := newConn(ctx, raw, d.Point, address)
		if arming != 0 {
			c.suffer(arming, nil, nil) // decided: nothing happens
		}
		return wrap(c), nil
	}
	raw, life, err := d.struck(ctx, s, network, address)
	if err != nil {
		s.End()
		if _, injected := fault.From(err); injected {
			err = &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return nil, err
	}
	c := newConn(ctx, raw, d.Point, address)
	c.suffer(arming, s, life)
	return wrap(c), nil
}

// struck dials under a fault. A dial that panics gives the place of its fault back.
func (d *Dialer) struck(ctx context.Context, s *fault.Strike, network, address string) (raw net.Conn, life context.Context, err error) {
	finished := false
	defer func() {
		if !finished {
			s.End()
		}
	}()
	i := s.Injection()
	if i.Kind == fault.KindCancel {
		raw, life, err = d.cancelled(ctx, s, network, address)
	} else {
		raw, err = d.delayed(ctx, s, network, address)
	}
	finished = true
	return raw, life, err
}

func (d *Dialer) delayed(ctx context.Context, s *fault.Strike, network, address string) (net.Conn, error) {
	if _, err := s.Before(ctx); err != nil {
		return nil, err
	}
	raw, err := d.base(ctx, network, address)
	if s.Injection().Kind != fault.KindLatency { // what else strikes after is for the connection
		return raw, err
	}
	if late := s.After(ctx, err); late != nil && err == nil {
		_ = raw.Close()
		return nil, late
	}
	return raw, err
}

// cancelled dials with a context that the fault cancels, and gives the one that ends with the fault
// and not with ctx.
func (d *Dialer) cancelled(ctx context.Context, s *fault.Strike, network, address string) (net.Conn, context.Context, error) {
	life, err := s.Before(context.WithoutCancel(ctx))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if life.Err() != nil {
		cancel(context.Cause(life)) // now, not in a goroutine that may come too late
	}
	defer context.AfterFunc(life, func() { cancel(context.Cause(life)) })()
	raw, err := d.base(ctx, network, address)
	return raw, life, s.After(life, err)
}

func (d *Dialer) base(ctx context.Context, network, address string) (net.Conn, error) {
	if d.Base != nil {
		return d.Base(ctx, network, address)
	}
	standard := net.Dialer{Timeout: 30 * time.Second}
	return standard.DialContext(ctx, network, address)
}
