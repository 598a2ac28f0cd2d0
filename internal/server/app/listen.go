package app

import (
	"context"
	"net"
	"strconv"
	"sync"
)

// portsToTry bounds the search for a free port.
const portsToTry = 100

// listen opens the address, or the next one whose port is free.
func listen(ctx context.Context, cfg Config) (net.Listener, error) {
	if cfg.Listener != nil {
		return cfg.Listener, nil
	}
	var lc net.ListenConfig
	ln, first := lc.Listen(ctx, "tcp", cfg.Addr)
	if first == nil || !cfg.NextFreePort {
		return ln, first
	}
	host, text, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, first
	}
	port, err := strconv.Atoi(text)
	if err != nil || port == 0 {
		return nil, first
	}
	for next := port + 1; next <= min(port+portsToTry, 65535) && ctx.Err() == nil; next++ {
		if ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(next))); err == nil {
			return ln, nil
		}
	}
	return nil, first
}

// urlOf gives the URL under which a listener is reached from this machine.
func urlOf(ln net.Listener) string {
	tcp, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return "http://127.0.0.1" // in memory: every address leads there
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// bounded is a listener that accepts only as many connections at a time as it has room for. The
// others wait in the system's queue.
type bounded struct {
	net.Listener
	room   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// bound bounds a listener by a room that several may share.
func bound(ln net.Listener, room chan struct{}) *bounded {
	return &bounded{Listener: ln, room: room, closed: make(chan struct{})}
}

func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.room <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.room
		return nil, err
	}
	return &counted{Conn: conn, room: b.room}, nil
}

func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// open is the number of connections now, of all listeners that share the room.
func (b *bounded) open() int { return len(b.room) }

type counted struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { <-c.room })
	return c.Conn.Close()
}
