package seatrialnet

import (
	"net"
	"syscall"
	"time"
)

// halfCloser is what TCP and Unix connections can do beyond net.Conn.
type halfCloser interface {
	CloseRead() error
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

// tuner is what TCP connections can do beyond that.
type tuner interface {
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetLinger(int) error
	SetNoDelay(bool) error
}

type streamConn struct {
	*conn
	halfCloser
}

type tcpConn struct {
	*conn
	halfCloser
	tuner
}

// wrap keeps what the connection can do.
func wrap(c *conn) net.Conn {
	half, halves := c.Conn.(halfCloser)
	tune, tunes := c.Conn.(tuner)
	switch {
	case halves && tunes:
		return tcpConn{c, half, tune}
	case halves:
		return streamConn{c, half}
	default:
		return c
	}
}
