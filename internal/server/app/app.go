// Package app wires the control plane together: store, use cases, controller, trace store,
// receiver, change stream and HTTP interface, in one process and on one port. It is the only
// package that knows them all.
//
// What runs is started by [Start] and stopped by [Server.Close], in this order: /readyz fails,
// streams are told to go away, the controller stops, requests end, the store is closed.
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

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/console"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/httpapi"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/otlp"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/stream"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// Server is a control plane that runs. All methods are safe for concurrent use.
type Server struct {
	cfg     Config
	started time.Time
	url     string

	store      *sqlite.Store
	service    *control.Service
	outcomes   *intervals.Accumulator
	traces     *traces.Store
	receiver   *otlp.Receiver
	hub        *stream.Hub
	auth       *auth.Auth
	api        *httpapi.API
	listener   *bounded
	http       *http.Server
	weighed    atomic.Uint64 // intervals
	background background

	stopping atomic.Bool
	stop     sync.Once
	stopped  chan struct{}
	err      error // why it stopped; read after stopped is closed
}

// background holds what runs besides requests.
type background struct {
	followed  chan struct{} // closed when following the log has ended
	unfollow  context.CancelFunc
	followErr error         // read after followed is closed
	decided   chan struct{} // closed when the controller has stopped
	undecide  context.CancelFunc
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
	if s.store, err = sqlite.Open(ctx, cfg.DataDir, sqlite.Options{AcceptLoss: cfg.AcceptLoss, Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	if err = s.build(ctx); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.run()
	cfg.Logger.Info("control plane is up", "url", s.url, "environment", cfg.Environment, "revision", s.service.Head().Revision)
	s.bootstrap()
	return s, nil
}

// build makes the parts and opens the listener, which comes last as it needs undoing.
func (s *Server) build(ctx context.Context) (err error) {
	s.service, err = control.New(ctx, control.Config{
		Log: s.store, Journal: s.store, Environment: s.cfg.Environment, Logger: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	if s.traces, err = traces.NewStore(traces.Limits{}); err != nil {
		return err
	}
	s.outcomes = intervals.New(intervals.Limits{})
	s.receiver = otlp.NewReceiver(otlp.Config{Outcomes: s.outcomes, Traces: s.traces})
	s.hub = stream.New(stream.FromService(s.service), stream.Config{})
	s.auth = auth.New(s.service, s.cfg.Local)
	s.api = httpapi.New(httpapi.Config{
		Service: s.service, Auth: s.auth, Traces: s.traces,
		Stream: func(w http.ResponseWriter, r *http.Request, owner string, valid func() bool) error {
			return s.hub.Serve(w, r, stream.Subscriber{Owner: owner, Valid: valid})
		},
		OTLPTraces:  http.HandlerFunc(s.receiver.ServeTraces),
		OTLPMetrics: http.HandlerFunc(s.receiver.ServeMetrics),
		OTLPError:   otlp.Refuse,
		Console:     console.New(console.Config{State: s.service, Traces: s.traces, Environment: s.cfg.Environment}),
		Metrics:     s.writeMetrics, Ready: s.ready, Logger: s.cfg.Logger,
	})
	ln, err := listen(ctx, s.cfg)
	if err != nil {
		return fmt.Errorf("server: %w: stop what uses the address, or choose another one", err)
	}
	s.url = urlOf(ln)
	s.listener = bound(ln, s.cfg.MaxConnections)
	s.http = s.newHTTP()
	return nil
}

// run starts what runs by itself.
func (s *Server) run() {
	following, unfollow := context.WithCancel(context.Background())
	deciding, undecide := context.WithCancel(context.Background())
	b := &s.background
	b.unfollow, b.undecide = unfollow, undecide
	b.followed, b.decided = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(b.followed)
		if b.followErr = s.service.Run(following); b.followErr != nil {
			s.cfg.Logger.Error("the change log can no longer be followed; restart the server", "error", b.followErr)
		}
	}()
	decide := controller.New(controller.Config{
		Trials: s.service, Outcomes: s.outcomes, Evidence: s.traces, Logger: s.cfg.Logger,
	}, func() { s.weighed.Add(1) })
	go func() {
		defer close(b.decided)
		decide.Run(deciding)
	}()
	go func() {
		err := s.http.Serve(s.listener)
		if !errors.Is(err, http.ErrServerClosed) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			s.shutDown(ctx, fmt.Errorf("server: %w", err))
		}
	}()
}

// URL is where the server is reached from this machine, without a slash at the end.
func (s *Server) URL() string { return s.url }

// LoginLink makes a link that signs one browser in as administrator, once and within 10 minutes.
func (s *Server) LoginLink() string {
	return s.url + "/login?code=" + s.auth.NewCode("one-time link", control.RoleAdmin)
}

// CreateToken makes a token and gives its secret, which is shown this once.
func (s *Server) CreateToken(ctx context.Context, t control.NewToken) (secret string, err error) {
	_, secret, err = s.service.CreateToken(ctx, t, control.WriteOptions{Actor: "server", Reason: "made by the process that runs the server"})
	return secret, err
}

// bootstrap lets somebody in as long as nobody can come in.
func (s *Server) bootstrap() {
	for _, t := range s.service.ListTokens() {
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
		s.hub.Stop()
		s.background.undecide()
		<-s.background.decided
		err := s.http.Shutdown(ctx)
		if err != nil { // out of time: cut off what is left
			s.cfg.Logger.Warn("requests were cut off", "error", err)
			_ = s.http.Close()
		}
		s.background.unfollow()
		<-s.background.followed
		s.err = errors.Join(cause, s.store.Close())
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
		Handler: s.api.Handler(), Protocols: &protocols,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: quiet(s.cfg.Logger),
	}
	closeUnused(server)
	return server
}

var _ net.Listener = (*bounded)(nil)
