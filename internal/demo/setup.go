package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/resilience"
)

// The flags of the shop, and the variants of those that are not on or off.
const (
	flagRecommend = "new-recommendation-algorithm"
	flagExpress   = "express-checkout"
	flagPolicy    = "policy-payment"
	flagTrouble   = "payment-trouble"

	variantOn, variantOff = "on", "off"
)

// groups of customers that get new things first.
var groups = []string{"internal-users", "beta-testers"}

// paymentPolicy is how the shop protects its calls to payment: give up on a slow attempt, try
// again, and stop asking when nothing works.
func paymentPolicy() resilience.Policy {
	return resilience.Policy{
		Timeout:    3 * time.Second,
		TryTimeout: 400 * time.Millisecond,
		Retry:      &resilience.RetryPolicy{MaxAttempts: 6, BaseDelay: 5 * time.Millisecond, MaxDelay: 50 * time.Millisecond, Budget: 0.3},
		Breaker:    &resilience.BreakerPolicy{FailureRatio: 0.5, Window: 5 * time.Second, MinCalls: 50, OpenFor: time.Second, Probes: 3},
	}
}

// paymentTrouble is a bad day of the payment service: a third of the calls fail at once, hang, or
// are cut off.
func paymentTrouble() *fault.Program {
	return &fault.Program{Point: "payment", Rate: 0.35, Faults: []fault.Fault{
		{Kind: fault.KindError, Weight: 2, Status: 503, Code: "UNAVAILABLE", Message: "payment is down"},
		{Kind: fault.KindLatency, Weight: 1, Min: 500 * time.Millisecond, Max: 900 * time.Millisecond},
		{Kind: fault.KindCancel, Weight: 1},
	}}
}

func (w *world) writeFlags(ctx context.Context) error {
	for _, s := range demoSegments() {
		if _, err := w.api.CreateSegment(ctx, s, api.Write{}); err != nil {
			return fmt.Errorf("segment %s: %w", s.Key, err)
		}
	}
	flags, err := demoFlags()
	if err != nil {
		return err
	}
	for _, f := range flags {
		if _, err := w.api.CreateFlag(ctx, f, api.Write{}); err != nil {
			return fmt.Errorf("flag %s: %w", f.Key, err)
		}
	}
	return nil
}

// demoSegments are the groups, by the attribute that the shop gives its users.
func demoSegments() []flag.Segment {
	var all []flag.Segment
	for _, group := range groups {
		member := json.RawMessage(strconv.Quote(group))
		all = append(all, flag.Segment{Key: group, When: &flag.Condition{Attribute: "groups", Op: flag.OpIn, Values: []json.RawMessage{member}}})
	}
	return all
}

func demoFlags() ([]flag.Flag, error) {
	policy, err := json.Marshal(paymentPolicy())
	if err != nil {
		return nil, err
	}
	trouble, err := json.Marshal(paymentTrouble())
	if err != nil {
		return nil, err
	}
	return []flag.Flag{
		newFlag(flagRecommend, flag.KindRelease, flag.TypeBoolean, "recommend what was bought together, not what sells best", "true", "false"),
		newFlag(flagExpress, flag.KindRelease, flag.TypeBoolean, "charge by the express path, without a risk check", "true", "false"),
		newFlag(flagPolicy, flag.KindPolicy, flag.TypeObject, "how the shop protects its calls to payment", string(policy), "null"),
		newFlag(flagTrouble, flag.KindFault, flag.TypeObject, "a bad day of the payment service", string(trouble), "null"),
	}, nil
}

func newFlag(key string, kind flag.Kind, typ flag.Type, description, on, off string) flag.Flag {
	return flag.Flag{
		Key: key, Kind: kind, Type: typ, Description: description, Enabled: true, DefaultVariant: variantOff,
		Variants: []flag.Variant{{Name: variantOn, Value: json.RawMessage(on)}, {Name: variantOff, Value: json.RawMessage(off)}},
	}
}

// serve makes variant the one that everybody gets who is in no trial.
func (w *world) serve(ctx context.Context, key, variant, reason string) error {
	f, etag, err := w.api.Flag(ctx, key)
	if err != nil {
		return err
	}
	f.DefaultVariant = variant
	_, err = w.api.PutFlag(ctx, f.Flag, api.Write{IfMatch: etag, Reason: reason})
	return err
}
