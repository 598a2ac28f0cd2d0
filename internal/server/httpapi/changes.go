package httpapi

import (
	"net/http"
	"strconv"

	"github.com/seatrial/seatrial/internal/server/control"
)

// listChanges serves the log. The cursor is the last revision that was shown, in either order.
func (c *call) listChanges() error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	switch c.param("order") {
	case "", "oldest":
	case "newest":
		return c.newestChanges(orHundred(limit))
	default:
		return invalid("query parameter order is %q: write oldest or newest", c.param("order"))
	}
	after, err := c.numberCursor("after")
	if err != nil {
		return err
	}
	limit = orHundred(limit)
	items, err := c.api.cfg.Service.ListChanges(c.r.Context(), after, limit)
	if err != nil {
		return err
	}
	return answerPage(c, items, lastRevision(items, limit))
}

func (c *call) newestChanges(limit int) error {
	after, err := c.intParam("after", 0, 1<<53)
	if err != nil {
		return err
	}
	before, err := c.numberCursor("")
	if err != nil {
		return err
	}
	items, err := c.api.cfg.Service.NewestChanges(c.r.Context(), after, before, limit)
	if err != nil {
		return err
	}
	return answerPage(c, items, lastRevision(items, limit))
}

// lastRevision is the cursor after a full page.
func lastRevision(items []control.Change, limit int) string {
	if len(items) < limit {
		return ""
	}
	return strconv.FormatInt(items[len(items)-1].Revision, 10)
}

// history serves the changes to one entity, the newest first.
func history(kind control.EntityKind) func(*call) error {
	return func(c *call) error {
		limit, err := c.limit()
		if err != nil {
			return err
		}
		before, err := c.numberCursor("before")
		if err != nil {
			return err
		}
		limit = orHundred(limit)
		items, err := c.api.cfg.Service.History(c.r.Context(), kind, c.r.PathValue("key"), before, limit)
		if err != nil {
			return err
		}
		return answerPage(c, items, lastRevision(items, limit))
	}
}

// revision reads the revision in the path.
func (c *call) revision() (int64, error) {
	text := c.r.PathValue("revision")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, invalid("revision %q is not a number from 1 on", text)
	}
	return n, nil
}

func (c *call) getChange() error {
	revision, err := c.revision()
	if err != nil {
		return err
	}
	change, err := c.api.cfg.Service.GetChange(c.r.Context(), revision)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, change)
}

func (c *call) revertChange() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	revision, err := c.revision()
	if err != nil {
		return err
	}
	var body struct {
		Reason string `json:"reason"`
	}
	if err := c.decodeOptional("revert", &body); err != nil {
		return err
	}
	if err := c.reason(&o, body.Reason); err != nil {
		return err
	}
	change, err := c.api.cfg.Service.Revert(c.r.Context(), revision, o)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if o.DryRun {
		status = http.StatusOK
	} else {
		c.w.Header().Set("Location", v1+"/changes/"+strconv.FormatInt(change.Revision, 10))
	}
	return c.answer(status, change)
}
