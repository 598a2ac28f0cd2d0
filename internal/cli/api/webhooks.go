package api

import (
	"context"
	"time"
)

// Webhook is where people and programs are told of trials. Of its URL only scheme and host are shown.
type Webhook struct {
	ID             string        `json:"id"`
	Name           string        `json:"name"`
	URL            string        `json:"url"`
	Format         string        `json:"format"`           // json or slack
	Events         []string      `json:"events,omitempty"` // empty: all
	Goal           string        `json:"goal,omitempty"`   // of the trials; empty: any
	Trials         string        `json:"trials,omitempty"` // pattern for their names; empty: any
	Enabled        bool          `json:"enabled"`
	CreatedAt      time.Time     `json:"createdAt"`
	CreatedBy      string        `json:"createdBy"`
	OldSecretUntil time.Time     `json:"oldSecretUntil,omitzero"` // zero: only the newest secret signs
	Revision       int64         `json:"revision"`
	Status         WebhookStatus `json:"status,omitzero"` // left out in answers to writes
	// Secret is there only in the answers to CreateWebhook and RotateWebhook.
	Secret string `json:"secret,omitempty"`
}

// WebhookStatus says how the deliveries of a webhook go.
type WebhookStatus struct {
	Delivered     uint64        `json:"delivered"`
	Skipped       uint64        `json:"skipped"` // given up
	LastSkipped   *SkippedEvent `json:"lastSkipped,omitempty"`
	Pending       int           `json:"pending"` // changes of trials that it is behind
	LastSuccessAt time.Time     `json:"lastSuccessAt,omitzero"`
	LastErrorAt   time.Time     `json:"lastErrorAt,omitzero"`
	LastError     string        `json:"lastError,omitempty"`
	Attempts      int           `json:"attempts,omitempty"` // how often the next event has failed
	FailingSince  time.Time     `json:"failingSince,omitzero"`
	NextAttemptAt time.Time     `json:"nextAttemptAt,omitzero"`
}

// SkippedEvent is an event that was given up.
type SkippedEvent struct {
	ID  string    `json:"id"`
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// NewWebhook is a webhook as it is written. To change one, an empty URL keeps the one that it has.
type NewWebhook struct {
	Name    string   `json:"name,omitempty"`
	URL     string   `json:"url,omitempty"`
	Format  string   `json:"format,omitempty"`
	Events  []string `json:"events,omitempty"`
	Goal    string   `json:"goal,omitempty"`
	Trials  string   `json:"trials,omitempty"`
	Enabled bool     `json:"enabled"`
}

// WebhookAnswer is what a receiver said to a test.
type WebhookAnswer struct {
	Delivered bool    `json:"delivered"`
	ID        string  `json:"id"`
	Status    int     `json:"status,omitempty"` // of HTTP; 0: there was no answer
	Body      string  `json:"body,omitempty"`   // its beginning
	Error     string  `json:"error,omitempty"`
	TookMs    float64 `json:"tookMs"`
}

const webhooksPath = "/api/v1/webhooks"

// Webhooks gives all webhooks, sorted by name.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	return all[Webhook](ctx, c, webhooksPath)
}

// Webhook gives one webhook and its ETag.
func (c *Client) Webhook(ctx context.Context, name string) (Webhook, string, error) {
	return one[Webhook](ctx, c, at(webhooksPath, name))
}

// CreateWebhook makes a webhook. Its Secret is never shown again.
func (c *Client) CreateWebhook(ctx context.Context, n NewWebhook, w Write) (Webhook, error) {
	return send[Webhook](ctx, c, "POST", webhooksPath, n, w)
}

// PutWebhook changes a webhook that exists; w.IfMatch must be set.
func (c *Client) PutWebhook(ctx context.Context, name string, n NewWebhook, w Write) (Webhook, error) {
	return send[Webhook](ctx, c, "PUT", at(webhooksPath, name), n, w)
}

// DeleteWebhook deletes a webhook; w.IfMatch must be set.
func (c *Client) DeleteWebhook(ctx context.Context, name string, w Write) error {
	return c.remove(ctx, at(webhooksPath, name), w)
}

// RotateWebhook gives a webhook a new secret; endOld ends the old one at once.
func (c *Client) RotateWebhook(ctx context.Context, name string, endOld bool, w Write) (Webhook, error) {
	return send[Webhook](ctx, c, "POST", at(webhooksPath, name)+"/rotate", map[string]bool{"endOld": endOld}, w)
}

// TestWebhook sends a test and gives what the receiver said.
func (c *Client) TestWebhook(ctx context.Context, name string) (a WebhookAnswer, err error) {
	_, err = c.do(ctx, request{method: "POST", path: at(webhooksPath, name) + "/test"}, &a)
	return a, err
}
