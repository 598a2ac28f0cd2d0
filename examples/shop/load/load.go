// Package load sends checkouts to the example shop as if customers came by: many distinct
// users at a steady rate that does not wait for answers.
//
// It refuses every address that is not on this machine: it is a prop of the demo, not a tool
// to put load on somebody's service.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/examples/shop"
)

// Config says what load to make. Zero values mean the defaults.
type Config struct {
	// URL of the storefront; its host must be a loopback address.
	URL string
	// Users is how many distinct users there are: 1 to 1,000,000, default 2,000.
	Users int
	// Rate is the number of checkouts a second: above 0, at most 10,000, default 200.
	Rate float64
	// Concurrency bounds the checkouts under way at once: 1 to 10,000, default 128. A checkout
	// that would exceed it is not sent and counts as shed: a slow shop must not turn the
	// generator into a queue.
	Concurrency int
	// Seed fixes the users and the order in which they come.
	Seed uint64
}

// Stats counts what happened so far.
type Stats struct {
	OK     uint64 // answered with 2xx
	Failed uint64 // answered otherwise, or not at all
	Shed   uint64 // not sent: Concurrency was reached
}

// Generator sends checkouts. Make one with New.
type Generator struct {
	cfg              Config
	client           *http.Client
	checkouts        *checkouts
	slots            chan struct{}
	ok, failed, shed atomic.Uint64
}

// New checks cfg and fills in defaults. It sends nothing yet.
func New(cfg Config) (*Generator, error) {
	if cfg.Users == 0 {
		cfg.Users = 2_000
	}
	if cfg.Rate == 0 {
		cfg.Rate = 200
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 128
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: cfg.Concurrency}
	return &Generator{
		cfg:       cfg,
		client:    &http.Client{Transport: transport, Timeout: 10 * time.Second},
		checkouts: newCheckouts(cfg.Seed, Users(cfg.Seed, cfg.Users)),
		slots:     make(chan struct{}, cfg.Concurrency),
	}, nil
}

func (c Config) validate() error {
	switch {
	case c.Users < 1 || c.Users > 1_000_000:
		return fmt.Errorf("users %d: choose 1 to 1,000,000", c.Users)
	case !(c.Rate > 0 && c.Rate <= 10_000):
		return fmt.Errorf("rate %v: choose a number above 0, at most 10,000", c.Rate)
	case c.Concurrency < 1 || c.Concurrency > 10_000:
		return fmt.Errorf("concurrency %d: choose 1 to 10,000", c.Concurrency)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return fmt.Errorf("url %q: %w", c.URL, err)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "http" || (u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return fmt.Errorf("url %q: only http on a loopback address such as http://127.0.0.1:8080 is allowed", c.URL)
	}
	return nil
}

// Run sends checkouts until ctx ends, waits for those under way (they are cancelled with ctx),
// and returns nil. It can be called once.
func (g *Generator) Run(ctx context.Context) error {
	defer g.client.CloseIdleConnections()
	var under sync.WaitGroup
	defer under.Wait()
	interval := time.Duration(float64(time.Second) / g.cfg.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); ; due = due.Add(interval) {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		c := g.checkouts.next()
		select {
		case g.slots <- struct{}{}:
			under.Go(func() {
				defer func() { <-g.slots }()
				g.count(ctx, g.send(ctx, c))
			})
		default:
			g.shed.Add(1)
		}
	}
}

// count books a result; what ctx's end cut off is no result.
func (g *Generator) count(ctx context.Context, err error) {
	switch {
	case err == nil:
		g.ok.Add(1)
	case ctx.Err() == nil:
		g.failed.Add(1)
	}
}

var errStatus = errors.New("status is not 2xx")

func (g *Generator) send(ctx context.Context, c shop.Checkout) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.cfg.URL+"/checkout", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%w: %d", errStatus, resp.StatusCode)
	}
	return nil
}

// Stats gives the counts so far. Safe for concurrent use with Run.
func (g *Generator) Stats() Stats {
	return Stats{OK: g.ok.Load(), Failed: g.failed.Load(), Shed: g.shed.Load()}
}
