package shop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/examples/shop/inventorypb"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/seatrialgrpc"
	"github.com/seatrial/seatrial/seatrialhttp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Service is one running service of the shop.
type Service struct {
	Name string
	// URL is where it listens: "http://127.0.0.1:port", for the inventory "127.0.0.1:port".
	URL string
	// OperatorURL is where its operators reach it; empty where there is nothing to operate.
	OperatorURL string

	client *seatrial.Client
	traces *sdktrace.TracerProvider
	stops  []func(context.Context) error // to call in reverse order
}

// open gives a service its Seatrial client and its tracing. It serves nothing yet.
func open(ctx context.Context, name string, cfg Config, options ...seatrial.Option) (*Service, Config, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, cfg, fmt.Errorf("shop: %s: %w", name, err)
	}
	traces, err := newTracing(ctx, name, cfg)
	if err != nil {
		return nil, cfg, err
	}
	client, err := seatrial.Open(ctx, append([]seatrial.Option{
		seatrial.WithService(name), seatrial.WithServer(cfg.Server), seatrial.WithKey(cfg.Key),
		seatrial.WithFlushInterval(cfg.Flush),
	}, options...)...)
	if err != nil {
		return nil, cfg, errors.Join(fmt.Errorf("shop: %s: %w", name, err), traces.Shutdown(ctx))
	}
	return &Service{Name: name, client: client, traces: traces}, cfg, nil
}

// StartInventory starts the inventory service.
func StartInventory(ctx context.Context, cfg Config) (*Service, error) {
	s, cfg, err := open(ctx, "inventory", cfg)
	if err != nil {
		return nil, err
	}
	stock := newInventory(newChance(cfg.Seed, s.Name), Catalogue())
	if s.OperatorURL, err = s.listen(stock.operators()); err != nil {
		return nil, s.abandon(ctx, err)
	}
	return s.serving(ctx, s.serveGRPC(func(server *grpc.Server) { inventorypb.RegisterInventoryServer(server, stock) }))
}

// StartPayment starts the payment service.
func StartPayment(ctx context.Context, cfg Config) (*Service, error) {
	s, cfg, err := open(ctx, "payment", cfg)
	if err != nil {
		return nil, err
	}
	return s.serving(ctx, s.serveHTTP(newPayments(newChance(cfg.Seed, s.Name)).handler()))
}

// StartShipping starts the shipping service.
func StartShipping(ctx context.Context, cfg Config) (*Service, error) {
	s, cfg, err := open(ctx, "shipping", cfg)
	if err != nil {
		return nil, err
	}
	return s.serving(ctx, s.serveHTTP(shippingHandler(newChance(cfg.Seed, s.Name))))
}

// StartNotification starts the notification service.
func StartNotification(ctx context.Context, cfg Config) (*Service, error) {
	s, cfg, err := open(ctx, "notification", cfg)
	if err != nil {
		return nil, err
	}
	return s.serving(ctx, s.serveHTTP(notificationHandler(newChance(cfg.Seed, s.Name))))
}

// faultCaps are what a chaos experiment may do to the order service at most.
var faultCaps = fault.Caps{MaxLatency: time.Second, MaxActive: 50}

// StartOrder starts the order service. It is the one that allows faults: at its calls to the
// services it needs.
func StartOrder(ctx context.Context, cfg Config, needs Remotes) (*Service, error) {
	s, _, err := open(ctx, "order", cfg, seatrial.WithFaults(faultCaps))
	if err != nil {
		return nil, err
	}
	remote, err := s.dial(needs)
	if err != nil {
		return nil, s.abandon(ctx, err)
	}
	service := &orders{tracer: s.tracer(), express: s.client.BoolFlag("express-checkout", false), remote: remote}
	return s.serving(ctx, s.serveHTTP(service.handler()))
}

// StartStorefront starts the storefront, for which the order service is at orderURL.
func StartStorefront(ctx context.Context, cfg Config, orderURL string) (*Service, error) {
	s, _, err := open(ctx, "storefront", cfg)
	if err != nil {
		return nil, err
	}
	front := &storefront{
		tracer:    s.tracer(),
		algorithm: s.client.BoolFlag("new-recommendation-algorithm", false),
		recommend: newRecommender(Catalogue()),
		orders:    s.caller("order"), ordersURL: orderURL,
		run: newRun(),
	}
	return s.serving(ctx, s.serveHTTP(front.handler()))
}

// serving gives the service, or stops what there is of it.
func (s *Service) serving(ctx context.Context, err error) (*Service, error) {
	if err != nil {
		return nil, s.abandon(ctx, err)
	}
	return s, nil
}

func (s *Service) abandon(ctx context.Context, err error) error {
	_ = s.Close(ctx) // it has recorded nothing yet
	return fmt.Errorf("shop: %s: %w", s.Name, err)
}

func (s *Service) tracer() trace.Tracer { return s.traces.Tracer(instrumentation) }

// serveHTTP serves h as units of work: traced, and counted for the trials that they meet.
func (s *Service) serveHTTP(h http.Handler) (err error) {
	s.URL, err = s.listen(seatrialhttp.NewHandler(s.client, h,
		seatrialhttp.WithTracerProvider(s.traces), seatrialhttp.WithPropagator(propagators)))
	return err
}

// listen serves h on a free port of the loopback and gives its URL.
func (s *Service) listen(h http.Handler) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	s.stops = append(s.stops, func(ctx context.Context) error {
		return errors.Join(server.Shutdown(ctx), server.Close())
	})
	go func() { _ = server.Serve(l) }() // until Shutdown
	return "http://" + l.Addr().String(), nil
}

// serveGRPC is serveHTTP for gRPC.
func (s *Service) serveGRPC(register func(*grpc.Server)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(
		seatrialgrpc.UnaryServerInterceptor(s.client,
			seatrialgrpc.WithTracerProvider(s.traces), seatrialgrpc.WithPropagator(propagators)),
		recogniseUnary))
	register(server)
	s.stops = append(s.stops, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, server.Stop)()
		server.GracefulStop()
		return nil
	})
	go func() { _ = server.Serve(l) }() // until GracefulStop
	s.URL = l.Addr().String()
	return nil
}

// Close finishes the requests under way, sends what was recorded, and stops the service, all
// within ctx.
func (s *Service) Close(ctx context.Context) error {
	var problems []error
	for _, stop := range slices.Backward(s.stops) {
		problems = append(problems, stop(ctx))
	}
	problems = append(problems, s.client.Close(ctx), s.traces.Shutdown(ctx))
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("shop: stop %s: %w", s.Name, err)
	}
	return nil
}
