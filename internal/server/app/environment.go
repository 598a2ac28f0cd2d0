package app

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/cohorts"
	"github.com/seatrial/seatrial/internal/server/console"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/fleet"
	"github.com/seatrial/seatrial/internal/server/httpapi"
	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/lists"
	"github.com/seatrial/seatrial/internal/server/notify"
	"github.com/seatrial/seatrial/internal/server/otlp"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/stream"
	"github.com/seatrial/seatrial/internal/server/traces"
	"github.com/seatrial/seatrial/internal/server/usage"
)

// environment is one flag set with everything that serves it. Each has a change log of its own,
// so that a change to one is none to another; only tokens are the server's, and are kept in the
// log of the first.
type environment struct {
	name     string
	store    *sqlite.Store
	service  *control.Service
	lists    *lists.Service
	usage    *usage.Store
	fleet    *fleet.Store
	outcomes *intervals.Accumulator
	cohorts  *cohorts.Tracker
	traces   *traces.Store
	receiver *otlp.Receiver
	hub      *stream.Hub
	notifier *notify.Notifier
	api      *httpapi.API
	weighed  atomic.Uint64 // intervals

	background background
}

// background holds what runs besides requests.
type background struct {
	followed  chan struct{} // closed when following the log has ended
	unfollow  context.CancelFunc
	followErr error         // read after followed is closed
	decided   chan struct{} // closed when the controller has stopped
	undecide  context.CancelFunc
	tended    sync.WaitGroup // schedules and the collection of lists, which end with unfollow
}

// openEnvironment opens the store in a folder and makes the parts. On an error nothing is left
// open.
func (s *Server) openEnvironment(ctx context.Context, name, dir string) (e *environment, err error) {
	e = &environment{name: name}
	e.store, err = sqlite.Open(ctx, dir, sqlite.Options{AcceptLoss: s.cfg.AcceptLoss, Logger: s.cfg.Logger})
	if err != nil {
		return nil, err
	}
	store := e.store
	defer func() {
		if err != nil {
			_ = store.Close() // the first error tells more
		}
	}()
	loader := lists.NewLoader(lists.LoaderConfig{Blobs: e.store, Logger: s.cfg.Logger})
	e.usage, e.fleet = usage.New(), fleet.New(fleet.Limits{})
	e.service, err = control.New(ctx, control.Config{
		Log: e.store, Journal: e.store, Environment: name, Lists: loader, Usage: e.usage, Points: e.fleet, Sources: s.sources, Logger: s.cfg.Logger,
		FourEyesAbove: s.cfg.fourEyesIn(name),
	})
	if err != nil {
		return nil, err
	}
	e.lists = lists.New(lists.Config{Segments: e.service, Loader: loader, Logger: s.cfg.Logger})
	if e.traces, err = traces.NewStore(traces.Limits{}); err != nil {
		return nil, err
	}
	e.outcomes = intervals.New(intervals.Limits{})
	e.cohorts = cohorts.New(e.outcomes, cohorts.Limits{})
	e.receiver = otlp.NewReceiver(otlp.Config{Outcomes: e.outcomes, Traces: e.traces, Usage: e.usage, Fleet: e.fleet, Cohorts: e.cohorts})
	e.hub = stream.New(stream.FromService(e.service), stream.Config{})
	e.notifier = notify.New(notify.Config{
		Changes: e.service, Cursors: e.store, Environment: name, BaseURL: s.cfg.PublicURL, Allow: s.cfg.WebhookAllow, Logger: s.cfg.Logger,
	})
	return e, nil
}

// serve makes the environment's interface for requests that auth lets in.
func (s *Server) serve(e *environment, a *auth.Auth) {
	e.api = httpapi.New(httpapi.Config{
		Service: e.service, Auth: a, Traces: e.traces, Fleet: e.fleet, Lists: e.lists, Webhooks: e.notifier, Environment: e.name, Environments: &s.environments,
		Stream: func(w http.ResponseWriter, r *http.Request, owner string, valid func() bool) error {
			return e.hub.Serve(w, r, stream.Subscriber{Owner: owner, Valid: valid})
		},
		OTLPTraces:  http.HandlerFunc(e.receiver.ServeTraces),
		OTLPMetrics: http.HandlerFunc(e.receiver.ServeMetrics),
		OTLPError:   otlp.Refuse,
		Console:     console.New(console.Config{State: e.service, Traces: e.traces, Fleet: e.fleet, Environment: e.name}),
		Metrics:     s.writeMetrics, Ready: s.ready, Logger: s.cfg.Logger,
	})
}

// run starts what runs by itself.
func (s *Server) run(e *environment) {
	following, unfollow := context.WithCancel(context.Background())
	deciding, undecide := context.WithCancel(context.Background())
	b := &e.background
	b.unfollow, b.undecide = unfollow, undecide
	b.followed, b.decided = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(b.followed)
		if b.followErr = e.service.Run(following); b.followErr != nil {
			s.cfg.Logger.Error("the change log can no longer be followed; restart the server", "environment", e.name, "error", b.followErr)
		}
	}()
	b.tended.Go(func() { e.service.RunSchedules(following) })
	b.tended.Go(func() { e.lists.Run(following) })
	b.tended.Go(func() { e.notifier.Run(following) })
	b.tended.Go(func() { e.cohorts.Run(following, e.service) })
	decide := controller.New(controller.Config{
		Trials: e.service, Outcomes: e.outcomes, Evidence: e.traces, Sources: s.sources, Logger: s.cfg.Logger,
	}, func() { e.weighed.Add(1) })
	go func() {
		defer close(b.decided)
		decide.Run(deciding)
	}()
}

// quiesce ends streams and the controller; requests are still served.
func (e *environment) quiesce() {
	e.hub.Stop()
	e.background.undecide()
	<-e.background.decided
}

// close ends the rest, when no request is served any more.
func (e *environment) close() error {
	e.background.unfollow()
	<-e.background.followed
	e.background.tended.Wait()
	return e.store.Close()
}
