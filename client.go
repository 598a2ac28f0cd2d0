package seatrial

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"go.opentelemetry.io/otel/metric"
)

// Client evaluates flags and reports outcomes. Make one per process with [Open] and share it:
// all methods are safe for concurrent use. A nil Client evaluates to the code's defaults,
// and its Handler and Begin change nothing.
type Client struct {
	config   config
	http     *http.Client
	born     time.Time // monotonic zero of the times below
	current  atomic.Pointer[snapshot]
	closed   atomic.Bool
	outcomes *outcomes
	reports  *reporter // nil without a server
	keeper   *keeper   // nil without a file
	health   health
	lists    *memberLists

	installing sync.Mutex // serialises install
	warned     string     // what was logged last of problems; guarded by installing
	changing   sync.Mutex
	changed    chan struct{} // closed and replaced by announce

	dependencies    sync.Map // name → *Dependency
	adding          sync.Mutex
	dependencyCount int          // guarded by adding
	lease           *fault.Lease // of all faults; nil if they are not allowed
	renewed         atomic.Bool  // the control plane has renewed the lease, at least once
	stops           stops
	faultPoints     *points
	metrics         metric.Registration // nil: none

	alive   context.Context    // until Close
	stop    context.CancelFunc // ends alive, and what runs by it
	running sync.WaitGroup     // all goroutines of the client
}

// Open starts a client and returns at once (but see [WithWait]). It fails for options that cannot
// work, never because the control plane is away: the client then serves the last known good
// snapshot of [WithFile], or the code's defaults, and goes on trying to connect.
//
// ctx bounds Open only. Call [Client.Close] when done.
func Open(ctx context.Context, options ...Option) (*Client, error) {
	cfg, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	c := newClient(cfg)
	if cfg.file != "" {
		c.startFromFile()
	}
	if cfg.faults != nil && cfg.faultsFile != "" {
		c.startWatchingFile()
	}
	if cfg.server == "" {
		return c, nil
	}
	c.startFollowing()
	if err := c.awaitServer(ctx); err != nil {
		expired, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Close(expired) // nothing was recorded yet
		return nil, err
	}
	return c, nil
}

func newClient(cfg config) *Client {
	c := &Client{config: cfg, born: time.Now(), changed: make(chan struct{})}
	c.alive, c.stop = context.WithCancel(context.Background())
	c.outcomes = newOutcomes(c.born)
	c.lists = newMemberLists(c)
	c.stops.allowed, c.stops.denied = cfg.faults != nil, cfg.faultsDenied
	if cfg.faults != nil {
		c.lease = fault.NewLease(cfg.lease)
	}
	c.faultPoints = newPoints(c)
	c.metrics = c.observe()
	c.http = &http.Client{Transport: newTransport()}
	if cfg.http != nil {
		own := *cfg.http
		own.Timeout = 0 // the stream has no end
		c.http = &own
	}
	if cfg.sendsKeyInClear() {
		cfg.logger.Warn("seatrial: the SDK key crosses the network unencrypted: use https", "server", cfg.server)
	}
	return c
}

// newTransport gives the client connections of its own, so that Close can close them all.
func newTransport() *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok { // else the application has put its own there
		t = standard.Clone()
	}
	t.MaxIdleConnsPerHost = 2
	return t
}

// startFromFile makes the last known good snapshot current and keeps the file up to date from
// then on.
func (c *Client) startFromFile() {
	set, err := loadSnapshot(c.config.file, func(s flag.Set) error { _, err := newSnapshot(s); return err })
	if err != nil {
		c.config.logger.Warn("seatrial: last known good snapshot: some files are not usable", "file", c.config.file, "error", err)
	}
	written := mark{}
	if set != nil {
		written = markOf(set)
		_, _ = c.install(*set) // it was found usable above
	}
	c.keeper = newKeeper(c.config.file, written, c.config.logger)
	c.keeper.kept = c.lists.sweep
	c.running.Go(c.keeper.run)
}

// startWatchingFile looks for the file of [WithFaultsFile], now and from then on.
func (c *Client) startWatchingFile() {
	c.lookForFaultsFile()
	c.running.Go(func() { c.watchFaultsFile(c.alive) })
}

func (c *Client) startFollowing() {
	ctx := c.alive
	c.reports = newReporter(c)
	c.lists.ctx = ctx
	f := &follower{client: c}
	c.running.Go(func() { c.lists.run(ctx) })
	c.running.Go(func() { f.stream(ctx) })
	c.running.Go(func() { f.poll(ctx) })
	c.running.Go(func() { c.flushEvery(ctx, c.config.flushInterval) })
	c.running.Go(c.reports.run)
}

func (c *Client) awaitServer(ctx context.Context) error {
	if c.config.wait == 0 {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.wait)
	defer cancel()
	if err := c.await(ctx, func() bool { return c.health.synced() }); err != nil {
		return fmt.Errorf("seatrial: open: no snapshot from %s within %v: %w", c.config.server, c.config.wait, errors.Join(err, c.health.lastError()))
	}
	return nil
}

// WaitRevision returns when the client is at revision or a later one, or has moved to a history
// other than the one it had when WaitRevision was called; or with an error when ctx ends or the
// client is closed. It is for those who changed a flag and want to see it: evaluations never wait.
// A nil ctx counts as context.Background().
func (c *Client) WaitRevision(ctx context.Context, revision int64) error {
	if c == nil {
		return errors.New("seatrial: wait for revision: the client is nil: make one with Open")
	}
	if ctx == nil {
		ctx = context.Background()
	}
	first := ""
	if at := c.current.Load(); at != nil {
		first = at.set.History
	}
	there := func() bool {
		at := c.current.Load()
		return at != nil && (at.set.Revision >= revision || (first != "" && at.set.History != first))
	}
	err := c.await(ctx, func() bool { return there() || c.closed.Load() })
	if err == nil && !there() {
		err = errClosed
	}
	if err != nil {
		return fmt.Errorf("seatrial: wait for revision %d: %w", revision, err)
	}
	return nil
}

var errClosed = errors.New("the client is closed")

// await returns when done gives true, asking after each announcement, or when ctx ends.
func (c *Client) await(ctx context.Context, done func() bool) error {
	for {
		changed := c.announcement()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// announcement gives a channel that is closed with the next change of the client's state; nil,
// which never is, for a nil client.
func (c *Client) announcement() <-chan struct{} {
	if c == nil {
		return nil
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.changed
}

// announce wakes those who await a change of the client's state.
func (c *Client) announce() {
	c.changing.Lock()
	defer c.changing.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Flush sends the outcomes of all units of work that have ended, and returns when the control
// plane has them or ctx ends. What the control plane refused is lost, and an error. Processes that
// live for seconds call it; others need not, since the client flushes by itself.
func (c *Client) Flush(ctx context.Context) error {
	if c == nil || c.reports == nil || c.closed.Load() {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if err := c.flushAll(ctx); err != nil {
		return fmt.Errorf("seatrial: flush: %w", err)
	}
	return nil
}

// Close sends what was recorded and ends all that runs in the background, within ctx; what could
// not be sent by then, or was refused, is lost and told in the error. Evaluations go on working with
// the last snapshot; outcomes are no longer recorded, and no fault is injected any more. Closing
// again does nothing. A nil ctx means 5 s.
func (c *Client) Close(ctx context.Context) error {
	if c == nil || !c.closed.CompareAndSwap(false, true) {
		return nil
	}
	if ctx == nil {
		short, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ctx = short
	}
	c.stop()
	c.announce()
	if c.lease != nil {
		c.lease.End()
	}
	c.faultPoints.close()
	if c.metrics != nil {
		_ = c.metrics.Unregister()
	}
	var err error
	if c.reports != nil {
		err = c.reports.close(ctx)
	}
	if c.keeper != nil {
		c.keeper.close()
	}
	ended := make(chan struct{})
	go func() { c.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Second): // a RoundTripper that ignores its context
	}
	if c.config.http == nil { // else others may use them
		c.http.CloseIdleConnections()
	}
	if err != nil {
		return fmt.Errorf("seatrial: close: %w", err)
	}
	return nil
}
