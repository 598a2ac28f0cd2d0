package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/seatrial/seatrial/examples/shop"
	"github.com/seatrial/seatrial/examples/shop/load"
	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
)

const (
	customers   = 2_000
	defaultRate = 200 // checkouts a second
	// flush is how often the shop reports: well within the trials' interval of a second.
	flush = 250 * time.Millisecond
)

// world is all that runs: control plane, shop, customers.
type world struct {
	cfg    Config
	server *app.Server
	shop   *shop.Shop
	load   *load.Generator
	api    *api.Client

	closers []func(context.Context) error // in the order in which they were opened
}

// openWorld starts everything. On an error nothing is left behind.
func openWorld(ctx context.Context, cfg Config) (*world, error) {
	w := &world{cfg: cfg}
	if err := w.open(ctx); err != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		return nil, errors.Join(err, w.close(ending))
	}
	return w, nil
}

func (w *world) open(ctx context.Context) error {
	if err := w.startServer(ctx); err != nil {
		return err
	}
	key, err := w.connect(ctx)
	if err != nil {
		return err
	}
	if err := w.writeFlags(ctx); err != nil {
		return err
	}
	return w.startShop(ctx, key)
}

func (w *world) startServer(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "seatrial-demo-")
	if err != nil {
		return err
	}
	w.onClose(func(context.Context) error { return os.RemoveAll(folder) })
	w.server, err = app.Start(ctx, app.Config{
		Addr: w.cfg.Addr, NextFreePort: true, DataDir: folder, Environment: "demo", Local: true, Logger: w.cfg.Logger,
	})
	if err != nil {
		return err
	}
	w.onClose(w.server.Close)
	return nil
}

// connect makes a token for the demo itself and an SDK key for the shop.
func (w *world) connect(ctx context.Context) (key string, err error) {
	token, err := w.server.CreateToken(ctx, control.NewToken{Name: "demo", Kind: control.TokenAPI, Role: control.RoleAdmin})
	if err != nil {
		return "", err
	}
	if w.api, err = api.New(w.server.URL(), token); err != nil {
		return "", err
	}
	if w.cfg.Announce != nil {
		forget := w.cfg.Announce(w.server.URL(), token)
		w.onClose(func(context.Context) error { forget(); return nil })
	}
	return w.server.CreateToken(ctx, control.NewToken{Name: "shop", Kind: control.TokenSDK})
}

func (w *world) startShop(ctx context.Context, key string) (err error) {
	w.shop, err = shop.Start(ctx, shop.Config{Server: w.server.URL(), Key: key, Flush: flush, Seed: w.cfg.Seed})
	if err != nil {
		return err
	}
	w.onClose(w.shop.Close)
	w.load, err = load.New(load.Config{URL: w.shop.URL(), Users: customers, Rate: w.cfg.Rate, Seed: w.cfg.Seed})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var sending sync.WaitGroup
	sending.Go(func() { _ = w.load.Run(running) }) // it gives nil
	w.onClose(func(context.Context) error { stop(); sending.Wait(); return nil })
	return nil
}

func (w *world) onClose(do func(context.Context) error) { w.closers = append(w.closers, do) }

// close stops everything, the last started first.
func (w *world) close(ctx context.Context) error {
	var problems []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		problems = append(problems, w.closers[i](ctx))
	}
	w.closers = nil
	return errors.Join(problems...)
}

// incident lets the warehouse database fail for everybody, through the shop's own entrance for
// operators.
func (w *world) incident(ctx context.Context, d time.Duration) error {
	if err := shop.Rehearse(ctx, w.shop.OperatorURL(), d); err != nil {
		return fmt.Errorf("incident: %w", err)
	}
	return nil
}
