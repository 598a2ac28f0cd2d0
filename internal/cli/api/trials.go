package api

import (
	"context"

	"github.com/seatrial/seatrial/internal/core/trial"
)

const trialsPath = "/api/v1/trials"

// Trial is a trial: its plan and where it is.
type Trial struct {
	Spec     trial.Spec  `json:"spec"`
	State    trial.State `json:"state"`
	Revision int64       `json:"revision"`
}

// Trials gives all trials, sorted by name.
func (c *Client) Trials(ctx context.Context) ([]Trial, error) { return all[Trial](ctx, c, trialsPath) }

// Trial gives one trial.
func (c *Client) Trial(ctx context.Context, name string) (Trial, error) {
	t, _, err := one[Trial](ctx, c, at(trialsPath, name))
	return t, err
}

// StartTrial starts a trial by its plan; the server fills in defaults.
func (c *Client) StartTrial(ctx context.Context, spec trial.Spec, w Write) (Trial, error) {
	return send[Trial](ctx, c, "POST", trialsPath, spec, w)
}

// Act gives a running trial a command: pause, resume, advance, promote or abort.
func (c *Client) Act(ctx context.Context, name, verb, reason string) (Trial, error) {
	body := map[string]string{"verb": verb, "reason": reason}
	return send[Trial](ctx, c, "POST", at(trialsPath, name)+"/actions", body, Write{})
}
