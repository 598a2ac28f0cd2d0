package httpapi

import (
	"net/http"

	"github.com/seatrial/seatrial/internal/server/control"
)

// status is the answer of the probes.
type status struct {
	Status string `json:"status"`
}

// livez says that the process runs. It asks nobody else, since a restart would help nobody else.
func (c *call) livez() error { return c.answer(http.StatusOK, status{"live"}) }

// readyz says whether the server can serve now, and if not, why.
func (c *call) readyz() error {
	if c.api.cfg.Ready != nil {
		if err := c.api.cfg.Ready(c.r.Context()); err != nil {
			return &control.Error{Code: control.CodeUnavailable, Message: "not ready: " + err.Error(), Err: err}
		}
	}
	return c.answer(http.StatusOK, status{"ready"})
}

// metrics writes the server's own figures.
func (c *call) metrics() error {
	if c.api.cfg.Metrics == nil {
		return unavailable("this server has no metrics")
	}
	c.w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	c.api.cfg.Metrics(c.w)
	return nil
}
