package api

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// Schedule is something that the control plane does at a time: an edit of a flag (Patch) or the
// start of an experiment (Trial).
type Schedule struct {
	ID        string          `json:"id"`
	Flag      string          `json:"flag"`
	At        time.Time       `json:"at"`              // of a repeated start the next time
	Patch     json.RawMessage `json:"patch,omitempty"` // JSON merge patch of the flag
	Trial     *trial.Spec     `json:"trial,omitempty"`
	Every     trial.Duration  `json:"every,omitempty"` // 0: once
	Between   string          `json:"between,omitempty"`
	First     time.Time       `json:"first,omitzero"`
	Tries     []ScheduleTry   `json:"tries,omitempty"` // the last ones, oldest first
	Reason    string          `json:"reason,omitempty"`
	CreatedAt time.Time       `json:"createdAt"`
	CreatedBy string          `json:"createdBy"`
	State     string          `json:"state"`            // pending, done, failed, cancelled
	EndedAt   time.Time       `json:"endedAt,omitzero"` // zero while it is pending
	Failure   string          `json:"failure,omitempty"`
	Revision  int64           `json:"revision"`
}

// ScheduleTry is one time at which an experiment was to be started.
type ScheduleTry struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt,omitempty"` // that was started; 0: none
	Skipped string    `json:"skipped,omitempty"` // why none was
}

// NewSchedule asks for a schedule: of a patch of a flag, or of starts of a trial. The reason is that
// of the write.
type NewSchedule struct {
	Flag    string          `json:"flag,omitempty"`
	At      time.Time       `json:"at,omitzero"` // zero: when the hours of Between begin
	Patch   json.RawMessage `json:"patch,omitempty"`
	Trial   *trial.Spec     `json:"trial,omitempty"`
	Every   trial.Duration  `json:"every,omitempty"`
	Between string          `json:"between,omitempty"`
}

// ScheduleFilter selects schedules; empty fields select all.
type ScheduleFilter struct{ Flag, State string }

const schedulesPath = "/api/v1/schedules"

// Schedules gives the selected schedules, the first due first.
func (c *Client) Schedules(ctx context.Context, f ScheduleFilter) ([]Schedule, error) {
	query := url.Values{}
	if f.Flag != "" {
		query.Set("flag", f.Flag)
	}
	if f.State != "" {
		query.Set("state", f.State)
	}
	return allOf[Schedule](ctx, c, schedulesPath, query)
}

// Schedule gives one schedule.
func (c *Client) Schedule(ctx context.Context, id string) (Schedule, error) {
	s, _, err := one[Schedule](ctx, c, at(schedulesPath, id))
	return s, err
}

// CreateSchedule plans an edit.
func (c *Client) CreateSchedule(ctx context.Context, n NewSchedule, w Write) (Schedule, error) {
	return send[Schedule](ctx, c, "POST", schedulesPath, n, w)
}

// CancelSchedule ends a pending schedule before its time.
func (c *Client) CancelSchedule(ctx context.Context, id string, w Write) (s Schedule, err error) {
	_, err = c.do(ctx, request{method: "DELETE", path: at(schedulesPath, id), write: &w}, &s)
	return s, err
}
