package seatrial

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	// maxQueued bounds the flushes that wait to be sent. While the queue is full nothing is
	// lost: counts stay with the trials and go with a later flush, since they add up.
	maxQueued     = 8
	maxSeries     = 500              // in one request: some megabytes at most
	maxCounted    = 4_000            // events of arms in one request, for the same reason
	reportTimeout = 30 * time.Second // for one attempt
	maxRefusals   = 8                // answers 5xx, other than "later", to one flush
)

// reporter sends flushes to the control plane: one at a time and in order, because the receiver
// takes points of a series that come late for repetitions; each until it is taken or refused,
// with the same bytes, so that a repetition is known as one.
type reporter struct {
	client   *Client
	identity identity
	sending  context.Context // ends all attempts
	abandon  context.CancelFunc

	mu      sync.Mutex
	queue   [][]byte // the first is being sent
	seen    seenReports
	told    tellings
	dropped int
	refusal error         // why the last one was refused
	lost    error         // what close could not send
	changed chan struct{} // closed and replaced with each change of the above
}

func newReporter(c *Client) *reporter {
	r := &reporter{client: c, changed: make(chan struct{})}
	r.identity = identity{service: c.config.service, instance: newInstanceID(), born: c.born}
	r.sending, r.abandon = context.WithCancel(context.Background())
	return r
}

// newInstanceID makes a random UUID (RFC 9562, version 4).
func newInstanceID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// flushEvery flushes at about the interval until ctx ends. The times are spread, so that
// processes that started together do not report together for ever.
func (c *Client) flushEvery(ctx context.Context, interval time.Duration) {
	for ctx.Err() == nil {
		pause(ctx, interval*9/10+mathrand.N(interval/5))
		if ctx.Err() == nil {
			c.flush(false)
		}
	}
}

// flush hands what was counted since the last flush over to be sent, and which flags were evaluated,
// what calls came to points and how dependencies stand: those not more often than once a minute unless
// there is news, or all is true. False means that there was no room;
// then the counts stay where they are.
func (c *Client) flush(all bool) bool {
	r := c.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= maxQueued {
		return false
	}
	now := time.Now()
	counted := c.outcomes.take(now)
	also := told{injected: c.outcomes.injections.take()}
	if len(counted.series) > 0 || len(r.queue) == 0 { // a full queue has no room for what can wait
		c.tell(r, &also, now, all)
	}
	for part := range chunks(counted.series) {
		r.enqueue(&report{counted.from, counted.to, part, also})
		also = told{}
	}
	if !also.empty() {
		r.enqueue(&report{from: counted.from, to: counted.to, told: also})
	}
	return true
}

// tell adds what the control plane is to know beside outcomes. While it is away that is not worth a
// wait, and stays for later. r.mu is held.
func (c *Client) tell(r *reporter, also *told, now time.Time, all bool) {
	if c.health.lastError() != nil {
		return
	}
	also.seen = c.takeSeen(&r.seen, now, all)
	all = r.told.connected(c.health.connections()) || all
	also.points = r.told.takePoints(c.faultPoints.take(), now, all)
	also.dependencies = r.told.takeDependencies(c.executors(), now, all)
}

// chunks divides what was counted into reports of a size that receivers take.
func chunks(list []seriesReport) iter.Seq[[]seriesReport] {
	return func(yield func([]seriesReport) bool) {
		for len(list) > 0 {
			n, counted := 0, 0
			for n < len(list) && n < maxSeries && counted < maxCounted {
				counted += len(list[n].measures[treatment]) + len(list[n].measures[control])
				n++
			}
			if !yield(list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// enqueue encodes a report to be sent. r.mu is held.
func (r *reporter) enqueue(what *report) {
	r.queue = append(r.queue, compress(encodeReport(&r.identity, what)))
	r.announce()
}

// flushAll flushes, as soon as there is room, and returns when all is sent or ctx ends. What was refused
// meanwhile is an error too.
func (c *Client) flushAll(ctx context.Context) error {
	r := c.reports
	_, before := r.counts()
	for !c.flush(true) {
		if err := r.await(ctx, func() bool { return len(r.queue) < maxQueued }); err != nil {
			return err
		}
	}
	if err := r.await(ctx, func() bool { return len(r.queue) == 0 }); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refusedSince(before)
}

// refusedSince tells of reports that were refused since so many were dropped. r.mu is held.
func (r *reporter) refusedSince(before int) error {
	if r.dropped == before {
		return nil
	}
	return fmt.Errorf("%d reports of outcomes were refused and are lost: %w", r.dropped-before, r.refusal)
}

func compress(data []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(data) // a Buffer does not fail
	_ = w.Close()
	return out.Bytes()
}

// announce wakes those who wait for a change. r.mu is held.
func (r *reporter) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// await returns when done gives true (asked with r.mu held), or when ctx ends or nothing is sent any
// more.
func (r *reporter) await(ctx context.Context, done func() bool) error {
	for {
		r.mu.Lock()
		ok, lost, changed := done(), r.lost, r.changed
		r.mu.Unlock()
		switch {
		case lost != nil:
			return lost
		case ok:
			return nil
		case r.sending.Err() != nil:
			return errClosed
		}
		select {
		case <-changed:
		case <-r.sending.Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// run sends until the reporter is closed.
func (r *reporter) run() {
	for {
		err := r.await(r.sending, func() bool { return len(r.queue) > 0 })
		if err != nil {
			return
		}
		if err := r.deliver(r.first()); r.sending.Err() != nil {
			return
		} else if err != nil {
			r.client.config.logger.Warn("seatrial: outcomes were refused and are lost", "server", r.client.config.server, "error", err)
		}
	}
}

// first gives what is to be sent next. There is something: only run takes it away, or close after
// the end of run's context.
func (r *reporter) first() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil
	}
	return r.queue[0]
}

// deliver sends until the flush is taken or refused, and takes it out of the queue. The error
// says why it was refused.
func (r *reporter) deliver(body []byte) error {
	refusals := 0
	for attempt := 0; ; attempt++ {
		again, err := r.send(body)
		if r.sending.Err() != nil {
			return nil // close counts what is left
		}
		if again.refused {
			refusals++
		}
		if !again.worthIt || refusals >= maxRefusals {
			r.remove(err)
			return err
		}
		pause(r.sending, max(again.after, backoff(attempt)))
	}
}

// remove takes the first flush out of the queue; refusal says why it is lost, if it is.
func (r *reporter) remove(refusal error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 { // close has counted it
		return
	}
	if r.queue = r.queue[1:]; refusal != nil {
		r.dropped, r.refusal = r.dropped+1, refusal
	}
	r.announce()
}

// retrial says whether and when a flush should be sent again.
type retrial struct {
	worthIt bool
	refused bool // by a server that was there
	after   time.Duration
}

// send makes one attempt.
func (r *reporter) send(body []byte) (retrial, error) {
	ctx, cancel := context.WithTimeout(r.sending, reportTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.client.config.server+"/v1/metrics", bytes.NewReader(body))
	if err != nil {
		return retrial{}, err
	}
	r.client.identify(req)
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	res, err := r.client.http.Do(req)
	if err != nil {
		return retrial{worthIt: true}, err
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // read, the connection can be used again
	if rejected, why := partialSuccess(answer); rejected > 0 && res.StatusCode < 300 {
		r.client.config.logger.Warn("seatrial: some outcomes were refused and are lost", "points", rejected, "why", why)
	}
	return judge(res)
}

// judge reads the answer to a flush, by the rules of OTLP/HTTP ("Failures"), except that other
// 5xx are given some attempts too: proxies answer so for a server that restarts.
func judge(res *http.Response) (retrial, error) {
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return retrial{}, nil
	}
	end := refused(res)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return retrial{worthIt: true, after: end.after}, end.err
	}
	return retrial{worthIt: res.StatusCode >= 500, refused: true, after: end.after}, end.err
}

// close flushes, waits within ctx until all is sent, and ends run. The error says how much is
// lost.
func (r *reporter) close(ctx context.Context) error {
	_, before := r.counts()
	err := r.client.flushAll(ctx)
	r.abandon()
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := len(r.queue)
	if err == nil || lost == 0 {
		return r.refusedSince(before)
	}
	r.queue, r.dropped = nil, r.dropped+lost
	r.lost = fmt.Errorf("%d reports of outcomes could not be sent and are lost: %w", lost, err)
	return r.lost
}

// counts gives how many flushes wait, and how many were lost.
func (r *reporter) counts() (queued, dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue), r.dropped
}
