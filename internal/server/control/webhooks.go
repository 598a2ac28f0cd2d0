package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// KindWebhook is the kind of webhooks in the log.
const KindWebhook EntityKind = "webhook"

// WebhookFormat says what a webhook's body looks like.
type WebhookFormat string

// The formats.
const (
	WebhookJSON  WebhookFormat = "json"  // the event as an object, for programs
	WebhookSlack WebhookFormat = "slack" // {"text": …}, which chat services take
)

// WebhookEvent names what can happen to a trial, for filters of webhooks.
type WebhookEvent string

// The events.
const (
	EventStart   WebhookEvent = "start"   // an attempt has begun
	EventStep    WebhookEvent = "step"    // the share moved
	EventHold    WebhookEvent = "hold"    // the ramp stands still, by evidence, for want of it, or by a person
	EventResume  WebhookEvent = "resume"  // it goes on
	EventApprove WebhookEvent = "approve" // a person let a step with an approval gate be left
	EventAlarm   WebhookEvent = "alarm"   // the watch after a promotion looks worse than the control did
	EventPromote WebhookEvent = "promote" // everybody gets the treatment; it is watched from now on
	EventDemote  WebhookEvent = "demote"  // a promotion was taken back
	EventEnd     WebhookEvent = "end"     // the trial is over
	EventChange  WebhookEvent = "change"  // the log has something new of it that has no other name
)

// WebhookEvents lists every event.
var WebhookEvents = []WebhookEvent{EventStart, EventStep, EventHold, EventResume, EventApprove, EventAlarm, EventPromote, EventDemote, EventEnd, EventChange}

// Webhook is where people and programs are told of trials, as a person defines it.
type Webhook struct {
	Name string // see flag.CheckKey
	// URL is called with POST; http or https, at most 2 000 bytes. Chat services put a secret into
	// it, so it is shown to nobody again, see [WebhookEntry].
	URL    string
	Format WebhookFormat // default json
	// Events are those that are told; empty: all.
	Events []WebhookEvent
	// Goal and Trials select the trials: by goal (empty: any) and by name, in which * stands for
	// any characters (empty: any).
	Goal    trial.Goal
	Trials  string
	Enabled bool
}

// WebhookEntry is a webhook as everybody may see it: without its secret, and with only the scheme
// and the host of its URL.
type WebhookEntry struct {
	ID        string         `json:"id"` // another one if it is deleted and made again
	Name      string         `json:"name"`
	URL       string         `json:"url"` // such as https://hooks.example.com/…
	Format    WebhookFormat  `json:"format"`
	Events    []WebhookEvent `json:"events,omitempty"`
	Goal      trial.Goal     `json:"goal,omitempty"`
	Trials    string         `json:"trials,omitempty"`
	Enabled   bool           `json:"enabled"`
	CreatedAt time.Time      `json:"createdAt"`
	CreatedBy string         `json:"createdBy"`
	// OldSecretUntil is how long requests are signed with the secret before the last rotation, too.
	OldSecretUntil time.Time `json:"oldSecretUntil,omitzero"`
	Revision       int64     `json:"revision"`
}

// WebhookTarget is a webhook with what is needed to call it. It is for package notify only.
type WebhookTarget struct {
	WebhookEntry
	Address Hidden // the whole URL
	Secret  Hidden // whsec_…
	// OldSecret signs too, until OldSecretUntil. Empty: there is none.
	OldSecret Hidden
	// Since is the revision from which on, exclusively, the webhook is told of changes: that of its
	// creation, or of the change that enabled it again.
	Since int64
}

// webhookRecord is a webhook as the log keeps it. Unlike those of tokens its secrets cannot be
// hashed, as they sign; whatever leaves this package goes through shown.
type webhookRecord struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	URL       string         `json:"url"`
	Format    WebhookFormat  `json:"format"`
	Events    []WebhookEvent `json:"events,omitempty"`
	Goal      trial.Goal     `json:"goal,omitempty"`
	Trials    string         `json:"trials,omitempty"`
	Enabled   bool           `json:"enabled"`
	CreatedAt time.Time      `json:"createdAt"`
	CreatedBy string         `json:"createdBy"`

	Secret         string    `json:"secret,omitempty"`
	OldSecret      string    `json:"oldSecret,omitempty"`
	OldSecretUntil time.Time `json:"oldSecretUntil,omitzero"`
}

// webhookEntry is a webhook in the projection.
type webhookEntry struct {
	record   webhookRecord
	revision int64
	since    int64 // see WebhookTarget
}

// Limits of webhooks.
const (
	maxWebhooks    = 50    // of an environment
	maxWebhookURL  = 2_000 // bytes
	maxPattern     = 256   // bytes
	keepOldSecret  = 24 * time.Hour
	anythingHidden = "/…" // what is shown in place of a path
)

// shown drops from a record what is for nobody's eyes.
func (r webhookRecord) shown() webhookRecord {
	r.URL, r.Secret, r.OldSecret = shownURL(r.URL), "", ""
	return r
}

// shownURL keeps the scheme and the host of a URL.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return anythingHidden
	}
	return u.Scheme + "://" + u.Host + anythingHidden
}

func (r webhookRecord) entry(revision int64) WebhookEntry {
	return WebhookEntry{ID: r.ID, Name: r.Name, URL: shownURL(r.URL), Format: r.Format, Events: r.Events, Goal: r.Goal,
		Trials: r.Trials, Enabled: r.Enabled, CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, OldSecretUntil: r.OldSecretUntil, Revision: revision}
}

func (e webhookEntry) target() WebhookTarget {
	return WebhookTarget{WebhookEntry: e.record.entry(e.revision), Address: Hidden(e.record.URL),
		Secret: Hidden(e.record.Secret), OldSecret: Hidden(e.record.OldSecret), Since: e.since}
}

// sinceWhen keeps from when on a webhook is told, over edits that neither make nor enable it.
func (p *projection) sinceWhen(name string, old, now *webhookEntry) {
	if old == nil || now == nil || old.record.ID != now.record.ID || now.record.Enabled && !old.record.Enabled {
		return
	}
	now.since = old.since
	p.webhooks[name] = *now
}

// ListWebhooks gives a page of the webhooks, sorted by name.
func (s *Service) ListWebhooks(p Page) (items []WebhookEntry, next string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, next := page(s.state.webhooks, p)
	for _, e := range found {
		items = append(items, e.record.entry(e.revision))
	}
	return items, next
}

// GetWebhook gives a webhook, or a *Error with CodeNotFound.
func (s *Service) GetWebhook(name string) (WebhookEntry, error) {
	target, err := s.WebhookTarget(name)
	return target.WebhookEntry, err
}

// WebhookTarget gives what is needed to call a webhook, or a *Error with CodeNotFound.
func (s *Service) WebhookTarget(name string) (WebhookTarget, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e, ok := s.state.webhooks[name]; ok {
		return e.target(), nil
	}
	return WebhookTarget{}, notFound(entity{KindWebhook, name})
}

// WebhookTargets gives what is needed to call each webhook, in no order.
func (s *Service) WebhookTargets() []WebhookTarget {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]WebhookTarget, 0, len(s.state.webhooks))
	for _, e := range s.state.webhooks {
		list = append(list, e.target())
	}
	return list
}

// CreateWebhook makes a webhook and returns its secret, which is never shown again: whsec_ and 256
// random bits in base64, by which receivers know that a request is from here (Standard Webhooks). It
// is told of what happens from now on. A repeat with the same idempotency key is a conflict. A dry
// run gives no secret. Errors: CodeInvalid with the places, CodeExists, CodePrecondition.
func (s *Service) CreateWebhook(ctx context.Context, w Webhook, o WriteOptions) (WebhookEntry, Hidden, error) {
	w, err := w.normalize()
	if err != nil {
		return WebhookEntry{}, "", err
	}
	id, secret := newTokenID(), newWebhookSecret()
	entry, err := s.putWebhook(ctx, w.Name, o, write{verb: "create webhook", input: []any{w, id}, plan: func(p *projection) (plan, error) {
		e := entity{KindWebhook, w.Name}
		if _, exists := p.webhooks[w.Name]; exists {
			return plan{}, &Error{Code: CodeExists, Message: fmt.Sprintf("%s exists already: change it, or take another name", e)}
		}
		if len(p.webhooks) >= maxWebhooks {
			return plan{}, precondition("webhook: there are %d webhooks, no more are allowed: delete some first", len(p.webhooks))
		}
		record := webhookRecord{ID: id, CreatedAt: s.now(), CreatedBy: o.Actor, Secret: secret}
		record.set(w)
		op, err := setOp(KindWebhook, w.Name, record)
		return plan{ops: []Op{op}}, err
	}})
	return entry, givenSecret(secret, o, err), secretOnce(err)
}

// PutWebhook changes a webhook as a whole, but for its secret. An empty URL, or one as [WebhookEntry]
// shows it, stays what it is. Errors: those of CreateWebhook, CodeNotFound.
func (s *Service) PutWebhook(ctx context.Context, w Webhook, o WriteOptions) (WebhookEntry, error) {
	return s.editWebhook(ctx, w.Name, o, write{verb: "put webhook", input: []any{w}}, func(r *webhookRecord) error {
		next := w
		if next.URL == "" || next.URL == shownURL(r.URL) {
			next.URL = r.URL
		}
		next, err := next.normalize()
		r.set(next)
		return err
	})
}

// RotateWebhook gives a webhook a new secret and returns it, once. Requests are signed with the old
// one, too, for 24 hours, so that the receiver can change over; with endOld at once with the new one
// only, for a secret that has leaked.
func (s *Service) RotateWebhook(ctx context.Context, name string, endOld bool, o WriteOptions) (WebhookEntry, Hidden, error) {
	secret := newWebhookSecret()
	w := write{verb: "rotate webhook", input: []any{name, endOld, newTokenID()}}
	entry, err := s.editWebhook(ctx, name, o, w, func(r *webhookRecord) error {
		r.OldSecret, r.OldSecretUntil = r.Secret, s.now().Add(keepOldSecret)
		if r.Secret = secret; endOld {
			r.OldSecret, r.OldSecretUntil = "", time.Time{}
		}
		return nil
	})
	return entry, givenSecret(secret, o, err), secretOnce(err)
}

// DeleteWebhook removes a webhook; what it was not told yet, it is told no more.
func (s *Service) DeleteWebhook(ctx context.Context, name string, o WriteOptions) (Change, error) {
	return s.delete(ctx, entity{KindWebhook, name}, o, func(*projection) error { return nil })
}

func (s *Service) editWebhook(ctx context.Context, name string, o WriteOptions, w write, edit func(*webhookRecord) error) (WebhookEntry, error) {
	w.plan = func(p *projection) (plan, error) {
		e := entity{KindWebhook, name}
		old, ok := p.webhooks[name]
		if !ok {
			return plan{}, notFound(e)
		}
		if err := o.IfMatch.match(e, old.revision); err != nil {
			return plan{}, err
		}
		record := old.record
		if err := edit(&record); err != nil {
			return plan{}, err
		}
		op, err := setOp(KindWebhook, name, record)
		return plan{ops: []Op{op}, before: old.revision}, err
	}
	return s.putWebhook(ctx, name, o, w)
}

func (s *Service) putWebhook(ctx context.Context, name string, o WriteOptions, w write) (WebhookEntry, error) {
	c, err := s.commit(ctx, o, w)
	if err != nil {
		return WebhookEntry{}, err
	}
	record, err := stored[webhookRecord](c, entity{KindWebhook, name})
	return record.entry(c.Revision), err
}

func givenSecret(secret string, o WriteOptions, err error) Hidden {
	if o.DryRun || err != nil {
		return ""
	}
	return Hidden(secret)
}

func secretOnce(err error) error {
	if errors.Is(err, ErrIdempotencyMismatch) {
		return &Error{Code: CodeConflict, Err: err, Message: "webhook: this idempotency key has made something already; if it was a secret, it cannot be shown again: rotate it with a new key"}
	}
	return err
}

func (r *webhookRecord) set(w Webhook) {
	r.Name, r.URL, r.Format, r.Events, r.Goal, r.Trials, r.Enabled = w.Name, w.URL, w.Format, w.Events, w.Goal, w.Trials, w.Enabled
}

// normalize checks a webhook and fills in defaults.
func (w Webhook) normalize() (Webhook, error) {
	if w.Format == "" {
		w.Format = WebhookJSON
	}
	problems := &flag.Problems{Subject: fmt.Sprintf("webhook %q", w.Name)}
	if err := flag.CheckKey(w.Name); err != nil {
		problems.Add("/name", "%v", err)
	}
	if err := checkWebhookURL(w.URL); err != nil {
		problems.Add("/url", "%v", err)
	}
	if w.Format != WebhookJSON && w.Format != WebhookSlack {
		problems.Add("/format", "%q is unknown: use json or slack%s", w.Format, flag.Suggest(string(w.Format), slices.Values([]string{"json", "slack"})))
	}
	for i, e := range w.Events {
		switch {
		case !slices.Contains(WebhookEvents, e):
			problems.Add(flag.Pointer("/events", i), "%q is unknown: use %s", e, eventWords())
		case slices.Contains(w.Events[:i], e):
			problems.Add(flag.Pointer("/events", i), "%q is there twice: keep one of the two", e)
		}
	}
	if !slices.Contains([]trial.Goal{"", trial.GoalPromote, trial.GoalSurvive, trial.GoalCalibrate}, w.Goal) {
		problems.Add("/goal", "%q is unknown: use promote, survive or calibrate, or leave it out for all", w.Goal)
	}
	if len(w.Trials) > maxPattern || strings.ContainsFunc(w.Trials, unicode.IsControl) {
		problems.Add("/trials", "a pattern has at most %d bytes on one line, such as checkout-*", maxPattern)
	}
	return w, asInvalid(problems.Err())
}

func eventWords() string {
	words := make([]string, len(WebhookEvents))
	for i, e := range WebhookEvents {
		words[i] = string(e)
	}
	return strings.Join(words, ", ")
}

// checkWebhookURL checks what can be told without the network. Whether the address may be called is
// decided when the connection is made, as names can change what they stand for.
func checkWebhookURL(text string) error {
	switch {
	case text == "":
		return errors.New("is missing: say where to send events, such as https://hooks.example.com/seatrial")
	case len(text) > maxWebhookURL:
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(text), maxWebhookURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.ContainsFunc(text, unicode.IsControl) || strings.Contains(text, "…"):
		return errors.New("cannot be read: write it as https://hooks.example.com/seatrial, percent-encoded") // the error of url would show it
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("begins with %q: use https, or http", u.Scheme)
	case u.Hostname() == "":
		return errors.New("has no host: write it as https://hooks.example.com/seatrial")
	case u.User != nil:
		return errors.New("has a name or a password before the host: requests are signed instead, so leave them out")
	case u.Fragment != "":
		return errors.New("has a fragment (#…), which is never sent: leave it out")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("has port %s: use 1 to 65535", port)
		}
	}
	return nil
}

// withoutSecrets drops everything from a webhook's record but what is known to be harmless.
func withoutSecrets(raw json.RawMessage) json.RawMessage {
	var record webhookRecord
	if err := json.Unmarshal(raw, &record); err != nil {
		return json.RawMessage("{}")
	}
	shown, err := json.Marshal(record.shown())
	if err != nil {
		return json.RawMessage("{}")
	}
	return shown
}
