package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// catchUpBytes is what a stream that is behind may always get as deltas. Beyond that it gets
// whichever is smaller, its deltas or the snapshot.
const catchUpBytes = 64 << 10

// Subscriber is who opens a stream.
type Subscriber struct {
	// Owner counts towards Config.MaxPerOwner: the id of a credential.
	Owner string
	// Valid is asked before every bookmark; false ends the stream with goaway, so that a
	// revoked credential loses its streams within one bookmark. nil means always valid.
	Valid func() bool
}

// Serve streams to one client until it goes away, is too slow, or the hub stops.
// It resumes after the position in the Last-Event-ID header, or else in the query's
// "after"; a position it cannot resume from (malformed, another history, too old) means a
// snapshot.
//
// A non-nil error says that nothing was written yet: no state, a limit reached, or
// a client that is ahead of this server (each control.CodeUnavailable: try again later).
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, sub Subscriber) error {
	at, _ := requestedPosition(r)
	if err := h.admit(sub.Owner, at); err != nil {
		return err
	}
	defer h.release(sub.Owner)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s := &session{hub: h, out: http.NewResponseController(w), w: w, at: at, valid: sub.Valid}
	s.run(r.Context())
	return nil
}

// requestedPosition reads where the client wants to go on.
func requestedPosition(r *http.Request) (control.Head, bool) {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = r.URL.Query().Get("after")
	}
	return ParseID(id)
}

// ID is the id of an event: "history:revision".
func ID(h control.Head) string { return h.History + ":" + strconv.FormatInt(h.Revision, 10) }

// ParseID reads what ID wrote, into History and Revision; false if it is malformed.
func ParseID(id string) (control.Head, bool) {
	colon := strings.LastIndexByte(id, ':')
	if colon <= 0 || len(id) > 200 {
		return control.Head{}, false
	}
	revision, err := strconv.ParseInt(id[colon+1:], 10, 64)
	if err != nil || revision < 0 {
		return control.Head{}, false
	}
	return control.Head{History: id[:colon], Revision: revision}, true
}

// admit counts a stream in, if the limits allow it.
func (h *Hub) admit(owner string, at control.Head) error {
	if h.stopping.Err() != nil {
		return unavailable("the server is stopping: connect again")
	}
	newest, ok := h.source.Newest()
	if !ok {
		return unavailable("the server has not loaded its state yet: connect again")
	}
	if at.History == newest.Head.History && at.Revision > newest.Head.Revision {
		// Sending the lower state would take the client back in time.
		return unavailable(fmt.Sprintf("the client is at revision %d, this server only at %d: connect again later", at.Revision, newest.Head.Revision))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.open >= h.config.MaxStreams:
		h.stats.refused.Add(1)
		return unavailable(fmt.Sprintf("the server has its maximum of %d streams open: connect again later", h.config.MaxStreams))
	case h.owners[owner] >= h.config.MaxPerOwner:
		h.stats.refused.Add(1)
		return unavailable(fmt.Sprintf("this key has its maximum of %d streams open: close some, or use another key", h.config.MaxPerOwner))
	}
	h.open++
	h.owners[owner]++
	h.stats.opened.Add(1)
	return nil
}

func unavailable(message string) error {
	return &control.Error{Code: control.CodeUnavailable, Message: message}
}

func (h *Hub) release(owner string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
	if h.owners[owner]--; h.owners[owner] == 0 {
		delete(h.owners, owner)
	}
}

// session is one open stream: a position and nothing else to remember.
type session struct {
	hub   *Hub
	w     http.ResponseWriter
	out   *http.ResponseController
	at    control.Head // what the client has; zero History: nothing
	valid func() bool
}

func (s *session) run(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.hub.stopping, func() { cancel(errStopping) })()
	ctx, release := context.WithTimeoutCause(ctx, s.hub.age(), errOld)
	defer release()
	mark := time.Now().Add(s.hub.config.BookmarkEvery)
	for ok := s.greet(); ok; {
		switch err := s.wait(ctx, mark); {
		case err == nil:
			ok = s.catchUp()
		case errors.Is(err, errMarkDue):
			mark = time.Now().Add(s.hub.config.BookmarkEvery)
			ok = s.stillValid() && s.bookmark()
		case errors.Is(err, errStopping):
			ok = s.goAway(s.hub.retryAfterStop())
		case errors.Is(err, errOld):
			ok = s.goAway(0)
		default: // the client is gone
			ok = false
		}
	}
}

// wait returns nil when there is something newer than the client has, errMarkDue at the
// time mark, or why the session ends.
func (s *session) wait(ctx context.Context, mark time.Time) error {
	ctx, cancel := context.WithDeadlineCause(ctx, mark, errMarkDue)
	defer cancel()
	if ctx.Err() != nil { // a busy log must not starve bookmarks
		return context.Cause(ctx)
	}
	return s.hub.source.Wait(ctx, s.at)
}

// greet sends the first events: what is missing, or a bookmark if nothing is.
func (s *session) greet() bool {
	newest, _ := s.hub.source.Newest()
	if s.at.History == newest.Head.History && s.at.Revision == newest.Head.Revision {
		s.at = newest.Head
		return s.bookmark()
	}
	return s.catchUp()
}

// catchUp brings the client to the newest state.
func (s *session) catchUp() bool {
	if deltas, ok := s.hub.source.DeltasSince(s.at.History, s.at.Revision); ok && len(deltas) > 0 {
		if s.worthIt(deltas) {
			return s.deltas(deltas)
		}
		s.hub.stats.skipped.Add(1)
	}
	newest, ok := s.hub.source.Newest()
	if !ok {
		return false
	}
	s.hub.stats.snapshots.Add(1)
	s.at = newest.Head
	return s.event("snapshot", newest.JSON()) && s.flush()
}

func (s *session) deltas(deltas []State) bool {
	for _, d := range deltas {
		s.at = d.Head
		if !s.event("delta", d.JSON()) {
			return false
		}
	}
	s.hub.stats.deltas.Add(uint64(len(deltas)))
	return s.flush()
}

// worthIt reports whether the deltas are a cheaper way to the newest state than its snapshot.
func (s *session) worthIt(deltas []State) bool {
	total := 0
	for _, d := range deltas {
		total += len(d.JSON())
	}
	if total <= catchUpBytes {
		return true
	}
	newest, ok := s.hub.source.Newest()
	return ok && total <= len(newest.JSON())
}

func (s *session) bookmark() bool {
	data, err := json.Marshal(s.at)
	if err != nil {
		return false
	}
	s.hub.stats.bookmarks.Add(1)
	return s.event("bookmark", data) && s.flush()
}

// stillValid ends the stream of a revoked credential; its next connection is told why.
func (s *session) stillValid() bool { return s.valid == nil || s.valid() || s.goAway(0) }

// goAway asks the client to connect again after retry, and ends the session (false). The
// retry field tells the same to stock EventSource clients.
func (s *session) goAway(retry time.Duration) bool {
	ms := strconv.FormatInt(retry.Milliseconds(), 10)
	_ = s.write("retry: ", ms, "\nevent: goaway\ndata: {\"retryMs\":", ms, "}\n\n") && s.flush()
	return false
}

// event writes one event about the state s.at. data is made by encoding/json and so has no
// line breaks.
func (s *session) event(name string, data []byte) bool {
	return s.write("event: ", name, "\nid: ", ID(s.at), "\ndata: ") && s.writeBytes(data) && s.write("\n\n")
}

func (s *session) write(parts ...string) bool {
	return s.writeBytes([]byte(strings.Join(parts, "")))
}

func (s *session) writeBytes(b []byte) bool {
	s.out.SetWriteDeadline(time.Now().Add(s.hub.config.WriteTimeout))
	_, err := s.w.Write(b)
	return s.succeeded(err)
}

func (s *session) flush() bool {
	err := s.out.Flush()
	if err == nil {
		s.out.SetWriteDeadline(time.Time{}) // else HTTP/2 would end the stream while it waits
	}
	return s.succeeded(err)
}

func (s *session) succeeded(err error) bool {
	if err != nil {
		s.hub.stats.slow.Add(1)
	}
	return err == nil
}
