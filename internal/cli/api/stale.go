package api

import (
	"context"
	"time"
)

// StaleReport names the flags that seem to be done with.
type StaleReport struct {
	Items []StaleFlag `json:"items"`
	// UsageSince is from when on evaluations have been noted; zero: they are not.
	UsageSince time.Time `json:"usageSince,omitzero"`
}

// StaleFlag is a flag with the reasons why it is stale.
type StaleFlag struct {
	Flag    string        `json:"flag"`
	Reasons []StaleReason `json:"reasons"`
}

// StaleReason is one reason.
type StaleReason struct {
	Code   string    `json:"code"` // expired, one_sided, unused, disabled
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"`
}

// StaleFlags gives the report.
func (c *Client) StaleFlags(ctx context.Context) (report StaleReport, err error) {
	_, err = c.do(ctx, request{method: "GET", path: "/api/v1/stale"}, &report)
	return report, err
}
