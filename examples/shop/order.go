package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/seatrial/seatrial"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Item is a line of an order.
type Item struct {
	ID       string `json:"id"`
	Quantity int    `json:"quantity"` // 1 to 100
}

// Order is what a customer wants.
type Order struct {
	ID    string `json:"id"`
	User  User   `json:"user"`
	Items []Item `json:"items"` // 1 to 20
}

// Receipt is what a customer gets.
type Receipt struct {
	OrderID    string `json:"orderId"`
	TotalCents int64  `json:"totalCents"`
	Payment    string `json:"payment"`
	Shipment   string `json:"shipment"`
	// Notified is false if the confirmation could not be sent; the order stands all the same.
	Notified bool `json:"notified"`
}

var (
	errOutOfStock  = errors.New("out of stock: choose fewer or another item")
	errUnknownItem = errors.New("not in the catalogue: choose another item")
	errDeclined    = errors.New("payment declined: choose another card or buy less")
	errBadOrder    = errors.New("order: needs an id, a user and 1 to 20 items with quantities from 1 to 100")
)

func (o Order) validate() error {
	if o.ID == "" || o.User.ID == "" || len(o.Items) == 0 || len(o.Items) > 20 {
		return errBadOrder
	}
	for _, item := range o.Items {
		if item.Quantity < 1 || item.Quantity > 100 {
			return errBadOrder
		}
	}
	return nil
}

// orders is the order service.
type orders struct {
	tracer  trace.Tracer
	express *seatrial.Flag[bool]
	remote  remotes
}

// remotes are the services that an order needs.
type remotes interface {
	// check gives the price of one unit in cents, or errOutOfStock.
	check(ctx context.Context, item Item) (int64, error)
	charge(ctx context.Context, c Charge, express bool) (string, error)
	ship(ctx context.Context, o Order) (string, error)
	notify(ctx context.Context, o Order, total int64) error
}

func (s *orders) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /orders", recognised(func(w http.ResponseWriter, r *http.Request) {
		var o Order
		if !read(w, r, &o) {
			return
		}
		if u := userOf(r.Context()); u.ID != "" {
			o.User = u
		}
		receipt, err := s.process(r.Context(), o)
		if err != nil {
			fail(w, r, err)
			return
		}
		answer(w, http.StatusCreated, receipt)
	}))
	return mux
}

// process takes an order from basket to shipment: check inventory, take payment, create
// shipment, notify. The first failure ends it, except that a customer who cannot be notified
// still gets the goods.
func (s *orders) process(ctx context.Context, o Order) (_ Receipt, err error) {
	ctx, span := s.tracer.Start(ctx, "ProcessOrder", trace.WithAttributes(
		attribute.String("order.id", o.ID), attribute.Int("order.items", len(o.Items))))
	defer func() { finish(span, err) }()

	if err := o.validate(); err != nil {
		return Receipt{}, err
	}
	total, err := s.checkInventory(ctx, o)
	if err != nil {
		return Receipt{}, err
	}
	span.SetAttributes(attribute.Int64("order.total", total))
	payment, err := s.takePayment(ctx, o, total)
	if err != nil {
		return Receipt{}, err
	}
	shipment, err := s.createShipment(ctx, o)
	if err != nil {
		return Receipt{}, err
	}
	notified := s.sendNotification(ctx, o, total)
	return Receipt{OrderID: o.ID, TotalCents: total, Payment: payment, Shipment: shipment, Notified: notified}, nil
}

// checkInventory asks for every item in turn and gives the total in cents.
func (s *orders) checkInventory(ctx context.Context, o Order) (total int64, err error) {
	for _, item := range o.Items {
		price, err := s.checkItem(ctx, item)
		if err != nil {
			return 0, fmt.Errorf("check inventory: item %s: %w", item.ID, err)
		}
		total += price * int64(item.Quantity)
	}
	return total, nil
}

func (s *orders) checkItem(ctx context.Context, item Item) (price int64, err error) {
	ctx, span := s.tracer.Start(ctx, "CheckInventory", trace.WithAttributes(
		attribute.String("item.id", item.ID), attribute.Int("item.quantity", item.Quantity)))
	defer func() { finish(span, err) }()
	return s.remote.check(ctx, item)
}

// takePayment charges the customer, by the express path for whom the flag says so.
func (s *orders) takePayment(ctx context.Context, o Order, total int64) (id string, err error) {
	express := s.express.Get(ctx)
	ctx, span := s.tracer.Start(ctx, "TakePayment", trace.WithAttributes(
		attribute.Int64("order.total", total), attribute.Bool("payment.express", express)))
	defer func() { finish(span, err) }()
	id, err = s.remote.charge(ctx, Charge{OrderID: o.ID, UserID: o.User.ID, Cents: total}, express)
	if err != nil {
		return "", fmt.Errorf("take payment: %w", err)
	}
	return id, nil
}

func (s *orders) createShipment(ctx context.Context, o Order) (id string, err error) {
	ctx, span := s.tracer.Start(ctx, "CreateShipment")
	defer func() { finish(span, err) }()
	id, err = s.remote.ship(ctx, o)
	if err != nil {
		return "", fmt.Errorf("create shipment: %w", err)
	}
	return id, nil
}

// sendNotification reports whether the customer could be told. A failure is on its span and an
// event of the order's; the order goes through.
func (s *orders) sendNotification(ctx context.Context, o Order, total int64) bool {
	order := trace.SpanFromContext(ctx)
	ctx, span := s.tracer.Start(ctx, "SendNotification")
	err := s.remote.notify(ctx, o, total)
	finish(span, err)
	if err != nil {
		order.AddEvent("notification failed", trace.WithAttributes(attribute.String("error.message", err.Error())))
	}
	return err == nil
}
