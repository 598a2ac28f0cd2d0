package api

import (
	"context"
	"net/url"
	"strconv"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Interval is a row of a trial's journal. State is nil where the journal keeps none: it follows
// from the states before it.
type Interval struct {
	Seq      int              `json:"seq"`
	Interval outcome.Interval `json:"interval"`
	State    *trial.State     `json:"state,omitempty"`
}

// EachInterval calls do with the intervals of a trial's attempt (0: the newest), oldest first, a
// page at a time, until do fails.
func (c *Client) EachInterval(ctx context.Context, name string, attempt int, do func(Interval) error) error {
	query := url.Values{"limit": {"1000"}}
	if attempt > 0 {
		query.Set("attempt", strconv.Itoa(attempt))
	}
	for {
		var p page[Interval]
		if _, err := c.do(ctx, request{method: "GET", path: at(trialsPath, name) + "/intervals", query: query}, &p); err != nil {
			return err
		}
		for _, one := range p.Items {
			if err := do(one); err != nil {
				return err
			}
		}
		if p.NextCursor == "" || len(p.Items) == 0 {
			return nil
		}
		query.Set("cursor", p.NextCursor)
	}
}
