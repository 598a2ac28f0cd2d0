package httpapi

import (
	"context"
	"net/http"

	"github.com/seatrial/seatrial/internal/server/control"
)

// movedLever is the lever after a move, with what the move stopped.
type movedLever struct {
	control.LeverEntry
	// Complete is true if no experiment that was found runs on.
	Complete bool             `json:"complete"`
	Halted   []control.Halted `json:"halted"`
}

func (c *call) getLever() error {
	return c.answer(http.StatusOK, c.api.cfg.Service.GetLever())
}

// putLever takes no condition and no idempotency key, as halt does: a repetition changes nothing.
func (c *call) putLever() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		Off    *bool  `json:"off"`
		Reason string `json:"reason"`
	}
	if err := c.decode("lever", &body); err != nil {
		return err
	}
	if err := c.reason(&o, body.Reason); err != nil {
		return err
	}
	if body.Off == nil {
		return invalidAt("/off", "is missing: write true to put faults off, false to allow them again")
	}
	// Whoever asked may be cut off; what he wanted is done all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), workTimeout)
	defer cancel()
	if !*body.Off {
		lever, err := c.api.cfg.Service.FaultsOn(ctx, o)
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, movedLever{LeverEntry: lever, Complete: true, Halted: []control.Halted{}})
	}
	lever, halted, err := c.api.cfg.Service.FaultsOff(ctx, o)
	if err != nil {
		return err
	}
	moved := movedLever{LeverEntry: lever, Complete: true, Halted: halted}
	for _, h := range halted {
		moved.Complete = moved.Complete && h.Error == ""
	}
	return c.answer(http.StatusOK, moved)
}
