package api

import (
	"context"
	"time"
)

// Lever says whether faults are allowed in the environment.
type Lever struct {
	Off      bool      `json:"off"`
	Reason   string    `json:"reason,omitempty"` // why it was moved last
	By       string    `json:"by,omitempty"`     // an actor
	At       time.Time `json:"at,omitzero"`      // zero if nobody ever moved it
	Revision int64     `json:"revision"`
}

// MovedLever is the lever after a move, with what the move stopped.
type MovedLever struct {
	Lever
	// Complete is true if no experiment that was found runs on.
	Complete bool          `json:"complete"`
	Halted   []HaltedTrial `json:"halted"` // sorted by name
}

const leverPath = "/api/v1/chaos"

// Lever gives the lever as it stands.
func (c *Client) Lever(ctx context.Context) (Lever, error) {
	l, _, err := one[Lever](ctx, c, leverPath)
	return l, err
}

// MoveLever puts faults off, which aborts every running experiment, or allows them again. Of w only
// Reason, which is required, and DryRun count.
func (c *Client) MoveLever(ctx context.Context, off bool, w Write) (MovedLever, error) {
	body := struct {
		Off    bool   `json:"off"`
		Reason string `json:"reason"`
	}{off, w.Reason}
	return send[MovedLever](ctx, c, "PUT", leverPath, body, Write{DryRun: w.DryRun})
}

// TrialURL is where the HTTP API has a trial, for documents that refer to it.
func (c *Client) TrialURL(name string) string { return c.server + at(trialsPath, name) }
