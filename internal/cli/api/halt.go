package api

import "context"

// NewHalt asks for a halt.
type NewHalt struct {
	Reason string `json:"reason,omitempty"`
	// AllEnvironments halts every environment of the server, not only that of the client.
	AllEnvironments bool `json:"allEnvironments,omitempty"`
}

// Halted is what a halt did. Complete is true if nothing that was found runs on.
type Halted struct {
	Complete     bool                `json:"complete"`
	Environments []HaltedEnvironment `json:"environments"`
}

// HaltedEnvironment is what a halt did in one environment.
type HaltedEnvironment struct {
	Environment string        `json:"environment"`
	Trials      []HaltedTrial `json:"trials"` // sorted by name
	// Error says why the environment could not be halted as a whole; what is not among Trials may
	// run on.
	Error string `json:"error,omitempty"`
}

// HaltedTrial is one trial that a halt found running.
type HaltedTrial struct {
	Trial    string `json:"trial"`
	Goal     string `json:"goal"`
	Attempt  int    `json:"attempt"`
	Was      string `json:"was"`                // the phase in which it was found
	Result   string `json:"result,omitempty"`   // aborted; empty if it could not be stopped
	Revision int64  `json:"revision,omitempty"` // of the change that ended it
	Error    string `json:"error,omitempty"`    // why it could not be stopped; it runs on
}

// Halt stops every running trial at once. Of w only DryRun counts; the reason is that of h.
func (c *Client) Halt(ctx context.Context, h NewHalt, w Write) (Halted, error) {
	return send[Halted](ctx, c, "POST", "/api/v1/halt", h, Write{DryRun: w.DryRun})
}
