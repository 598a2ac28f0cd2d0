package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func (c *call) listSchedules() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	filter := control.ScheduleFilter{Flag: c.param("flag"), State: control.ScheduleState(c.param("state"))}
	states := []control.ScheduleState{"", control.SchedulePending, control.ScheduleDone, control.ScheduleFailed, control.ScheduleCancelled}
	if !slices.Contains(states, filter.State) {
		return invalid("query parameter state is %q: write pending, done, failed or cancelled", filter.State)
	}
	items, next := c.api.cfg.Service.ListSchedules(filter, p)
	return answerPage(c, items, next)
}

func (c *call) getSchedule() error {
	entry, err := c.api.cfg.Service.GetSchedule(c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, entry)
}

func (c *call) createSchedule() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		Flag   string          `json:"flag"`
		At     time.Time       `json:"at"`
		Patch  json.RawMessage `json:"patch"`
		Reason string          `json:"reason"`

		Trial   *trial.Spec    `json:"trial"`
		Every   trial.Duration `json:"every"`
		Between string         `json:"between"`
	}
	if err := c.decode("schedule", &body); err != nil {
		return err
	}
	if err := c.reason(&o, body.Reason); err != nil {
		return err
	}
	entry, err := c.api.cfg.Service.CreateSchedule(c.r.Context(), control.NewSchedule{Flag: body.Flag, At: body.At, Patch: body.Patch, Reason: o.Reason,
		Trial: body.Trial, Every: time.Duration(body.Every), Between: body.Between}, o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, v1+"/schedules/"+url.PathEscape(entry.ID), entry.Revision, entry)
}

// cancelSchedule takes no condition: who stops something must not fail because it has moved.
func (c *call) cancelSchedule() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	entry, err := c.api.cfg.Service.CancelSchedule(c.r.Context(), c.r.PathValue("id"), o)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, entry)
}
