// Package flagd answers stock flagd clients: those that fetch flag definitions and evaluate them in
// process (flagd.sync.v1), and those that have flags evaluated by the server (flagd.evaluation.v1
// and v2), over gRPC, gRPC-Web and Connect, on handlers of net/http. docs/flagd.md says how to use
// it.
//
// A stream owns nothing but the state that it has sent last. Payloads and differences are made once
// per state and shared by all streams; a stream that is slow skips to the newest state.
package flagd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv1pb"
	"github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv2pb"
	"github.com/seatrial/seatrial/internal/server/flagd/proto/syncv1pb"
)

// Config is what a Server needs. Authenticate, Resolve and Export are required; they must be safe
// for concurrent use.
type Config struct {
	// Authenticate tells who makes a request, by its headers. Errors are *control.Error, or
	// *auth.TooMany where somebody guesses. It is asked again while a stream lives.
	Authenticate func(r *http.Request) (control.Principal, error)
	// Resolve gives the flags of an environment; "" is the principal's own, or the server's
	// default. An environment that does not exist is a *control.Error with CodeNotFound.
	Resolve func(p control.Principal, environment string) (*control.Service, error)
	// Export writes a set as a flagd file.
	Export func(set flag.Set) ([]byte, error)
	// Logger gets what operators should know, never single requests. Default: discard.
	Logger *slog.Logger
	Limits Limits
}

// Limits bound what clients may ask for. Zero means the default.
type Limits struct {
	// Body is the longest message of a client, in bytes. Default 1 MiB.
	Body int
	// Document is the longest flagd file that is sent, in bytes. Default just under 4 MiB, which is
	// what stock gRPC clients take.
	Document int
	// Streams and StreamsPerKey bound the open streams, of the server and of one credential.
	// Defaults 10 000 and 10 000.
	Streams, StreamsPerKey int
	// Write is how long a stream may take for one message before it is cut off. Default 30 s.
	Write time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Body = orDefault(l.Body, 1<<20)
	l.Document = orDefault(l.Document, 4<<20-1<<10)
	l.Streams = orDefault(l.Streams, 10_000)
	l.StreamsPerKey = orDefault(l.StreamsPerKey, 10_000)
	l.Write = orDefault(l.Write, 30*time.Second)
	return l
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Server serves flagd's contracts. Make one with [New]; all methods are safe for concurrent use.
type Server struct {
	cfg     Config
	limits  Limits
	refuser *connect.ErrorWriter
	sites   sites
	seats   seats
	stats   counters
	// stopping ends with Stop.
	stopping context.Context
	stop     context.CancelFunc
}

// New gives a Server. It starts nothing.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, limits: cfg.Limits.withDefaults(), refuser: connect.NewErrorWriter()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// legacy is the name that evaluation v1 had before. Its messages are the same on the wire.
const legacy = "/schema.v1.Service/"

// Mount hands over the handlers with the patterns under which they are to be served. The server
// must speak HTTP/2 without TLS besides HTTP/1.1, else gRPC clients cannot reach it. (A server of
// net/http answers every ping and has no policy against many of them; grpc-go's would send stock
// clients away.)
func (s *Server) Mount(handle func(pattern string, h http.Handler)) {
	options := []connect.HandlerOption{
		withJSON(), connect.WithReadMaxBytes(s.limits.Body), connect.WithRecover(s.recovered),
		connect.WithCompressMinBytes(1 << 10),
	}
	prefix1, v1 := evaluationv1pb.NewServiceHandler(evaluation1{s}, options...)
	prefix2, v2 := evaluationv2pb.NewServiceHandler(evaluation2{s}, options...)
	// Definitions are not compressed: that would be done again for every stream.
	options = append(options, connect.WithCompressMinBytes(1<<31-1))
	prefixSync, definitions := syncv1pb.NewFlagSyncServiceHandler(synchronisation{s}, options...)
	handle(prefix1, crossOrigin(s.guard(control.RoleClient, v1)))
	handle(prefix2, crossOrigin(s.guard(control.RoleClient, v2)))
	handle(legacy, crossOrigin(s.guard(control.RoleClient, renamed(legacy, prefix1, v1))))
	handle(prefixSync, s.guard(control.RoleSDK, definitions))
}

// renamed serves the paths below one prefix as those below another.
func renamed(from, to string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clone := *r
		url := *r.URL
		url.Path = to + strings.TrimPrefix(r.URL.Path, from)
		clone.URL = &url
		h.ServeHTTP(w, &clone)
	})
}

// Stop ends every stream with the status UNAVAILABLE and refuses new ones; evaluations go on. It
// does not wait: the handlers have returned when http.Server.Shutdown returns.
func (s *Server) Stop() { s.stop() }

// Stats are the server's figures: Streams of now, the others since its start.
type Stats struct {
	Evaluations uint64 // answered, all flags at once counting as one
	Streams     int    // open
	Opened      uint64 // streams
	Documents   uint64 // flagd files sent
	Changes     uint64 // configuration_change events sent
	Refused     uint64 // requests answered with an error before they reached a method
}

type counters struct{ evaluations, opened, documents, changes, refused atomic.Uint64 }

// Stats gives the present figures.
func (s *Server) Stats() Stats {
	return Stats{
		Evaluations: s.stats.evaluations.Load(), Streams: s.seats.count(), Opened: s.stats.opened.Load(),
		Documents: s.stats.documents.Load(), Changes: s.stats.changes.Load(), Refused: s.stats.refused.Load(),
	}
}

func (s *Server) recovered(_ context.Context, spec connect.Spec, _ http.Header, cause any) error {
	s.cfg.Logger.Error("flagd: a method panicked; this is a defect", "method", spec.Procedure, "panic", cause)
	return connect.NewError(connect.CodeInternal, errors.New("internal error"))
}
