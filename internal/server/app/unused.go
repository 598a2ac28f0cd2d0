package app

import (
	"net"
	"net/http"
	"sync"
)

// unused are the connections over which no request has come yet. Clients dial some in reserve, and
// http.Server.Shutdown waits 5 s for each; closing them makes a stop quick.
type unused struct {
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	stopping bool
}

// closeUnused lets a server close its unused connections when it is shut down.
func closeUnused(server *http.Server) {
	u := &unused{conns: map[net.Conn]struct{}{}}
	server.ConnState = u.note
	server.RegisterOnShutdown(u.close)
}

func (u *unused) note(conn net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, conn)
	case u.stopping:
		_ = conn.Close()
	default:
		u.conns[conn] = struct{}{}
	}
}

func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopping = true
	for conn := range u.conns {
		_ = conn.Close()
	}
}
