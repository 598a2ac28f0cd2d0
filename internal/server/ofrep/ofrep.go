// Package ofrep answers stock OpenFeature clients that evaluate remotely: the OpenFeature Remote
// Evaluation Protocol 0.3.0, for one flag, for all flags, and with a stream of server-sent events
// that tells web clients to ask again. docs/ofrep.md says how to use it.
//
// Answers are written from pieces that are encoded once per published state, so a request costs
// its evaluation and little else. The entity tag is a hash of the body: whatever changes what a
// client would see (flags, context, key, environment) changes the tag, and nothing else does.
package ofrep

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Config is what a Server needs. Authenticate and Resolve are required; they must be safe for
// concurrent use.
type Config struct {
	// Authenticate tells who makes a request, by its headers. Errors are *control.Error, or
	// *auth.TooMany where somebody guesses.
	Authenticate func(r *http.Request) (control.Principal, error)
	// Resolve gives the flags of an environment; "" is the principal's own, or the server's
	// default. An environment that does not exist is a *control.Error with CodeNotFound.
	Resolve func(p control.Principal, environment string) (*control.Service, error)
	// Logger gets what operators should know, never single requests. Default: discard.
	Logger *slog.Logger
	// Prefix is the path under which clients reach the server, if a proxy takes it off: the
	// address of the stream is told to them. Empty, or such as "/flags".
	Prefix string
	Limits Limits
}

// Limits bound what clients may ask for. Zero means the default, a negative rate none.
type Limits struct {
	// Body is the longest body of a request, in bytes. Default 1 MiB.
	Body int
	// Concurrent is how many evaluations are worked on at a time. Default 2 048.
	Concurrent int
	// Rate is how many requests a second one credential may make, in bursts of up to a second's
	// worth. Default 100 000: a net under runaway loops.
	Rate float64
	// Streams and StreamsPerKey bound the open streams, of the server and of one credential.
	// Defaults 10 000 and 10 000: all visitors of a site share one key.
	Streams, StreamsPerKey int
}

func (l Limits) withDefaults() Limits {
	l.Body = orDefault(l.Body, 1<<20)
	l.Concurrent = orDefault(l.Concurrent, 2_048)
	l.Streams = orDefault(l.Streams, 10_000)
	l.StreamsPerKey = orDefault(l.StreamsPerKey, 10_000)
	if l.Rate == 0 {
		l.Rate = 100_000
	}
	return l
}

func orDefault(v, def int) int {
	if v <= 0 {
		return def
	}
	return v
}

// Server serves /ofrep/. Make one with [New]; all methods are safe for concurrent use.
type Server struct {
	cfg     Config
	limits  Limits
	prefix  string // escaped
	rates   rates
	sites   sites
	tickets tickets
	streams streams
	working atomic.Int64 // evaluations
	waiting atomic.Int64 // evaluations that wait for a newer state
	stats   counters
	// stopping ends with Stop.
	stopping context.Context
	stop     context.CancelFunc
}

var _ http.Handler = (*Server)(nil)

// New gives a Server. It starts nothing.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, limits: cfg.Limits.withDefaults(),
		prefix: (&url.URL{Path: strings.TrimSuffix(cfg.Prefix, "/")}).EscapedPath()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Stop ends every stream, telling its client when to come back, and refuses new ones; evaluations
// go on. It does not wait: the handlers have returned when http.Server.Shutdown returns.
func (s *Server) Stop() { s.stop() }

// Stats are the server's figures: Streams of now, the others since its start.
type Stats struct {
	Single, Bulk uint64 // evaluations answered
	NotModified  uint64 // of Bulk: answered with 304
	Refused      uint64 // answered with an error
	Streams      int    // open
	Opened       uint64 // streams
	Refetches    uint64 // events sent
}

type counters struct {
	single, bulk, notModified, refused, opened, refetches atomic.Uint64
}

// Stats gives the present figures.
func (s *Server) Stats() Stats {
	return Stats{
		Single: s.stats.single.Load(), Bulk: s.stats.bulk.Load(), NotModified: s.stats.notModified.Load(),
		Refused: s.stats.refused.Load(), Streams: s.streams.count(), Opened: s.stats.opened.Load(),
		Refetches: s.stats.refetches.Load(),
	}
}

// The paths of the protocol. The stream's is the server's choice.
const (
	pathFlags  = "/ofrep/v1/evaluate/flags"
	pathStream = "/ofrep/v1/sse"
)

// ServeHTTP answers one request. Keys with slashes may be escaped or not: what follows the path
// of all flags is the key.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	key, single := strings.CutPrefix(path, pathFlags+"/")
	method := http.MethodPost
	switch {
	case single:
	case path == pathFlags:
		key = ""
	case path == pathStream:
		key, method = "", http.MethodGet
	default:
		s.refuse(w, r, "", &control.Error{Code: control.CodeNotFound, Message: "there is no such path: OFREP has " + pathFlags + " and " + pathFlags + "/{key}"})
		return
	}
	switch {
	case r.Method == http.MethodOptions:
		preflight(w, method)
	case r.Method != method:
		w.Header().Set("Allow", method+", OPTIONS")
		s.refuse(w, r, key, errMethod)
	case path == pathStream:
		s.serveStream(w, r)
	default:
		s.evaluate(w, r, key)
	}
}

// errMethod becomes 405.
var errMethod = errors.New("this method is not possible here: evaluations are asked for with POST, the stream with GET")

// Time limits of an evaluation: the body must have come, and the answer must have been taken.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
)
