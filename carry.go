package seatrial

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/baggage"
)

// Carry gives ctx with the decisions on faults of its unit of work in the baggage of OpenTelemetry
// (member "seatrial.fault"), for a call to another service that is about to be made: one decision
// holds for a unit of work wherever it leads. What came with the request is handed on; else the
// decision is made here, once. Who receives it uses it in place of a decision of its own, and keeps
// to its own caps: it can do less, never more.
//
// The member has no personal data, and is signed with a secret that only the control plane and its
// clients know. While no chaos experiment runs Carry gives ctx as it is. Adapters call it before they
// inject the baggage into the call. A nil client, or ctx, is given back.
func (c *Client) Carry(ctx context.Context) context.Context {
	if c == nil || ctx == nil {
		return ctx
	}
	at := c.current.Load()
	if at == nil || len(at.experiments) == 0 {
		return ctx
	}
	return c.carry(ctx, at)
}

func (c *Client) carry(ctx context.Context, at *snapshot) context.Context {
	where := scopeOf(ctx)
	var member strings.Builder
	carried := 0
	for _, x := range at.experiments {
		entry := c.signedPart(ctx, where, at, x).entry
		if entry == "" || carried == maxCarried {
			continue
		}
		if carried++; carried > 1 {
			member.WriteString(separator)
		}
		member.WriteString(entry)
	}
	bag := baggage.FromContext(ctx)
	if carried == 0 || bag.Member(baggageKey).Value() == member.String() {
		return ctx
	}
	decisions, err := baggage.NewMemberRaw(baggageKey, member.String())
	if err != nil {
		return ctx
	}
	if bag, err = bag.SetMember(decisions); err != nil { // it is full
		return ctx
	}
	return baggage.ContextWithBaggage(ctx, bag)
}

// Carry is [Client.Carry] of the client that the dependency belongs to.
func (d *Dependency) Carry(ctx context.Context) context.Context {
	if d == nil {
		return ctx
	}
	return d.client.Carry(ctx)
}
