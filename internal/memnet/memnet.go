// Package memnet is a network that lives in memory: a net.Listener whose
// connections are net.Pipe pairs.
//
// A goroutine blocked on a real socket is not durably blocked in the sense of
// testing/synctest, so a real listener stops a bubble's clock for ever. A pipe
// is made of channels and timers of the bubble: whole servers and their clients
// run on it in fake time.
//
//	l := memnet.Listen()
//	go server.Serve(l)
//	client := &http.Client{Transport: &http.Transport{DialContext: l.Dial}}
//
// A pipe has no buffer: each Write waits for the peer's Read. That makes a slow
// reader visible at once, and it means that one goroutine cannot play both ends.
package memnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// ErrRefused is what Dial returns (wrapped) once the listener is closed: the
// in-memory twin of "connection refused".
var ErrRefused = errors.New("memnet: connection refused: listener is closed")

// Listener accepts in-memory connections. Make one with Listen; the zero value
// is not usable. All methods are safe for concurrent use.
type Listener struct {
	name     string
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
	dialled  atomic.Int64
}

var _ net.Listener = (*Listener)(nil)

// Listen returns an open Listener. Nothing needs to be released if it is never
// used; Close makes waiting Accept and Dial calls return.
func Listen() *Listener {
	return &Listener{name: "memory", incoming: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the listener. Its signature fits
// http.Transport.DialContext and a gRPC context dialer; network and addr are
// kept only as the connection's remote address, every address leads here.
//
// Dial waits until the server accepts, ctx ends (error: context.Cause) or the
// listener is closed (error wraps ErrRefused).
func (l *Listener) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if ctx.Err() != nil {
		return nil, l.dialError(network, addr, context.Cause(ctx))
	}
	select {
	case <-l.closed:
		return nil, l.dialError(network, addr, ErrRefused)
	default:
	}
	near, far := net.Pipe()
	peer := Addr(fmt.Sprintf("client-%d", l.dialled.Add(1)))
	server := &conn{Conn: far, local: Addr(l.name), remote: peer}
	select {
	case l.incoming <- server:
		return &conn{Conn: near, local: peer, remote: Addr(addr)}, nil
	case <-l.closed:
		return nil, l.dialError(network, addr, ErrRefused)
	case <-ctx.Done():
		return nil, l.dialError(network, addr, context.Cause(ctx))
	}
}

func (l *Listener) dialError(network, addr string, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: Addr(addr), Err: err}
}

// Accept waits for the next connection. After Close it returns an error that
// wraps net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.acceptError()
	default:
	}
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, l.acceptError()
	}
}

func (l *Listener) acceptError() error {
	return &net.OpError{Op: "accept", Net: "memory", Addr: Addr(l.name), Err: net.ErrClosed}
}

// Close stops the listener. Connections already made stay open, as with TCP.
// Closing twice is harmless; the error is always nil.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the listener's address, "memory".
func (l *Listener) Addr() net.Addr { return Addr(l.name) }

// Addr is the address of one end of an in-memory connection.
type Addr string

// Network returns "memory".
func (Addr) Network() string { return "memory" }

// String returns the address itself.
func (a Addr) String() string { return string(a) }

// conn is one end of a pipe with addresses. Deadlines are net.Pipe's own.
type conn struct {
	net.Conn
	local, remote Addr
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }
