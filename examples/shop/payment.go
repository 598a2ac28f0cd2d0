package shop

import (
	"context"
	"errors"
	"net/http"
	"sync"
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

// payments is the payment service.
type payments struct {
	chance  *chance
	express *express
	ledger  ledger
}

// naturalFailure is the share of calls of payment and of shipping that fail on any day.
const naturalFailure = 0.005

func newPayments(c *chance) *payments {
	return &payments{chance: c, express: newExpress(c), ledger: newLedger()}
}

func (p *payments) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /charges", p.serve(p.charge))
	mux.HandleFunc("POST /express-charges", p.serve(p.express.charge))
	return mux
}

// serve books a charge once, however often a caller repeats it with the same key.
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
		payment := Payment{ID: "pay-" + c.OrderID}
		if p.ledger.has(c.OrderID) {
			answer(w, http.StatusOK, payment)
			return
		}
		if err := charge(r.Context(), c); err != nil {
			fail(w, err)
			return
		}
		p.ledger.book(c.OrderID)
		answer(w, http.StatusCreated, payment)
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

// ledger remembers the newest charges, so that a retried one is not taken twice. Safe for
// concurrent use.
type ledger struct {
	mu     *sync.Mutex
	booked map[string]bool
	order  []string // ring of the newest keys
	next   int
}

// ledgerSize bounds what is remembered: far more than a caller's longest retry takes.
const ledgerSize = 10_000

func newLedger() ledger {
	return ledger{mu: &sync.Mutex{}, booked: map[string]bool{}, order: make([]string, ledgerSize)}
}

func (l *ledger) has(order string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.booked[order]
}

func (l *ledger) book(order string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.booked[order] {
		return
	}
	delete(l.booked, l.order[l.next])
	l.booked[order], l.order[l.next] = true, order
	l.next = (l.next + 1) % len(l.order)
}
