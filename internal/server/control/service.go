// Package control holds the use cases of the control plane and owns its ports: the change log
// and the interval journal ([Log], [Journal]). State is a fold of the log, kept in memory; every
// write is one compare-and-set on the log, conditioned on the revision of the entity it touches.
//
// [Service] is what the HTTP interface, the controller and the tools use. It knows nothing of
// HTTP, SQL or sockets; every error it returns carries a [Code] (see [CodeOf]).
package control

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Config is what a Service needs. Log and Journal are required; the rest has defaults.
type Config struct {
	// Log is the change log. The service does not close it.
	Log Log
	// Journal holds the intervals of trials. Usually the same value as Log.
	Journal Journal
	// Environment names the flag set (metadata flagSetId). Default "default".
	Environment string
	// Now reads the clock. Default time.Now. Used for times shown to people, for expiry of
	// tokens and for starts of trials; never for order.
	Now func() time.Time
	// Logger gets what no caller is told of, such as a failing follow. Default: discard.
	Logger *slog.Logger
	// Lists gives the members of segments' lists. Nil: they have none that anybody can evaluate.
	Lists Lists
	// Usage tells when flags were evaluated, for StaleFlags. Nil: nobody knows.
	Usage Usage
	// Sources checks plans whose guardrails pull their counts. Nil: such plans are refused.
	Sources Sources
	// Points tells where faults can be injected, for the start of experiments. Nil: nobody knows,
	// and it is not asked.
	Points Points
	// FourEyesAbove is the share of the audience above which an experiment needs the approval of
	// somebody else than who starts it; nil: it only does where its plan says so.
	FourEyesAbove *flag.Weight
	// Random gives the bytes of the secrets of experiments. Default crypto/rand.Reader.
	Random io.Reader
	// WindowChanges and WindowBytes bound the deltas kept for streams that resume. Both bounds
	// hold; defaults 16 384 changes and 16 MiB of changed values. Negative: keep none.
	WindowChanges int
	WindowBytes   int
}

// Service carries out the use cases. All methods are safe for concurrent use. Reads come from
// memory and never wait for the store, unless their comment says so.
type Service struct {
	cfg Config

	// write serialises the writes of this service, so that they meet no conflicts of its own
	// making. Other services may write to the same log; then the log's compare-and-set decides.
	write sync.Mutex

	mu      sync.RWMutex // guards what follows
	state   *projection
	window  *window
	view    *View
	changed chan struct{}        // closed and replaced when view moves
	live    map[string]liveTrial // by trial
	feed    feed
}

// New reads the whole log and gives a service that is up to date with it. It fails if the log
// cannot be read or holds what this version cannot understand (a newer version wrote it).
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Log == nil || cfg.Journal == nil {
		return nil, errors.New("control: Config.Log and Config.Journal are required")
	}
	cfg = cfg.withDefaults()
	s := &Service{cfg: cfg, changed: make(chan struct{}), live: map[string]liveTrial{}}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (c Config) withDefaults() Config {
	if c.Environment == "" {
		c.Environment = "default"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.WindowChanges == 0 {
		c.WindowChanges = 16_384
	}
	if c.WindowBytes == 0 {
		c.WindowBytes = 16 << 20
	}
	return c
}
