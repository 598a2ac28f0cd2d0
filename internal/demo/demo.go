// Package demo shows the whole loop on one machine: it starts a control plane, the example shop
// and customers, and then plays scenes: a canary that is promoted, one that is rolled back, and a
// fault that is survived with a resilience policy and not without it.
//
// Nothing here decides how a scene ends. A scene writes flags and starts a trial over the HTTP
// API, as a person would with the command line, and reads from there what became of it. What was
// hoped for is looked at only when the summary is made.
package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// Config says how to run the demo. Out is required.
type Config struct {
	// Out gets the timeline, or with JSON one event a line and the summary last.
	Out  io.Writer
	JSON bool
	// Screen says what Out can show; nil: plain text, one line for each change.
	Screen Screen
	// Once ends the demo after its scenes; otherwise the shop goes on until the context ends.
	Once bool
	// Seed fixes the customers, and the draws of working times and misfortunes.
	Seed uint64
	// Addr is where the control plane listens; if the port is taken, the next free one.
	Addr string
	// Rate is the number of checkouts a second. Default 200.
	Rate float64
	// Announce, if not nil, is told the control plane's address and a token for it, and gives
	// what to call when both are gone.
	Announce func(server, token string) (forget func())
	// Command is how this program is called, for what is proposed to be tried. Default "seatrial".
	Command string
	// Logger gets what the control plane logs. Default: nothing.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Screen == nil {
		c.Screen = plain{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Command == "" {
		c.Command = "seatrial"
	}
	if c.Rate == 0 {
		c.Rate = defaultRate
	}
	return c
}

// Summary is how the demo went.
type Summary struct {
	Type    string        `json:"type"` // summary
	OK      bool          `json:"ok"`   // every scene ended as it should
	Seed    uint64        `json:"seed"`
	Seconds float64       `json:"seconds"` // of wall time
	Scenes  []SceneResult `json:"scenes"`
	Load    LoadResult    `json:"load"`
}

// SceneResult is how one scene ended.
type SceneResult struct {
	Name    string       `json:"name"`
	Verdict trial.Result `json:"verdict"`
	// OK is true if the verdict is the one to be expected and, where something went wrong, the
	// evidence for it can be looked at.
	OK      bool    `json:"ok"`
	Trial   string  `json:"trial"`
	Seconds float64 `json:"seconds"`
	// Guardrail that stopped the trial; empty if none did.
	Guardrail string `json:"guardrail,omitempty"`
	// UsersAffected and RequestsAffected got the treatment; RequestsFailed of them went wrong.
	UsersAffected    uint64 `json:"usersAffected"`
	RequestsAffected uint64 `json:"requestsAffected"`
	RequestsFailed   uint64 `json:"requestsFailed"`
	// Traces of requests that went wrong, all of them in the trace store.
	Traces []string `json:"traces,omitempty"`
	Why    string   `json:"why"`
}

// LoadResult is what became of the customers' checkouts.
type LoadResult struct {
	OK     uint64 `json:"ok"`
	Failed uint64 `json:"failed"`
	Shed   uint64 `json:"shed"` // not sent, because too many were under way
}

// closing bounds the end of the demo.
const closing = 10 * time.Second

// Run plays the demo. The error says why it could not be played; how it went is in the Summary.
// Everything that was started has ended when Run returns, and its temporary folder is gone.
func Run(ctx context.Context, cfg Config) (sum Summary, err error) {
	cfg = cfg.withDefaults()
	t := newTimeline(cfg)
	t.opening(cfg.Seed)
	w, err := openWorld(ctx, cfg)
	if err != nil {
		return Summary{}, fmt.Errorf("demo: %w", err)
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		if cerr := w.close(ending); cerr != nil && err == nil && ctx.Err() == nil {
			err = fmt.Errorf("demo: stop: %w", cerr)
		}
	}()
	t.ready(w)
	sum, err = playAll(ctx, w, t, cfg)
	if err != nil {
		return sum, fmt.Errorf("demo: %w", err)
	}
	t.summary(sum)
	if !cfg.Once {
		t.whatNow(w, sum)
		<-ctx.Done()
	}
	return sum, nil
}

func playAll(ctx context.Context, w *world, t *timeline, cfg Config) (Summary, error) {
	sum := Summary{Type: "summary", OK: true, Seed: cfg.Seed}
	all := scenes()
	for i, s := range all {
		t.scene(i+1, len(all), s)
		result, err := w.play(ctx, t, s)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return sum, fmt.Errorf("scene %s: %w", s.name, err)
		}
		result.OK = result.asExpected()
		sum.OK = sum.OK && result.OK
		sum.Scenes = append(sum.Scenes, result)
	}
	s := w.load.Stats()
	sum.Load = LoadResult{OK: s.OK, Failed: s.Failed, Shed: s.Shed}
	sum.Seconds = t.seconds()
	return sum, nil
}

// expected says how scenes should end. Only the summary asks.
var expected = map[string]trial.Result{
	"good-canary":     trial.ResultPromoted,
	"bad-canary":      trial.ResultRolledBack,
	"chaos-resilient": trial.ResultSurvived,
	"chaos-fragile":   trial.ResultWeaknessFound,
}

// tracesWanted is how many traces have to show what went wrong.
const tracesWanted = 3

func (r SceneResult) asExpected() bool {
	if r.Verdict != expected[r.Name] {
		return false
	}
	return r.Verdict != trial.ResultRolledBack || r.Guardrail != "" && r.UsersAffected > 0 && len(r.Traces) >= tracesWanted
}
