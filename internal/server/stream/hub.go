// Package stream tells every connected SDK of every change, over server-sent
// events.
//
// A stream owns nothing but its position. It is moved from there to the newest state, by
// deltas while the log's window still has them and by a snapshot otherwise; both are
// encoded once and shared. So a slow reader costs no memory, it only skips states, and
// the changes it sees are ordered, unique and atomic.
//
// Events (data is one line of JSON):
//
//	snapshot  flag.Set
//	delta     flag.Delta, to be applied to the revision named by its parent
//	bookmark  {"history","epoch","revision","hash"}: you are up to date; at once after
//	          connecting if nothing is missing, then every BookmarkEvery. It renews fault leases.
//	goaway    {"retryMs"}: connect again after that time, the server ends this stream
//
// The id of every event but goaway is "history:revision"; sent back as
// Last-Event-ID it resumes the stream.
package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Config bounds a Hub. The zero value means the defaults given here.
type Config struct {
	// BookmarkEvery is the time between bookmarks. Default 5 s. It must stay well under the
	// lease of faults (30 s).
	BookmarkEvery time.Duration
	// WriteTimeout bounds every write to one stream; a reader that takes longer is
	// disconnected and may resume. Default 5 s.
	WriteTimeout time.Duration
	// MaxAge ends a stream with goaway after this time, give or take a third, so that
	// connections spread over restarted replicas. Default 45 min.
	MaxAge time.Duration
	// MaxStreams and MaxPerOwner bound the open streams, of the server and of one
	// credential. Defaults 10 000 and 5 000.
	MaxStreams, MaxPerOwner int
	// ReconnectsPerSecond spreads the reconnections after a stop. Default 500.
	ReconnectsPerSecond int
}

func (c Config) withDefaults() Config {
	c.BookmarkEvery = orDefault(c.BookmarkEvery, 5*time.Second)
	c.WriteTimeout = orDefault(c.WriteTimeout, 5*time.Second)
	c.MaxAge = orDefault(c.MaxAge, 45*time.Minute)
	c.MaxStreams = orDefault(c.MaxStreams, 10_000)
	c.MaxPerOwner = orDefault(c.MaxPerOwner, 5_000)
	c.ReconnectsPerSecond = orDefault(c.ReconnectsPerSecond, 500)
	return c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Why a session ends, as causes of its context.
var (
	errStopping = errors.New("stream: the server is stopping")
	errOld      = errors.New("stream: maximum age reached")
	errMarkDue  = errors.New("stream: time for a bookmark")
)

// Hub serves streams. Make one with New; all methods are safe for concurrent use.
type Hub struct {
	source Source
	config Config
	// stopping ends with Stop.
	stopping context.Context
	stop     context.CancelFunc
	stats    counters

	mu     sync.Mutex
	owners map[string]int // open streams by owner
	open   int
}

// New returns a Hub that serves the states of source.
func New(source Source, config Config) *Hub {
	h := &Hub{source: source, config: config.withDefaults(), owners: map[string]int{}}
	h.stopping, h.stop = context.WithCancel(context.Background())
	return h
}

// Stop ends every stream with goaway and refuses new ones. It does not wait: the
// handlers have returned when http.Server.Shutdown returns. Stopping twice is harmless.
func (h *Hub) Stop() { h.stop() }

// retryAfterStop draws when one stream should come back: spread over a window that grows
// with the number of streams.
func (h *Hub) retryAfterStop() time.Duration {
	h.mu.Lock()
	open := h.open
	h.mu.Unlock()
	window := max(time.Second, time.Duration(open)*time.Second/time.Duration(h.config.ReconnectsPerSecond))
	return 100*time.Millisecond + rand.N(window)
}

// age draws how long one stream may live.
func (h *Hub) age() time.Duration {
	third := h.config.MaxAge / 3
	return h.config.MaxAge - third + rand.N(2*third+1)
}

// Stats are the hub's figures: Streams of now, the others since its start.
type Stats struct {
	Streams   int    // open
	Opened    uint64 // streams accepted
	Refused   uint64 // streams refused by a limit
	Snapshots uint64 // sent
	Deltas    uint64 // sent
	Bookmarks uint64 // sent
	Skipped   uint64 // times a stream that was far behind got a snapshot instead of its deltas
	Slow      uint64 // streams ended by the write timeout or a broken connection
}

type counters struct {
	opened, refused, snapshots, deltas, bookmarks, skipped, slow atomic.Uint64
}

// Stats gives the present figures.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	open := h.open
	h.mu.Unlock()
	return Stats{
		Streams: open, Opened: h.stats.opened.Load(), Refused: h.stats.refused.Load(),
		Snapshots: h.stats.snapshots.Load(), Deltas: h.stats.deltas.Load(),
		Bookmarks: h.stats.bookmarks.Load(), Skipped: h.stats.skipped.Load(), Slow: h.stats.slow.Load(),
	}
}
