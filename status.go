package seatrial

import (
	"slices"
	"sync"
	"time"
)

// staleAfter is how long without word from the control plane makes a client stale: longer than
// the longest pause of a client that can only poll.
const staleAfter = time.Minute

// State says how current a client's snapshot is.
type State string

// The states.
const (
	StateNotReady State = "not_ready" // no snapshot: evaluations give the code's defaults
	StateReady    State = "ready"     // at the control plane's revision within the last minute
	StateStale    State = "stale"     // last known good: from the file, or the control plane is away
	StateClosed   State = "closed"    // last known good, for good
)

// Status is what a client knows about itself.
type Status struct {
	State State
	// Server is the URL of the control plane, empty if the client is on its own.
	Server      string
	Environment string
	History     string
	Revision    int64
	// Connected is true while the change stream is open.
	Connected bool
	// SyncedAt is when the snapshot was last known to be the control plane's; zero: never.
	SyncedAt time.Time
	// Error is what stands between the client and the control plane; nil while all is well.
	Error error
	// ListsBehind names the segments whose member list could not be loaded (yet): they go on with
	// the one they had before, or have none.
	ListsBehind []string
	// FaultsAllowed is true if faults may be injected now; else FaultsOff says why not: the
	// application or the environment does not allow them, somebody has stopped them, or the control
	// plane was not heard from for the length of their lease.
	FaultsAllowed bool
	FaultsOff     string
	// ReportsQueued is how many flushes wait to be sent, ReportsDropped how many were lost since
	// the start: the control plane refused them, or Close could not wait any longer.
	ReportsQueued, ReportsDropped int
	// Mixed counts units of work that met both arms of one trial and so belong to neither.
	Mixed uint64
	// Excluded counts units of work that a fault hit and that so were left out of the outcomes of
	// all trials but the experiment that the fault belongs to.
	Excluded uint64
	// Unusable counts values given to [Client.Track] that no guardrail can count: not finite, over
	// 10^12 or below -10^12, or under too many names.
	Unusable uint64
}

// Status gives the client's state of the moment.
func (c *Client) Status() Status {
	if c == nil {
		return Status{State: StateClosed}
	}
	s := c.health.status()
	s.State, s.Server = StateNotReady, c.config.server
	if at := c.current.Load(); at != nil {
		s.Environment, s.History, s.Revision = at.set.Environment, at.set.History, at.set.Revision
		s.ListsBehind = slices.Clone(at.behind)
		s.State = StateStale
		if s.fresh() {
			s.State = StateReady
		}
	}
	if c.closed.Load() {
		s.State = StateClosed
	}
	s.FaultsOff = c.whyNoFaults()
	s.FaultsAllowed = s.FaultsOff == ""
	s.Excluded = c.outcomes.excluded.Load()
	s.Mixed, s.Unusable = c.outcomes.mixed.Load(), c.outcomes.unusable.Load()
	if c.reports != nil {
		s.ReportsQueued, s.ReportsDropped = c.reports.counts()
	}
	return s
}

// health is what the follower learns about the connection. The zero value is ready to use.
type health struct {
	mu        sync.Mutex
	connected bool
	times     int       // that the stream was opened
	alive     time.Time // last sign of life of the stream
	syncedAt  time.Time
	err       error
}

func (h *health) status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Status{Connected: h.connected, SyncedAt: h.syncedAt, Error: h.err}
}

func (h *health) synced() bool { return !h.status().SyncedAt.IsZero() }

// fresh reports whether the client was at the control plane's state within the last minute.
func (s *Status) fresh() bool { return !s.SyncedAt.IsZero() && time.Since(s.SyncedAt) < staleAfter }

func (h *health) lastError() error { return h.status().Error }

// setSynced notes that the client is at the control plane's state, and gives the error that is
// over now.
func (h *health) setSynced() (was error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.syncedAt = time.Now()
	was, h.err = h.err, nil
	return was
}

// setError notes what went wrong and reports whether it is news.
func (h *health) setError(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := h.err == nil || h.err.Error() != err.Error()
	h.err = err
	return news
}

// setConnected notes whether the stream is open and reports whether that is news.
func (h *health) setConnected(on bool) (news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if news, h.connected = h.connected != on, on; news && on {
		h.times++
	}
	return news
}

// connections gives how often the stream was opened.
func (h *health) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.times
}

// setAlive notes an event of the stream.
func (h *health) setAlive() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alive = time.Now()
}

// silence gives how long the stream has been silent, since start if it never spoke.
func (h *health) silence(start time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.alive.IsZero() {
		return time.Since(start)
	}
	return time.Since(h.alive)
}
