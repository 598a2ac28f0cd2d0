package seatrial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// How the client follows the control plane.
const (
	backoffBase   = time.Second
	backoffMax    = time.Minute
	healthyAfter  = time.Minute      // a stream that lived so long was a success
	slowRetry     = 5 * time.Minute  // after a refused key
	maxRetryAfter = 5 * time.Minute  // longest wait that a server can ask for
	idleTimeout   = 20 * time.Second // four bookmarks missed
	eventTimeout  = time.Minute      // for one event, however slowly it drips
	fetchTimeout  = 30 * time.Second // for a whole snapshot
	pollEvery     = 30 * time.Second
	pollAfter     = 30 * time.Second // of silence on the stream
	maxSnapshot   = 64 << 20         // bytes
)

// follower keeps a client at the control plane's state. Stream and poll run side by side and feed
// the same client, which only ever goes forward.
type follower struct {
	client     *Client
	resyncs    int       // full snapshots in a row that did not help
	nextResync time.Time // none before
}

// interruption says how a stream ended and what that means for the next one.
type interruption struct {
	err   error
	after time.Duration // wait at least so long
}

// stream follows the change stream until ctx ends.
func (f *follower) stream(ctx context.Context) {
	attempt := 0
	for ctx.Err() == nil {
		began := time.Now()
		end := f.streamOnce(ctx)
		f.client.connected(false)
		if ctx.Err() != nil {
			return
		}
		if end.err != nil {
			f.client.troubled(end.err)
		}
		if time.Since(began) >= healthyAfter {
			attempt = 0
		}
		pause(ctx, max(end.after, backoff(attempt)))
		attempt++
	}
}

// backoff draws the wait before a retry: evenly from 0 to a bound that doubles ("full jitter",
// Brooker 2015), but never nothing at all.
func backoff(attempt int) time.Duration {
	bound := min(backoffMax, backoffBase<<min(attempt, 10))
	return 10*time.Millisecond + rand.N(bound)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// ErrKeyRefused is in [Status.Error] while the control plane refuses the client's key, and in the
// error of [Open] if that waited in vain.
var ErrKeyRefused = errors.New("the SDK key is refused")

var (
	errIdle   = errors.New("the change stream is silent: reconnecting")
	errDrip   = errors.New("the change stream is too slow: reconnecting")
	errGoaway = errors.New("the server asked to reconnect")
)

// streamOnce opens one stream and handles its events until it ends.
func (f *follower) streamOnce(ctx context.Context) interruption {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(idleTimeout, func() { cancel(errIdle) })
	defer idle.Stop()
	res, err := f.client.get(ctx, "/api/v1/stream", "text/event-stream", "Last-Event-ID", f.client.current.Load().position())
	if err != nil {
		return interruption{err: causeOf(ctx, err)}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refused(res)
	}
	f.client.connected(true)
	drip := time.AfterFunc(eventTimeout, func() { cancel(errDrip) })
	defer drip.Stop()
	events := newEventReader(&pulse{res.Body, idle}, maxEvent)
	for {
		e, err := events.next()
		if errors.Is(err, errEventTooLarge) {
			f.resync(ctx, "an event was too large")
		}
		if err != nil {
			return interruption{err: causeOf(ctx, err)}
		}
		drip.Reset(eventTimeout)
		idle.Stop() // a snapshot may take its time, during which nobody listens
		wait, err := f.handle(ctx, e)
		idle.Reset(idleTimeout)
		if err != nil {
			return interruption{err: ignoreGoaway(err), after: wait}
		}
	}
}

// pulse resets a timer whenever bytes arrive.
type pulse struct {
	io.Reader
	timer *time.Timer
}

func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if n > 0 {
		p.timer.Reset(idleTimeout)
	}
	return n, err
}

func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("change stream: %w", err)
}

func ignoreGoaway(err error) error {
	if errors.Is(err, errGoaway) {
		return nil
	}
	return err
}

// handle does what one event asks for. An error ends the stream. Events of unknown name are
// passed over, so that servers can add some.
func (f *follower) handle(ctx context.Context, e event) (time.Duration, error) {
	f.client.health.setAlive()
	switch e.name {
	case "snapshot":
		var set flag.Set
		if err := json.Unmarshal(e.data, &set); err != nil {
			return 0, fmt.Errorf("change stream: snapshot: %w", err)
		}
		f.settled(f.client.install(set))
	case "delta":
		var d flag.Delta
		if err := json.Unmarshal(e.data, &d); err != nil {
			return 0, fmt.Errorf("change stream: delta: %w", err)
		}
		f.onDelta(ctx, d)
	case "bookmark":
		var m mark
		if err := json.Unmarshal(e.data, &m); err != nil {
			return 0, fmt.Errorf("change stream: bookmark: %w", err)
		}
		f.onBookmark(ctx, m)
	case "goaway":
		var g struct {
			RetryMs int64 `json:"retryMs"`
		}
		_ = json.Unmarshal(e.data, &g) // without a time the ordinary wait holds
		wait := min(max(time.Duration(g.RetryMs)*time.Millisecond, 0), maxRetryAfter)
		return wait + rand.N(wait/4+1), errGoaway
	}
	return 0, nil
}

func (f *follower) onDelta(ctx context.Context, d flag.Delta) {
	applied, err := f.client.advance(d)
	if applied && err == nil {
		f.settled(true, nil)
		return
	}
	if err != nil {
		f.client.troubled(err)
	}
	f.resync(ctx, "a change does not follow from this client's state")
}

// onBookmark compares states: a difference means that a change was lost, or that the two came
// apart. A server that is behind in the same history renews nothing but is left to catch up.
func (f *follower) onBookmark(ctx context.Context, m mark) {
	have := f.client.current.Load()
	switch {
	case have != nil && m.same(markOf(&have.set)):
		f.settled(true, nil)
	case have == nil || m.follows(markOf(&have.set)):
		f.resync(ctx, "the server is at another state")
	}
}

// settled renews the lease of faults and all that tells of freshness, but only if the client is
// where the server is: an end of faults that cannot be applied must not keep them alive.
func (f *follower) settled(there bool, err error) {
	if err != nil {
		f.client.troubled(err)
		return
	}
	if there {
		f.resyncs = 0
		f.client.renewLease()
		f.client.settledWithServer()
	}
}

// resync gets the full snapshot. Those that do not help are asked for ever more rarely.
func (f *follower) resync(ctx context.Context, why string) {
	if time.Now().Before(f.nextResync) {
		return
	}
	f.nextResync = time.Now().Add(min(backoffMax, backoffBase<<min(f.resyncs, 10)))
	f.resyncs++
	f.client.config.logger.Debug("seatrial: getting a full snapshot", "why", why)
	set, fresh, err := f.client.fetch(ctx, false)
	switch {
	case ctx.Err() != nil: // the end of the stream, or of the client, tells why
	case err != nil:
		f.client.troubled(err)
	case fresh:
		f.settled(f.client.install(set))
	}
}

// poll gets snapshots while the stream is silent, for networks that do not let streams through.
func (f *follower) poll(ctx context.Context) {
	c := f.client
	for ctx.Err() == nil {
		pause(ctx, pollEvery*4/5+rand.N(pollEvery*2/5))
		if ctx.Err() != nil || c.health.silence(c.born) < pollAfter {
			continue
		}
		set, fresh, err := c.fetch(ctx, true)
		there := true
		if err == nil && fresh {
			there, err = c.install(set)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.troubled(err)
		case there:
			c.settledWithServer()
		}
	}
}

// fetch gets the full snapshot; false means that the client has it already, which only a
// conditional request can tell.
func (c *Client) fetch(ctx context.Context, conditional bool) (flag.Set, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	tag := ""
	if at := c.current.Load(); conditional && at != nil {
		tag = strconv.Quote(at.position())
	}
	var set flag.Set
	res, err := c.get(ctx, "/api/v1/snapshot", "application/json", "If-None-Match", tag)
	if err != nil {
		return set, false, fmt.Errorf("snapshot: %w", err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusNotModified:
		return set, false, nil
	case http.StatusOK:
	default:
		return set, false, refused(res).err
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxSnapshot+1))
	if err == nil && len(data) > maxSnapshot {
		err = fmt.Errorf("it is larger than %d bytes", maxSnapshot)
	}
	if err == nil {
		err = json.Unmarshal(data, &set)
	}
	if err != nil {
		return set, false, fmt.Errorf("snapshot: %w", err)
	}
	return set, true, nil
}

// get sends a GET with one more header, left out if empty.
func (c *Client) get(ctx context.Context, path, accept, header, value string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.config.server+path, nil)
	if err != nil {
		return nil, err
	}
	c.identify(req)
	req.Header.Set("Accept", accept)
	if value != "" {
		req.Header.Set(header, value)
	}
	return c.http.Do(req)
}

// identify adds what every request to the control plane carries.
func (c *Client) identify(req *http.Request) {
	req.Header.Set("User-Agent", "seatrial-go")
	if c.config.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.key)
	}
	if c.config.environment != "" {
		req.Header.Set("Seatrial-Environment", c.config.environment)
	}
}

// refused turns a response that is no success into an error that says what to do.
func refused(res *http.Response) interruption {
	wait := retryAfter(res.Header)
	path := ""
	if res.Request != nil && res.Request.URL != nil {
		path = res.Request.URL.Path
	}
	switch res.StatusCode {
	case http.StatusUnauthorized:
		return interruption{fmt.Errorf("%s: %w: the server does not know it: check WithKey or %s", path, ErrKeyRefused, EnvKey), max(wait, slowRetry)}
	case http.StatusForbidden:
		return interruption{fmt.Errorf("%s: %w: it may not be used here: issue one of kind sdk", path, ErrKeyRefused), max(wait, slowRetry)}
	}
	return interruption{err: fmt.Errorf("%s: the server answered %s", path, res.Status), after: wait}
}

// retryAfter reads the header of that name, in seconds or as a date; 0 if there is none.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return min(max(time.Duration(seconds)*time.Second, 0), maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}

// connected notes whether the change stream is open.
func (c *Client) connected(on bool) {
	if c.health.setConnected(on) {
		c.announce()
	}
}

// troubled notes and logs what stands between client and server; the same error only once.
func (c *Client) troubled(err error) {
	if c.health.setError(err) {
		c.config.logger.Warn("seatrial: out of touch with the control plane; evaluations go on with the last known good", "server", c.config.server, "error", err)
		c.announce()
	}
}

// settledWithServer notes that the client is at the server's state.
func (c *Client) settledWithServer() {
	before := c.health.status()
	if was := c.health.setSynced(); was != nil {
		c.config.logger.Info("seatrial: in touch with the control plane", "server", c.config.server, "position", c.current.Load().position())
	}
	if !before.fresh() || before.Error != nil {
		c.announce()
	}
}
