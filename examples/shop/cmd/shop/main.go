// Command shop runs the whole example shop in one process, against the control plane of
// SEATRIAL_SERVER with the SDK key of SEATRIAL_KEY, until it is interrupted. Without them it
// runs on its own, with the flags at the values in the code.
//
//	SEATRIAL_SERVER=http://127.0.0.1:8420 SEATRIAL_KEY=st_sdk_… go run ./examples/shop/cmd/shop -load
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/examples/shop"
	"github.com/seatrial/seatrial/examples/shop/load"
)

func main() {
	cfg := shop.Config{Server: os.Getenv(seatrial.EnvServer), Key: os.Getenv(seatrial.EnvKey)}
	flag.Float64Var(&cfg.TraceSampleRatio, "sample", 1, "share of the traces to record, 0 to 1")
	flag.DurationVar(&cfg.Flush, "flush", time.Second, "how often outcomes and spans are sent")
	flag.Uint64Var(&cfg.Seed, "seed", 1, "fixes users, working times and misfortunes")
	customers := flag.Bool("load", false, "send customers")
	rate := flag.Float64("rate", 200, "with -load: checkouts a second")
	flag.Parse()
	if cfg.TraceSampleRatio == 0 {
		cfg.TraceSampleRatio = -1 // none, where the zero value would mean all
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg, *customers, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg shop.Config, customers bool, rate float64) (err error) {
	s, err := shop.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = errors.Join(err, s.Close(ending))
	}()
	for _, service := range s.Services() {
		fmt.Printf("%-13s %s\n", service.Name, service.URL)
	}
	fmt.Printf("%-13s POST %s/incidents  {\"duration\":\"5s\"}\n", "operators", s.OperatorURL())
	if !customers {
		<-ctx.Done()
		return nil
	}
	g, err := load.New(load.Config{URL: s.URL(), Seed: cfg.Seed, Rate: rate})
	if err != nil {
		return err
	}
	go report(ctx, g)
	return g.Run(ctx)
}

// report tells every few seconds how the customers fare.
func report(ctx context.Context, g *load.Generator) {
	every := time.NewTicker(5 * time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			s := g.Stats()
			fmt.Printf("%d checkouts done, %d failed, %d not sent\n", s.OK, s.Failed, s.Shed)
		}
	}
}
