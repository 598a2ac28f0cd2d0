package httpapi

import "net/http"

// restoreFlag makes a flag what it was at a revision. If-Match is optional.
func (c *call) restoreFlag() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		Revision int64  `json:"revision"`
		Reason   string `json:"reason"`
	}
	if err := c.decode("restore", &body); err != nil {
		return err
	}
	if body.Revision < 1 {
		return invalidAt("/revision", "is %d: give the revision whose flag is wanted; the flag's history has them", body.Revision)
	}
	if err := c.reason(&o, body.Reason); err != nil {
		return err
	}
	if o.IfMatch, _, err = c.condition(); err != nil {
		return err
	}
	entry, err := c.api.cfg.Service.RestoreFlag(c.r.Context(), c.r.PathValue("key"), body.Revision, o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, "", entry.Revision, entry)
}

func (c *call) listStale() error { return c.answer(http.StatusOK, c.api.cfg.Service.StaleFlags()) }
