package app

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/prometheus"
)

// Config is what a server needs. DataDir is required, and Addr or Listener.
type Config struct {
	// Addr is the address to listen on, host:port. Port 0 takes a free one.
	Addr string
	// NextFreePort tries the ports after Addr's if that is taken, up to 100 of them.
	NextFreePort bool
	// Listener is served instead of Addr. The server closes it.
	Listener net.Listener
	// AlsoListen are more addresses on which the same is served, such as flagd's conventional
	// 8013 (evaluation), 8015 (sync) and 8016 (OFREP).
	AlsoListen []string
	// OpenEvaluation lets clients evaluate and sync flags without a key, by OFREP and as flagd
	// does. A Local server does so always.
	OpenEvaluation bool
	// DataDir is the folder of the change log; it is made if need be. sqlite.Memory keeps the
	// log in memory, for tests.
	DataDir string
	// PublicURL is where people reach the server, for links in what webhooks send, such as
	// https://seatrial.example.com. Empty: links are paths.
	PublicURL string
	// WebhookAllow are networks that webhooks may call although they are not on the internet. A
	// Local server may call its own machine.
	WebhookAllow []netip.Prefix
	// FourEyes is the share of the audience, by environment, above which an experiment needs the
	// approval of somebody else than who starts it; under "", that of all others.
	FourEyes map[string]flag.Weight
	// Prometheus is where guardrails pull counts from. Without a URL there is none.
	Prometheus Prometheus
	// Environment names the flag set. Default "default".
	Environment string
	// Logger gets what operators should know. Default: discard.
	Logger *slog.Logger
	// AcceptLoss starts although acknowledged changes are missing from the log; it begins a new
	// history.
	AcceptLoss bool
	// Local is for dev and demo: the server listens on a loopback address only, answers only to
	// requests that name one, and prints nothing.
	Local bool
	// Bootstrap gets a one-time link as long as the log holds no admin token, so that a new
	// server can be entered without a default password. Default os.Stderr; a Local server has
	// none, its starter asks for [Server.LoginLink].
	Bootstrap io.Writer
	// DrainDelay is how long a stopping server goes on serving after /readyz has begun to fail,
	// for load balancers to notice. Default 0.
	DrainDelay time.Duration
	// MaxConnections bounds the open connections; further ones wait. Default 12 000.
	MaxConnections int
}

// Prometheus says where a Prometheus server is and how to ask it.
type Prometheus = prometheus.Config

// check fills in defaults and refuses what makes no sense, as a whole.
func (c Config) check() (Config, error) {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if c.DataDir == "" {
		add("no data directory: say where the change log is to be kept")
	}
	if (c.Addr == "") == (c.Listener == nil) {
		add("give either an address to listen on, such as 127.0.0.1:8420, or a listener")
	}
	if c.Environment == "" {
		c.Environment = "default"
	}
	if err := flag.CheckKey(c.Environment); err != nil {
		add("environment %v", err)
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		add("public URL %q: write it as https://seatrial.example.com", c.PublicURL)
	}
	if c.DrainDelay < 0 || c.DrainDelay > 10*time.Minute {
		add("drain delay %s is not within 0 to 10m", c.DrainDelay)
	}
	if c.MaxConnections < 0 {
		add("%d connections at most: give a positive number, or 0 for the default", c.MaxConnections)
	}
	if c.Addr != "" {
		host, _, err := net.SplitHostPort(c.Addr)
		switch {
		case err != nil:
			add("address %q: write it as host:port, such as 127.0.0.1:8420", c.Addr)
		case c.Local && !loopback(host):
			add("address %q is not on this machine only: a local server listens on 127.0.0.1, [::1] or localhost; use `seatrial serve` for others", c.Addr)
		}
	}
	if len(wrong) > 0 {
		return c, fmt.Errorf("server: %s", strings.Join(wrong, "; "))
	}
	return c.withDefaults(), nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Bootstrap == nil {
		c.Bootstrap = os.Stderr
	}
	if c.Local {
		c.Bootstrap, c.OpenEvaluation = io.Discard, true
		c.WebhookAllow = append(slices.Clip(c.WebhookAllow), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.MaxConnections == 0 {
		c.MaxConnections = 12_000
	}
	return c
}

// fourEyesIn gives the limit of an environment, nil if there is none.
func (c *Config) fourEyesIn(environment string) *flag.Weight {
	for _, name := range []string{environment, ""} {
		if limit, ok := c.FourEyes[name]; ok {
			return &limit
		}
	}
	return nil
}

// sources is where counts are pulled from, and what checks plans for it.
type sources interface {
	control.Sources
	controller.Sources
}

// sources gives the source of pulled counts; nil without one.
func (c Config) sources() (sources, error) {
	if c.Prometheus.URL == "" {
		return nil, nil
	}
	p := c.Prometheus
	p.Logger = c.Logger
	source, err := prometheus.New(p)
	if err != nil {
		return nil, err
	}
	return source, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
