package ofrep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// The times of a stream.
const (
	keepAliveEvery = 17 * time.Second // proxies cut connections that are silent for longer
	eventTimeout   = 5 * time.Second  // a reader that takes longer is disconnected
	// settleTime is how long after a change a client that names no position is told to ask
	// again: it may have asked before that change, and connects only now.
	settleTime = 30 * time.Second
	// spreadEach and maxSpread keep all clients from asking in the same moment: a change is
	// told to 10 000 of them within a second.
	spreadEach = 100 * time.Microsecond
	maxSpread  = 2 * time.Second
)

// Why a stream waits no longer, as causes of its context.
var (
	errStopping  = errors.New("ofrep: the server is stopping")
	errKeepAlive = errors.New("ofrep: time for a sign of life")
)

// streams counts the open ones.
type streams struct {
	mu    sync.Mutex
	open  int
	byKey map[string]int
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

func (s *streams) enter(key string, l Limits) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= l.Streams || s.byKey[key] >= l.StreamsPerKey {
		return refusal{status: http.StatusTooManyRequests, retry: 10 * time.Second,
			message: fmt.Sprintf("there are as many streams as are allowed (%d, and %d with one key): evaluate now and then instead, and connect again later", l.Streams, l.StreamsPerKey)}
	}
	if s.byKey == nil {
		s.byKey = map[string]int{}
	}
	s.open++
	s.byKey[key]++
	return nil
}

func (s *streams) leave(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.byKey[key]--; s.byKey[key] == 0 {
		delete(s.byKey, key)
	}
}

// serveStream tells a client of every change until it goes, its credential ends or the server
// stops.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	c, who, err := s.streamCaller(r, now)
	if err == nil && s.stopping.Err() != nil {
		err = &control.Error{Code: control.CodeUnavailable, Message: "the server is stopping: connect again"}
	}
	if err == nil {
		err = s.streams.enter(c.principal.ID, s.limits)
	}
	if err != nil {
		s.refuse(w, r, "", err)
		return
	}
	defer s.streams.leave(c.principal.ID)
	s.stats.opened.Add(1)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	allowOrigin(h, r)
	st := &stream{server: s, caller: c, who: who, w: w, out: http.NewResponseController(w)}
	_ = st.out.SetReadDeadline(time.Time{}) // servers without deadlines exist in tests only
	if st.greet(r.Header.Get("Last-Event-ID"), now) {
		st.run(r.Context())
	}
}

// stream is one open stream: what its client knows of, and nothing else to remember.
type stream struct {
	server *Server
	caller caller
	who    *http.Request
	w      http.ResponseWriter
	out    *http.ResponseController
	at     control.Head // the state that was looked at last; zero: none, so the first look is at once
	known  control.Head // the newest change that the client has been told of, or came with
}

// greet tells a client that is behind, or may be, to ask again. Any other gets its position, so
// that it can name that when it comes back.
func (st *stream) greet(lastEventID string, now time.Time) bool {
	newest := st.caller.site.latest()
	history, revision, named := parsePosition(lastEventID)
	st.known = newest.head
	switch {
	case named && (history != newest.head.History || revision < newest.head.Revision),
		!named && now.Sub(newest.time) < settleTime:
		return st.refetch(newest)
	case named:
		st.known.Revision = revision // may be ahead of this replica
	}
	return st.write("id: " + positionOf(st.known) + "\n\n")
}

func (st *stream) run(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(st.server.stopping, func() { cancel(errStopping) })()
	due := time.Now().Add(keepAliveEvery)
	for ok := true; ok; {
		view, err := st.wait(ctx, due)
		switch {
		case err == nil:
			st.at = view.Head
			ok = st.valid() && st.tell(ctx)
		case errors.Is(err, errKeepAlive):
			due = time.Now().Add(keepAliveEvery)
			ok = st.valid() && st.write(":\n\n")
		case errors.Is(err, errStopping):
			st.goAway()
			return
		default: // the client is gone
			return
		}
	}
}

// wait gives the newest state as soon as it is not the one that was looked at, or errKeepAlive at
// the time due, or why the stream ends.
func (st *stream) wait(ctx context.Context, due time.Time) (*control.View, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, due, errKeepAlive)
	defer cancel()
	if ctx.Err() != nil { // a busy log must not starve what is due
		return nil, context.Cause(ctx)
	}
	return st.caller.site.service.WaitSnapshot(ctx, st.at)
}

// valid reports whether the credential still holds, for the same flags. A revoked one makes the
// log move, so its stream ends at once; others are asked about with every sign of life.
func (st *stream) valid() bool {
	p, err := st.server.cfg.Authenticate(st.who)
	if err != nil || !p.Role.Includes(control.RoleClient) {
		return false
	}
	service := st.caller.site.service
	now, err := st.server.cfg.Resolve(p, service.Snapshot().Set.Environment)
	return err == nil && now == service
}

// tell tells the client of the newest change, if it does not know it.
func (st *stream) tell(ctx context.Context) bool {
	if !st.unknown(st.caller.site.latest()) {
		return true
	}
	spread := min(maxSpread, time.Duration(st.server.streams.count())*spreadEach)
	timer := time.NewTimer(rand.N(spread + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return true // the next wait says why
	}
	return st.refetch(st.caller.site.latest())
}

func (st *stream) unknown(n news) bool {
	return n.head.History != st.known.History || n.head.Revision > st.known.Revision
}

// refetch asks the client to evaluate anew, and says how fresh the answer has to be.
func (st *stream) refetch(n news) bool {
	st.known = n.head
	st.server.stats.refetches.Add(1)
	position := positionOf(n.head)
	return st.write("id: " + position + "\nevent: message\ndata: {\"type\":\"refetchEvaluation\",\"etag\":" +
		string(encode(position)) + ",\"lastModified\":" + strconv.FormatInt(n.time.Unix(), 10) + "}\n\n")
}

// goAway tells the client when to come back: the more clients, the wider they are spread.
func (st *stream) goAway() {
	window := max(time.Second, time.Duration(st.server.streams.count())*2*time.Millisecond)
	retry := 100*time.Millisecond + rand.N(window)
	st.write("retry: " + strconv.FormatInt(retry.Milliseconds(), 10) + "\n\n")
}

func (st *stream) write(text string) bool {
	_ = st.out.SetWriteDeadline(time.Now().Add(eventTimeout))
	_, err := st.w.Write([]byte(text))
	if err == nil {
		err = st.out.Flush()
	}
	if err == nil {
		_ = st.out.SetWriteDeadline(time.Time{}) // else HTTP/2 would end the stream while it waits
	}
	return err == nil
}
