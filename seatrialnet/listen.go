package seatrialnet

import (
	"context"
	"net"
	"syscall"

	"github.com/seatrial/seatrial/fault"
)

// Listener gives l with the faults of the point done to the connections that it accepts. Accept
// itself never fails, waits or panics because of a fault: a server would stop serving everybody. A nil
// point gives l.
func Listener(l net.Listener, p *fault.Point) net.Listener {
	if p == nil || l == nil {
		return l
	}
	return &listener{l, p}
}

type listener struct {
	net.Listener
	point *fault.Point
}

// Accept gives the next connection that a fault does not end at once.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := newConn(context.Background(), raw, l.point, "")
		c.serves = true
		if f := c.current(); f == nil || !c.refused(f) {
			return wrap(c), nil
		}
	}
}

// refused closes a connection whose fault does not let it begin.
func (c *conn) refused(f *fate) bool {
	switch i := f.strike.Injection(); {
	case i.Phase == fault.After:
		return false
	case i.Kind == fault.KindReset:
		_ = c.fail(f.strike.Fail(syscall.ECONNRESET), true)
	case i.Kind == fault.KindError:
		_ = c.fail(f.strike.Fail(nil), false)
	default:
		return false
	}
	_ = c.Close()
	return true
}
