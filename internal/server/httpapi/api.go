// Package httpapi is the HTTP interface of the control plane: /api/v1 with flags, segments,
// layers, schedules, trials, webhooks, the change log, environments, tokens, traces and evaluation, the
// snapshot and the change stream for SDKs, and the operator's /livez, /readyz and /metrics.
// api/openapi.yaml is its contract; a test holds both together.
//
// Every request goes one way: request id, limits, host, route, who (package auth), query, then
// the handler. What goes wrong anywhere on it becomes one problem document (RFC 9457), by
// one function.
package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/fleet"
	"github.com/seatrial/seatrial/internal/server/lists"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// Config is what an API needs. Service, Auth and Traces are required; what serves a route that
// is nil here makes that route answer "unavailable".
type Config struct {
	Service *control.Service
	Auth    *auth.Auth
	Traces  *traces.Store
	// Environment is the one that Service has, and Environments are all of the server.
	Environment  string
	Environments Environments
	// Stream serves the change stream to one client, counted by owner, as long as valid says
	// so. An error means that nothing was written yet.
	Stream func(w http.ResponseWriter, r *http.Request, owner string, valid func() bool) error
	// Webhooks delivers events to webhooks.
	Webhooks Webhooks
	// Fleet has what processes tell of their points and dependencies. Default: nothing.
	Fleet *fleet.Store
	// Lists has the member lists of segments.
	Lists *lists.Service
	// OTLPTraces and OTLPMetrics take telemetry. They bound the bodies that they read.
	OTLPTraces, OTLPMetrics http.Handler
	// OTLPError writes why telemetry was refused, in the form that OTLP asks for. Default: a
	// problem document.
	OTLPError func(w http.ResponseWriter, r *http.Request, status int, message string)
	// Console shows the pages for people.
	Console Console
	// Metrics writes the figures of the server in the text format of Prometheus.
	Metrics func(w io.Writer)
	// Ready says why the server cannot serve, nil if it can.
	Ready func(ctx context.Context) error
	// Logger gets a line per request at level debug, and defects at level error. Default: discard.
	Logger *slog.Logger
	// MaxRequests and MaxTelemetry bound the requests that are worked on at a time, streams not
	// included. Defaults 256 and 32. What comes on top is told to come again.
	MaxRequests, MaxTelemetry int
	// MaxUploads and MaxParts do so for uploads of member lists and for downloads of their parts.
	// Defaults 4 and 32; an upload may take 80 MB of memory.
	MaxUploads, MaxParts int
}

// Console shows pages to people.
type Console interface {
	// Home shows the first page to somebody who has signed in.
	Home(w http.ResponseWriter, r *http.Request, p control.Principal) error
	// SignIn says how to sign in, and why that is needed.
	SignIn(w http.ResponseWriter, status int, message string)
}

// API is the HTTP interface. Make one with [New].
type API struct {
	cfg    Config
	table  *http.ServeMux
	routes []route
	work   semaphore
	ingest semaphore
	upload semaphore
	parts  semaphore
	urgent semaphore
	stats  counters
	zipped atomic.Pointer[zipped] // of snapshot
}

// New gives an API; see [API.Handler].
func New(cfg Config) *API {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Fleet == nil {
		cfg.Fleet = fleet.New(fleet.Limits{})
	}
	if cfg.MaxRequests <= 0 {
		cfg.MaxRequests = 256
	}
	if cfg.MaxTelemetry <= 0 {
		cfg.MaxTelemetry = 32
	}
	if cfg.MaxUploads <= 0 {
		cfg.MaxUploads = 4
	}
	if cfg.MaxParts <= 0 {
		cfg.MaxParts = 32
	}
	a := &API{
		cfg: cfg, table: http.NewServeMux(), routes: routes(),
		work: make(semaphore, cfg.MaxRequests), ingest: make(semaphore, cfg.MaxTelemetry),
		upload: make(semaphore, cfg.MaxUploads), parts: make(semaphore, cfg.MaxParts), urgent: make(semaphore, maxUrgent),
	}
	for i := range a.routes {
		rt := &a.routes[i]
		a.table.Handle(rt.method+" "+rt.path, rt)
	}
	return a
}

// maxUrgent bounds the emergency stops that are worked on at a time.
const maxUrgent = 32

// semaphore bounds what happens at a time, without waiting.
type semaphore chan struct{}

func (s semaphore) acquire() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s semaphore) release() { <-s }

// Stats are figures since the start.
type Stats struct {
	// Answered counts answers by the first digit of their status, 1 to 5.
	Answered   [6]uint64
	InFlight   int    // now, streams not included
	Overloaded uint64 // refused because of MaxRequests and its like
	Panics     uint64
	Refused    uint64 // by package auth, after too many wrong secrets
}

type counters struct {
	answered           [6]atomic.Uint64
	overloaded, panics atomic.Uint64
}

// Stats gives the present figures.
func (a *API) Stats() Stats {
	s := Stats{
		InFlight: len(a.work) + len(a.ingest) + len(a.upload) + len(a.parts) + len(a.urgent), Overloaded: a.stats.overloaded.Load(),
		Panics: a.stats.panics.Load(), Refused: a.cfg.Auth.Refused(),
	}
	for i := range s.Answered {
		s.Answered[i] = a.stats.answered[i].Load()
	}
	return s
}

// How long requests may take, streams excepted.
const (
	readTimeout  = 30 * time.Second // for the whole body
	workTimeout  = 30 * time.Second
	writeTimeout = 60 * time.Second // from the start of the request to the end of the answer

	uploadTimeout = 10 * time.Minute // for each of the three, of uploads
)
