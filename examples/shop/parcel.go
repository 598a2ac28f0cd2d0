package shop

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Shipment asks the shipping service to send goods.
type Shipment struct {
	OrderID string `json:"orderId"`
	Items   []Item `json:"items"`
}

// Label is the shipping service's answer.
type Label struct {
	ID string `json:"id"`
}

// Message asks the notification service to tell a customer about an order.
type Message struct {
	OrderID string `json:"orderId"`
	UserID  string `json:"userId"`
	Cents   int64  `json:"cents"`
}

// notificationFailure is the share of messages that cannot be sent.
const notificationFailure = 0.01

var (
	errCarrier = errors.New("the carrier's label service did not answer: try again")
	errMail    = errors.New("the mail server refused the message: try again")
)

// shippingHandler is the shipping service.
func shippingHandler(c *chance) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /shipments", recognised(func(w http.ResponseWriter, r *http.Request) {
		var s Shipment
		if !read(w, r, &s) {
			return
		}
		if err := attempt(r.Context(), c, naturalFailure, errCarrier, 2*time.Millisecond, 9*time.Millisecond); err != nil {
			fail(w, r, err)
			return
		}
		answer(w, http.StatusCreated, Label{ID: "ship-" + s.OrderID})
	}))
	return mux
}

// notificationHandler is the notification service.
func notificationHandler(c *chance) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /messages", recognised(func(w http.ResponseWriter, r *http.Request) {
		var m Message
		if !read(w, r, &m) {
			return
		}
		if err := attempt(r.Context(), c, notificationFailure, errMail, 1*time.Millisecond, 5*time.Millisecond); err != nil {
			fail(w, r, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	return mux
}

// attempt works for a while and then, with probability p, fails with the given error.
func attempt(ctx context.Context, c *chance, p float64, failure error, low, high time.Duration) error {
	if err := c.work(ctx, low, high); err != nil {
		return err
	}
	if c.hits(p) {
		return failure
	}
	return nil
}
