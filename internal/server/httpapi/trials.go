package httpapi

import (
	"net/url"
	"strconv"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func (c *call) listTrials() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	items, next := c.api.cfg.Service.ListTrials(p)
	return answerPage(c, items, next)
}

func (c *call) getTrial() error {
	t, err := c.api.cfg.Service.GetTrial(c.r.PathValue("key"))
	if err != nil {
		return err
	}
	// No entity tag to read by: the state moves with every interval, the revision does not.
	c.w.Header().Set("ETag", c.etag(t.Revision))
	return c.answer(200, t)
}

func (c *call) startTrial() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var spec trial.Spec
	if err := c.decode("trial", &spec); err != nil {
		return err
	}
	t, err := c.api.cfg.Service.StartTrial(c.r.Context(), spec, o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, v1+"/trials/"+url.PathEscape(t.Spec.Name), t.Revision, t)
}

// commandTrial takes a command for a trial. If-Match is optional: a person's stop must not fail
// because the automation was faster.
func (c *call) commandTrial() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		Verb   string `json:"verb"`
		Reason string `json:"reason"`
	}
	if err := c.decode("action", &body); err != nil {
		return err
	}
	if err := c.reason(&o, body.Reason); err != nil {
		return err
	}
	if o.IfMatch, _, err = c.condition(); err != nil {
		return err
	}
	t, err := c.api.cfg.Service.CommandTrial(c.r.Context(), c.r.PathValue("key"), body.Verb, o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, "", t.Revision, t)
}

// reason takes the reason of the body, which may also stand in the query.
func (c *call) reason(o *control.WriteOptions, inBody string) error {
	switch {
	case inBody == "":
	case o.Reason != "" && o.Reason != inBody:
		return invalidAt("/reason", "is another one than that in the query: give one")
	case len(inBody) > control.MaxReason:
		return invalidAt("/reason", "has %d bytes: at most %d are allowed, shorten it", len(inBody), control.MaxReason)
	default:
		o.Reason = inBody
	}
	return nil
}

func (c *call) listIntervals() error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	after, err := c.numberCursor("after")
	if err != nil {
		return err
	}
	attempt, err := c.intParam("attempt", 0, 1<<31)
	if err != nil {
		return err
	}
	limit = orHundred(limit)
	items, err := c.api.cfg.Service.Intervals(c.r.Context(), c.r.PathValue("key"), int(attempt), int(after), limit)
	if err != nil {
		return err
	}
	next := ""
	if len(items) == limit {
		next = strconv.Itoa(items[limit-1].Seq)
	}
	return answerPage(c, items, next)
}

func orHundred(limit int) int {
	if limit == 0 {
		return 100
	}
	return limit
}
