package api

import (
	"context"
	"net/url"
	"strconv"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

const trialsPath = "/api/v1/trials"

// Trial is a trial: its plan and where it is.
type Trial struct {
	Spec     trial.Spec  `json:"spec"`
	State    trial.State `json:"state"`
	Revision int64       `json:"revision"`
}

// Interval is one weighed interval of a trial with the state it led to.
type Interval struct {
	Seq      int              `json:"seq"`
	Interval outcome.Interval `json:"interval"`
	State    trial.State      `json:"state"`
}

// Trials gives all trials, sorted by name.
func (c *Client) Trials(ctx context.Context) ([]Trial, error) { return all[Trial](ctx, c, trialsPath) }

// Trial gives one trial.
func (c *Client) Trial(ctx context.Context, name string) (t Trial, err error) {
	_, err = c.do(ctx, request{method: "GET", path: trialsPath + "/" + url.PathEscape(name)}, &t)
	return t, err
}

// StartTrial starts a trial by its plan; the server fills in defaults.
func (c *Client) StartTrial(ctx context.Context, spec trial.Spec, w Write) (t Trial, err error) {
	_, err = c.do(ctx, request{method: "POST", path: trialsPath, body: spec, write: &w}, &t)
	return t, err
}

// Act gives a running trial a command: pause, resume, advance, promote or abort.
func (c *Client) Act(ctx context.Context, name, verb, reason string) (t Trial, err error) {
	body := map[string]string{"verb": verb, "reason": reason}
	path := trialsPath + "/" + url.PathEscape(name) + "/actions"
	_, err = c.do(ctx, request{method: "POST", path: path, body: body, write: &Write{}}, &t)
	return t, err
}

// Intervals gives the weighed intervals of a trial's newest attempt after a sequence number, in
// order, at most limit.
func (c *Client) Intervals(ctx context.Context, name string, after, limit int) ([]Interval, error) {
	var p page[Interval]
	query := url.Values{"after": {strconv.Itoa(after)}, "limit": {strconv.Itoa(limit)}}
	path := trialsPath + "/" + url.PathEscape(name) + "/intervals"
	_, err := c.do(ctx, request{method: "GET", path: path, query: query}, &p)
	return p.Items, err
}
