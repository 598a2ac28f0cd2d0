package shop

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestExpressIsBroken holds what the demo's second scene lives by: whose card goes to the first
// acquirer can never pay, everybody else can, and the proven path serves all.
func TestExpressIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPayments(newChance(1, "payment"))
		failed := map[string]int{}
		took := map[string]time.Duration{}
		const cards = 400
		for i := range cards {
			c := Charge{OrderID: "o", UserID: fmt.Sprintf("user-%d", i), Cents: 100}
			for path, charge := range map[string]func() error{
				"express": func() error { return p.express.charge(t.Context(), c) },
				"proven":  func() error { return p.charge(t.Context(), c) },
			} {
				start := time.Now()
				err := charge()
				took[path] += time.Since(start)
				if noLine := errors.Is(err, errNoConnection); noLine != (path == "express" && acquirerOf(c.UserID) == 0) {
					t.Fatalf("%s charge of %s at acquirer %d: %v", path, c.UserID, acquirerOf(c.UserID), err)
				}
				if err != nil {
					failed[path]++
				}
			}
		}
		if failed["express"] < cards/5 || failed["express"] > cards/3 {
			t.Errorf("%d of %d express charges failed, want about a quarter", failed["express"], cards)
		}
		if failed["proven"] > cards/50 {
			t.Errorf("%d of %d proven charges failed, want hardly any", failed["proven"], cards)
		}
		if took["express"] < 2*took["proven"] {
			t.Errorf("express took %v, the proven path %v; want express to be much slower", took["express"], took["proven"])
		}
	})
}
