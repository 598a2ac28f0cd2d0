// Package notify tells webhooks what happens to trials.
//
// The change log is the outbox: every action of a trial is a change, and what happened is derived
// from the trial before and after it. A webhook has a durable cursor into the log, which is moved
// after the receiver has answered, so a restart at any point loses nothing: events come at least
// once and, for one webhook, in order. A repetition has the same webhook-id.
//
// Each webhook has a goroutine of its own, so a slow receiver delays nobody else. Where several
// servers run on one store, a lease in the cursor's row says who delivers; the compare-and-set of
// the row decides.
//
// Requests are signed as Standard Webhooks 1.0 says (https://www.standardwebhooks.com), and go to
// addresses of the internet only, unless the operator allows others ([Config.Allow]).
package notify

import (
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Changes is where trials and webhooks live; *control.Service is one.
type Changes interface {
	WebhookTargets() []control.WebhookTarget
	WebhookTarget(name string) (control.WebhookTarget, error)
	NextTrialChange(ctx context.Context, after int64, first, limit int) (control.TrialChange, bool, error)
	TrialChangesAfter(revision int64) int
	Head() control.Head
	WaitSnapshot(ctx context.Context, have control.Head) (*control.View, error)
}

// Config is what a Notifier needs. Changes and Cursors are required.
type Config struct {
	Changes Changes
	Cursors control.Cursors
	// Environment is named in what is sent.
	Environment string
	// BaseURL is where people reach the server, for links, without a slash at the end. Empty: links
	// are paths.
	BaseURL string
	// Allow are networks that may be called although they are not on the internet. Loopback,
	// private, link-local and the like are refused otherwise.
	Allow []netip.Prefix
	// Logger gets what operators should know. Default: discard.
	Logger *slog.Logger
	// Owner names this process in leases. Default: random.
	Owner string

	// For tests.
	dial   func(ctx context.Context, network, address string) (net.Conn, error) // instead of the network
	jitter func(limit time.Duration) time.Duration                              // in [0, limit)
}

// Notifier tells the webhooks of one environment. All methods are safe for concurrent use.
type Notifier struct {
	cfg     Config
	client  *http.Client
	reading chan struct{} // bounds the changes in memory at a time
	stats   counters

	mu sync.Mutex
	at map[string]int64 // revision up to which nothing is left to do, by webhook id; may be ahead of its cursor
}

// Stats are figures since the start.
type Stats struct{ Delivered, Failed, Skipped uint64 }

type counters struct{ delivered, failed, skipped atomic.Uint64 }

// maxReading bounds how many changes are in memory at a time; one may have 16 MiB.
const maxReading = 4

// New gives a Notifier that sends nothing until Run, but for tests ([Notifier.Ping]).
func New(cfg Config) *Notifier {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Owner == "" {
		cfg.Owner = rand.Text()
	}
	if cfg.jitter == nil {
		cfg.jitter = func(limit time.Duration) time.Duration { return mathrand.N(max(limit, 1)) }
	}
	if cfg.dial == nil {
		cfg.dial = guard{allow: cfg.Allow}.dialer().DialContext
	}
	return &Notifier{cfg: cfg, client: newClient(cfg.dial), reading: make(chan struct{}, maxReading), at: map[string]int64{}}
}

// Stats gives the present figures.
func (n *Notifier) Stats() Stats {
	return Stats{Delivered: n.stats.delivered.Load(), Failed: n.stats.failed.Load(), Skipped: n.stats.skipped.Load()}
}

// running is the worker of one webhook.
type running struct {
	revision int64 // of the webhook that it works for
	cancel   context.CancelFunc
	done     chan struct{}
}

func (r *running) stop() {
	r.cancel()
	<-r.done
}

// Run delivers until ctx ends; then it returns when nothing is under way any more. What was not
// delivered is delivered by the next Run. It may be called once.
func (n *Notifier) Run(ctx context.Context) {
	known := map[string]*running{} // by id; nil: it is disabled
	defer func() {
		for _, r := range known {
			if r != nil {
				r.stop()
			}
		}
		n.client.CloseIdleConnections()
	}()
	for {
		head := n.cfg.Changes.Head()
		n.reconcile(ctx, known)
		if _, err := n.cfg.Changes.WaitSnapshot(ctx, head); err != nil {
			return
		}
	}
}

// reconcile starts and stops workers, so that there is one for each enabled webhook as it is now.
func (n *Notifier) reconcile(ctx context.Context, known map[string]*running) {
	gone := make(map[string]bool, len(known))
	for id := range known {
		gone[id] = true
	}
	for _, target := range n.cfg.Changes.WebhookTargets() {
		delete(gone, target.ID)
		r, old := known[target.ID]
		if old && (r == nil && !target.Enabled || r != nil && r.revision == target.Revision) {
			continue
		}
		if r != nil {
			r.stop()
		}
		known[target.ID] = nil
		if target.Enabled {
			known[target.ID] = n.start(ctx, target)
		}
	}
	for id := range gone {
		if r := known[id]; r != nil {
			r.stop()
		}
		delete(known, id)
		n.forget(ctx, id)
	}
}

func (n *Notifier) start(ctx context.Context, target control.WebhookTarget) *running {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{revision: target.Revision, cancel: cancel, done: make(chan struct{})}
	w := &worker{n: n, target: target, log: n.cfg.Logger.With("environment", n.cfg.Environment, "webhook", target.Name)}
	go func() {
		defer close(r.done)
		w.run(ctx)
	}()
	return r
}

// forget drops what is known of a webhook that was deleted.
func (n *Notifier) forget(ctx context.Context, id string) {
	n.mu.Lock()
	delete(n.at, id)
	n.mu.Unlock()
	if err := n.cfg.Cursors.DropCursor(ctx, id); err != nil {
		n.cfg.Logger.Warn("the cursor of a deleted webhook stays behind", "environment", n.cfg.Environment, "error", err)
	}
}

// passed remembers that nothing up to a revision is left to do, for Status.
func (n *Notifier) passed(id string, revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[id] = max(n.at[id], revision)
}
