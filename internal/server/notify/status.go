package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// progress is what the cursor's row keeps of how deliveries go.
type progress struct {
	// Webhook is the revision of the webhook that it was made with.
	Webhook int64 `json:"webhook"`
	control.WebhookStatus
}

// readProgress reads what encode wrote. What cannot be read counts as nothing: it is for people
// and for the pace only.
func readProgress(raw json.RawMessage) (p progress) {
	if len(raw) > 0 && json.Unmarshal(raw, &p) != nil {
		return progress{}
	}
	return p
}

func (p *progress) encode() json.RawMessage {
	raw, err := json.Marshal(p)
	if err != nil { // numbers, times and short texts
		return nil
	}
	return raw
}

func (p *progress) retryNow() {
	p.Attempts, p.FailingSince, p.NextAttemptAt = 0, time.Time{}, time.Time{}
}

func (p *progress) succeeded(now time.Time) {
	p.Delivered++
	p.LastSuccessAt = stamp(now)
	p.retryNow()
}

// failed counts a failed attempt and gives the pause before the next one.
func (p *progress) failed(now time.Time, a answer, jitter func(time.Duration) time.Duration) time.Duration {
	if p.Attempts == 0 {
		p.FailingSince = stamp(now)
	}
	p.Attempts++
	p.LastErrorAt, p.LastError = stamp(now), clip(a.err.Error())
	limit := longestRetry
	if n := p.Attempts - 1; n < 12 { // 2 s · 2^11 is over an hour
		limit = min(limit, firstRetry<<n)
	}
	pause := jitter(limit)
	if a.retryAfter > 0 {
		pause += min(a.retryAfter, longestAsked)
	}
	p.NextAttemptAt = stamp(now.Add(pause))
	return pause
}

func (p *progress) skip(now time.Time, id, why string) {
	p.Skipped++
	p.LastSkipped = &control.SkippedEvent{ID: id, At: stamp(now), Why: clip(why)}
	p.retryNow()
}

func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func clip(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxError)], "")
}

// Status says how the deliveries of a webhook go. It reads the store. CodeNotFound if there is no
// such webhook.
func (n *Notifier) Status(ctx context.Context, name string) (control.WebhookStatus, error) {
	target, err := n.cfg.Changes.WebhookTarget(name)
	if err != nil {
		return control.WebhookStatus{}, err
	}
	c, err := n.cfg.Cursors.Cursor(ctx, target.ID)
	if err != nil && !errors.Is(err, control.ErrNotFound) {
		return control.WebhookStatus{}, err
	}
	status := readProgress(c.Status).WebhookStatus
	n.mu.Lock()
	passed := max(n.at[target.ID], c.Revision, target.Since)
	n.mu.Unlock()
	if target.Enabled {
		status.Pending = n.cfg.Changes.TrialChangesAfter(passed)
	}
	return status, nil
}

// Ping sends a test to a webhook, also to one that is disabled, and gives what it said. It is not
// repeated, and is neither counted nor kept. CodeNotFound if there is no such webhook.
func (n *Notifier) Ping(ctx context.Context, name string) (control.WebhookAnswer, error) {
	target, err := n.cfg.Changes.WebhookTarget(name)
	if err != nil {
		return control.WebhookAnswer{}, err
	}
	start, id := time.Now(), "ping_"+strings.ToLower(rand.Text())
	body, err := n.pingOf(&target, id, start)
	if err != nil {
		return control.WebhookAnswer{}, err
	}
	a := n.send(ctx, &target, id, body)
	shown := control.WebhookAnswer{Delivered: a.err == nil, ID: id, Status: a.status, Body: a.excerpt,
		TookMs: float64(time.Since(start).Microseconds()) / 1000}
	if a.err != nil {
		shown.Error = clip(a.err.Error())
	}
	return shown, nil
}
