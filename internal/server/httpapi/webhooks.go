package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// Webhooks delivers events; *notify.Notifier is one.
type Webhooks interface {
	Status(ctx context.Context, name string) (control.WebhookStatus, error)
	Ping(ctx context.Context, name string) (control.WebhookAnswer, error)
}

// shownWebhook is a webhook with how its deliveries go.
type shownWebhook struct {
	control.WebhookEntry
	Status *control.WebhookStatus `json:"status,omitempty"`
}

// createdWebhook is a webhook with a new secret, which is shown this once.
type createdWebhook struct {
	control.WebhookEntry
	Secret string `json:"secret,omitempty"`
}

// webhookBody is a webhook as people write it.
type webhookBody struct {
	Name    string                 `json:"name"`
	URL     string                 `json:"url"`
	Format  control.WebhookFormat  `json:"format"`
	Events  []control.WebhookEvent `json:"events"`
	Goal    trial.Goal             `json:"goal"`
	Trials  string                 `json:"trials"`
	Enabled *bool                  `json:"enabled"` // default true
}

func (b webhookBody) webhook() control.Webhook {
	return control.Webhook{Name: b.Name, URL: b.URL, Format: b.Format, Events: b.Events, Goal: b.Goal, Trials: b.Trials,
		Enabled: b.Enabled == nil || *b.Enabled}
}

func (c *call) showWebhook(w control.WebhookEntry) (shownWebhook, error) {
	if c.api.cfg.Webhooks == nil {
		return shownWebhook{WebhookEntry: w}, nil
	}
	status, err := c.api.cfg.Webhooks.Status(c.r.Context(), w.Name)
	return shownWebhook{w, &status}, err
}

func (c *call) listWebhooks() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	found, next := c.api.cfg.Service.ListWebhooks(p)
	items := make([]shownWebhook, 0, len(found))
	for _, w := range found {
		one, err := c.showWebhook(w)
		switch {
		case control.CodeOf(err) == control.CodeNotFound && err != nil:
			continue // deleted meanwhile
		case err != nil:
			return err
		}
		items = append(items, one)
	}
	return answerPage(c, items, next)
}

// getWebhook has an entity tag to write by, but none to read by: the status moves without it.
func (c *call) getWebhook() error {
	w, err := c.api.cfg.Service.GetWebhook(c.r.PathValue("key"))
	if err != nil {
		return err
	}
	one, err := c.showWebhook(w)
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", c.etag(w.Revision))
	return c.answer(http.StatusOK, one)
}

func (c *call) createWebhook() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body webhookBody
	if err := c.decode("webhook", &body); err != nil {
		return err
	}
	made, secret, err := c.api.cfg.Service.CreateWebhook(c.r.Context(), body.webhook(), o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, v1+"/webhooks/"+url.PathEscape(made.Name), made.Revision, createdWebhook{made, secret.Reveal()})
}

// putWebhook changes one that exists: making one gives a secret, which is what POST is for.
func (c *call) putWebhook() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body webhookBody
	if err := c.decode("webhook", &body); err != nil {
		return err
	}
	name := c.r.PathValue("key")
	if body.Name != "" && body.Name != name {
		return invalidAt("/name", "is %q, but the path says %q: a name cannot be changed, create another webhook", body.Name, name)
	}
	body.Name = name
	if err := c.webhookCondition(&o); err != nil {
		return err
	}
	changed, err := c.api.cfg.Service.PutWebhook(c.r.Context(), body.webhook(), o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, "", changed.Revision, changed)
}

// webhookCondition reads the condition of a write to a webhook that exists.
func (c *call) webhookCondition(o *control.WriteOptions) error {
	_, missing := c.api.cfg.Service.GetWebhook(c.r.PathValue("key"))
	match, err := c.conditionOf("the webhook", missing)
	if err == nil && match == control.MatchAbsent {
		err = missing
		if err == nil {
			err = &control.Error{Code: control.CodeExists, Message: "the webhook exists"}
		}
	}
	o.IfMatch = match
	return err
}

func (c *call) deleteWebhook() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	if err := c.webhookCondition(&o); err != nil {
		return err
	}
	change, err := c.api.cfg.Service.DeleteWebhook(c.r.Context(), c.r.PathValue("key"), o)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, change)
}

// rotateWebhook takes no condition: a secret that has leaked is ended whatever else has changed.
func (c *call) rotateWebhook() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		EndOld bool   `json:"endOld"`
		Reason string `json:"reason"`
	}
	if err := c.decodeOptional("rotation", &body); err != nil {
		return err
	}
	if err := c.reason(&o, body.Reason); err != nil {
		return err
	}
	changed, secret, err := c.api.cfg.Service.RotateWebhook(c.r.Context(), c.r.PathValue("key"), body.EndOld, o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, "", changed.Revision, createdWebhook{changed, secret.Reveal()})
}

// testWebhook answers 200 whatever the receiver says: that it was asked is what was wanted.
func (c *call) testWebhook() error {
	if c.api.cfg.Webhooks == nil {
		return unavailable("webhooks are not served here")
	}
	a, err := c.api.cfg.Webhooks.Ping(c.r.Context(), c.r.PathValue("key"))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, a)
}
