package shop

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Charge asks the payment service for money.
type Charge struct {
	OrderID string `json:"orderId"`
	UserID  string `json:"userId"`
	Cents   int64  `json:"cents"`
}

// Payment is the payment service's answer.
type Payment struct {
	ID string `json:"id"`
}

// errAcquirer is the natural failure of payment: the bank does not answer.
var errAcquirer = errors.New("the acquirer did not answer: try again")

// cardLimit is what every card is good for, in cents.
const cardLimit = 1_000_000

// payments is the payment service.
type payments struct {
	chance  *chance
	express *express
	ledger  *ledger
}

// naturalFailure is the share of calls of payment and of shipping that fail on any day.
const naturalFailure = 0.005

func newPayments(c *chance) *payments {
	return &payments{chance: c, express: newExpress(c), ledger: newLedger()}
}

func (p *payments) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /charges", recognised(p.serve(p.charge)))
	mux.Handle("POST /express-charges", recognised(p.serve(p.express.charge)))
	return mux
}

// serve books a charge once, however often a caller repeats it.
func (p *payments) serve(charge func(context.Context, Charge) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var c Charge
		if !read(w, r, &c) {
			return
		}
		if c.OrderID == "" || c.Cents <= 0 {
			http.Error(w, "charge: needs an order and an amount above 0", http.StatusBadRequest)
			return
		}
		if c.Cents > cardLimit {
			http.Error(w, "over the limit of the card", http.StatusPaymentRequired)
			return
		}
		err := p.ledger.once(r.Context(), c.OrderID, func() error { return charge(r.Context(), c) })
		if err != nil {
			fail(w, r, err)
			return
		}
		answer(w, http.StatusCreated, Payment{ID: "pay-" + c.OrderID})
	}
}

// charge is the proven path: a risk check, then the acquirer.
func (p *payments) charge(ctx context.Context, _ Charge) error {
	if err := p.chance.work(ctx, 1*time.Millisecond, 3*time.Millisecond); err != nil { // risk check
		return err
	}
	if err := p.chance.work(ctx, 3*time.Millisecond, 12*time.Millisecond); err != nil { // acquirer
		return err
	}
	if p.chance.hits(naturalFailure) {
		return errAcquirer
	}
	return nil
}
