package seatrial

import "context"

// Carry gives ctx with the decisions on faults of its unit of work in the baggage of OpenTelemetry,
// for a call to another service that is about to be made: one decision holds for a unit of work
// wherever it leads. While no chaos experiment runs it gives ctx as it is. Adapters call it before
// they inject the baggage into the call.
func (c *Client) Carry(ctx context.Context) context.Context {
	return ctx
}

// Carry is [Client.Carry] of the client that the dependency belongs to.
func (d *Dependency) Carry(ctx context.Context) context.Context {
	if d == nil || d.client == nil {
		return ctx
	}
	return d.client.Carry(ctx)
}
