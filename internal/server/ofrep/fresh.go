package ofrep

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// A client that was told to ask again says how fresh the answer has to be. This replica may not
// have heard of that change yet; the log reaches it in milliseconds.
const (
	freshTimeout = time.Second
	maxWaiting   = 1_000 // evaluations that wait; others are answered with what there is
)

// freshen waits until the state is as fresh as the request asks for, at most freshTimeout.
func (s *Server) freshen(r *http.Request, at *site) {
	query := r.URL.Query()
	behind := func() bool { return olderThan(at, query.Get("flagConfigEtag"), query.Get("flagConfigLastModified")) }
	if !behind() {
		return
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > maxWaiting {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), freshTimeout)
	defer cancel()
	for head := at.service.Head(); behind(); {
		view, err := at.service.WaitSnapshot(ctx, head)
		if err != nil {
			return
		}
		head = view.Head
	}
}

// olderThan reports whether the state is older than a position, or if there is none, than a time
// (Unix seconds). Positions of other histories cannot be compared, so nothing is older than them.
func olderThan(at *site, position, lastModified string) bool {
	if history, revision, ok := parsePosition(position); ok {
		head := at.service.Head()
		return history == head.History && head.Revision < revision
	}
	seconds, err := strconv.ParseInt(lastModified, 10, 64)
	return err == nil && at.latest().time.Unix() < seconds
}

// positionOf writes a state as streams and clients name it.
func positionOf(h control.Head) string { return h.History + ":" + strconv.FormatInt(h.Revision, 10) }

func parsePosition(text string) (history string, revision int64, ok bool) {
	at := strings.LastIndexByte(text, ':')
	if at <= 0 {
		return "", 0, false
	}
	revision, err := strconv.ParseInt(text[at+1:], 10, 64)
	return text[:at], revision, err == nil && revision >= 0
}
