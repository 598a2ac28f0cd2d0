package shop

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/seatrial/seatrial"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Checkout is the body of POST /checkout.
type Checkout struct {
	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`
	Items  []Item   `json:"items"`
}

// CheckedOut is the answer to a Checkout.
type CheckedOut struct {
	Receipt
	Recommendations []string `json:"recommendations"`
}

// storefront is the service that customers talk to.
type storefront struct {
	tracer    trace.Tracer
	algorithm *seatrial.Flag[bool]
	recommend *recommender
	orders    *http.Client
	ordersURL string
	last      atomic.Uint64 // number of the last order
	run       string        // keeps order ids of different runs apart
}

func (s *storefront) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /checkout", s.checkout)
	mux.HandleFunc("GET /products", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, s.recommend.products)
	})
	return mux
}

func (s *storefront) checkout(w http.ResponseWriter, r *http.Request) {
	var c Checkout
	if !read(w, r, &c) {
		return
	}
	user := User{ID: c.User, Groups: c.Groups}
	ctx := withUser(r.Context(), user)
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("user.id", user.ID))

	result := CheckedOut{Recommendations: s.recommendations(ctx, c.Items)}
	order := Order{ID: s.nextID(), User: user, Items: c.Items}
	if err := post(ctx, s.orders, s.ordersURL+"/orders", order.ID, order, &result.Receipt); err != nil {
		fail(w, r, err)
		return
	}
	answer(w, http.StatusCreated, result)
}

// recommendations uses the algorithm that the flag new-recommendation-algorithm gives the user.
func (s *storefront) recommendations(ctx context.Context, items []Item) []string {
	isNew := s.algorithm.Get(ctx)
	_, span := s.tracer.Start(ctx, "Recommend", trace.WithAttributes(attribute.Bool("recommend.new", isNew)))
	defer span.End()
	if isNew {
		return s.recommend.boughtTogether(items)
	}
	return s.recommend.bestsellers(items)
}

// newRun gives a name that no other run has.
func newRun() string { return "ord-" + strings.ToLower(rand.Text()[:8]) }

func (s *storefront) nextID() string {
	return s.run + "-" + strconv.FormatUint(s.last.Add(1), 10)
}
