// Package app wires the control plane together: store, use cases, controller, trace store,
// receiver, change stream and HTTP interface, in one process and on one port. It is the only
// package that knows them all.
//
// What runs is started by [Start] and stopped by [Server.Close], in this order: /readyz fails,
// streams are told to go away, the controllers stop, requests end, the stores are closed.
package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Server is a control plane that runs. All methods are safe for concurrent use.
type Server struct {
	cfg     Config
	started time.Time
	url     string

	environments environments
	sources      sources // nil without Prometheus
	doors        doors
	listeners    []*bounded // the first is the server's; the others serve the same
	http         *http.Server

	stopping atomic.Bool
	stop     sync.Once
	stopped  chan struct{}
	err      error // why it stopped; read after stopped is closed
}

// Start opens the store, starts everything and returns when requests are served. ctx bounds the
// start only. On an error nothing is left running; the errors of opening the store are those of
// sqlite.Open.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, started: time.Now(), stopped: make(chan struct{})}
	if s.sources, err = cfg.sources(); err != nil {
		return nil, err
	}
	s.environments.server = s
	if err = s.environments.open(ctx); err != nil {
		return nil, err
	}
	s.openDoors()
	if err = s.listen(ctx); err != nil {
		return nil, errors.Join(err, s.environments.closeStores())
	}
	for _, e := range s.environments.all() {
		s.run(e)
	}
	for _, ln := range s.listeners {
		go s.accept(ln)
	}
	cfg.Logger.Info("control plane is up", "url", s.url, "environment", cfg.Environment, "revision", s.environments.first.service.Head().Revision)
	s.bootstrap()
	return s, nil
}

// listen opens the listeners: on an error none is left open.
func (s *Server) listen(ctx context.Context) error {
	ln, err := listen(ctx, s.cfg)
	if err != nil {
		return fmt.Errorf("server: %w: stop what uses the address, or choose another one", err)
	}
	s.url = urlOf(ln)
	room := make(chan struct{}, s.cfg.MaxConnections)
	s.listeners = []*bounded{bound(ln, room)}
	for _, addr := range s.cfg.AlsoListen {
		more, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil {
			for _, open := range s.listeners {
				_ = open.Close()
			}
			return fmt.Errorf("server: listen also on %s: %w: stop what uses the address, or choose another one", addr, err)
		}
		s.listeners = append(s.listeners, bound(more, room))
	}
	s.http = s.newHTTP()
	return nil
}

// accept serves until the server is closed.
func (s *Server) accept(ln *bounded) {
	err := s.http.Serve(ln)
	if !errors.Is(err, http.ErrServerClosed) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.shutDown(ctx, fmt.Errorf("server: %w", err))
	}
}

// URL is where the server is reached from this machine, without a slash at the end.
func (s *Server) URL() string { return s.url }

// LoginLink makes a link that signs one browser in as administrator, once and within 10 minutes.
func (s *Server) LoginLink() string {
	return s.url + "/login?code=" + s.environments.auth.NewCode("one-time link", control.RoleAdmin)
}

// CreateToken makes a token and gives its secret, which is shown this once.
func (s *Server) CreateToken(ctx context.Context, t control.NewToken) (secret string, err error) {
	_, secret, err = s.environments.first.service.CreateToken(ctx, t, control.WriteOptions{Actor: "server", Reason: "made by the process that runs the server"})
	return secret, err
}

// bootstrap lets somebody in as long as nobody can come in.
func (s *Server) bootstrap() {
	for _, t := range s.environments.first.service.ListTokens() {
		if t.Role == control.RoleAdmin && (t.ExpiresAt.IsZero() || t.ExpiresAt.After(time.Now())) {
			return
		}
	}
	fmt.Fprintf(s.cfg.Bootstrap, "No admin token exists yet. This link works once, for 10 minutes; restart for another:\n  %s\n"+
		"Open it in a browser, or make a token of it: seatrial login 'LINK'\n", s.LoginLink())
}

// Wait returns when the server has stopped: nil after Close, else why it could not go on.
func (s *Server) Wait() error {
	<-s.stopped
	return s.err
}

// Close stops the server in good order. When ctx ends first, what is still under way is cut off;
// nothing that was acknowledged is lost by that. Every call returns when the server has stopped.
func (s *Server) Close(ctx context.Context) error {
	s.shutDown(ctx, nil)
	<-s.stopped
	return s.err
}

func (s *Server) shutDown(ctx context.Context, cause error) {
	s.stop.Do(func() {
		s.stopping.Store(true)
		wait(ctx, s.cfg.DrainDelay)
		s.doors.ofrep.Stop()
		s.doors.flagd.Stop()
		for _, e := range s.environments.all() {
			e.quiesce()
		}
		err := s.http.Shutdown(ctx)
		if err != nil { // out of time: cut off what is left
			s.cfg.Logger.Warn("requests were cut off", "error", err)
			_ = s.http.Close()
		}
		s.err = cause
		for _, e := range s.environments.all() {
			s.err = errors.Join(s.err, e.close())
		}
		s.cfg.Logger.Info("control plane has stopped", "url", s.url)
		close(s.stopped)
	})
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// The limits of connections. Requests have their own, in package httpapi.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes
	maxStreams    = 250      // requests at a time on one HTTP/2 connection
)

func (s *Server) newHTTP() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: s, Protocols: &protocols,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: quiet(s.cfg.Logger),
	}
	closeUnused(server)
	return server
}

var _ net.Listener = (*bounded)(nil)
