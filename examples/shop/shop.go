// Package shop is a small shop made of six services, as somebody would build it on Seatrial's
// public packages: storefront, order, inventory, payment, shipping and notification. They talk
// HTTP, the inventory gRPC; each has its own listener on the loopback, its own Seatrial client
// and its own tracer provider, as if it were its own process.
//
//	storefront ──▶ order ──▶ inventory (gRPC)
//	                    ├──▶ payment
//	                    ├──▶ shipping
//	                    └──▶ notification
//
// What to look at: order.go is the business, remotes.go puts the dependencies behind adapters,
// identity.go carries the user to every service, telemetry.go sets up tracing, and service.go
// starts and stops one service. The flags are new-recommendation-algorithm in the storefront and
// express-checkout in the order service; the dependencies, and so the names of policies and of
// fault points, are "order", "inventory", "payment", "shipping" and "notification".
package shop

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Config says how to run a shop. The zero value is a shop without a control plane: its flags
// have the values in the code, and nothing is exported.
type Config struct {
	// Server is the URL of the control plane and Key its SDK key. Empty: none.
	Server, Key string
	// TraceSampleRatio is the share of new traces that is recorded and exported, up to 1.
	// A request that comes with a trace follows that trace's decision. 0 means 1, all of them;
	// a negative number means none.
	TraceSampleRatio float64
	// Flush is how often outcomes and spans are sent: 100 ms to 1 min, default 1 s.
	Flush time.Duration
	// Seed fixes the draws of working times and of small misfortunes.
	Seed uint64

	exporter sdktrace.SpanExporter // instead of OTLP, for tests
}

func (c Config) withDefaults() Config {
	if c.TraceSampleRatio == 0 {
		c.TraceSampleRatio = 1
	}
	if c.Flush == 0 {
		c.Flush = time.Second
	}
	return c
}

func (c Config) validate() error {
	if c.TraceSampleRatio > 1 {
		return fmt.Errorf("trace sample ratio %v: choose at most 1", c.TraceSampleRatio)
	}
	if c.Flush < 100*time.Millisecond || c.Flush > time.Minute {
		return fmt.Errorf("flush interval %v: choose 100 ms to 1 min", c.Flush)
	}
	return nil
}

// Shop is a running shop. Make one with Start.
type Shop struct {
	services []*Service // in the order in which they were started
}

// Start starts all six services in this process, each on a free port of the loopback. ctx bounds
// the start only; Close stops them. On an error nothing is left running.
func Start(ctx context.Context, cfg Config) (_ *Shop, err error) {
	s := &Shop{}
	defer func() {
		if err != nil {
			_ = s.Close(ctx)
		}
	}()
	var needs Remotes
	for _, one := range []struct {
		start func(context.Context, Config) (*Service, error)
		url   *string
	}{
		{StartInventory, &needs.Inventory}, {StartPayment, &needs.Payment},
		{StartShipping, &needs.Shipping}, {StartNotification, &needs.Notification},
	} {
		if *one.url, err = s.add(one.start(ctx, cfg)); err != nil {
			return nil, err
		}
	}
	orderURL, err := s.add(StartOrder(ctx, cfg, needs))
	if err != nil {
		return nil, err
	}
	if _, err = s.add(StartStorefront(ctx, cfg, orderURL)); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Shop) add(one *Service, err error) (url string, _ error) {
	if err != nil {
		return "", err
	}
	s.services = append(s.services, one)
	return one.URL, nil
}

// URL is where customers come to: POST /checkout and GET /products.
func (s *Shop) URL() string { return s.services[len(s.services)-1].URL }

// OperatorURL is where the people who run the warehouse come to: POST /incidents.
func (s *Shop) OperatorURL() string { return s.services[0].OperatorURL }

// Services gives the running services, those that are called before those that call them.
func (s *Shop) Services() []*Service { return append([]*Service(nil), s.services...) }

// Close stops the services, callers first: each finishes the requests under way and sends what
// it has recorded, within ctx.
func (s *Shop) Close(ctx context.Context) error {
	var problems []error
	for i := len(s.services) - 1; i >= 0; i-- {
		problems = append(problems, s.services[i].Close(ctx))
	}
	return errors.Join(problems...)
}
