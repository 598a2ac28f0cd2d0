package seatrialhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	maxKept   = 64 << 10               // of a request's body without GetBody, for another try
	maxDrain  = 64 << 10               // of a dropped answer, so that its connection can serve again
	drainTime = 100 * time.Millisecond // likewise
)

// payload is the body of a request, for as many tries as it is good for.
type payload struct {
	first  io.ReadCloser // not sent yet; nil when it was, or if there is no body
	others func() (io.ReadCloser, error)
	empty  bool
}

// take prepares the request's body. If wanted is set one that can be sent only once is read into
// memory, if it is short.
func (p *payload) take(r *http.Request, wanted bool) error {
	p.first, p.others = r.Body, r.GetBody
	p.empty = r.Body == nil || r.Body == http.NoBody
	if p.empty || p.others != nil || !wanted || r.ContentLength > maxKept {
		return nil
	}
	kept, err := io.ReadAll(io.LimitReader(r.Body, maxKept+1))
	if err != nil {
		return fmt.Errorf("seatrialhttp: reading the body of the request: %w", err)
	}
	if len(kept) > maxKept {
		p.first = prefixed{io.MultiReader(bytes.NewReader(kept), r.Body), r.Body}
		return nil
	}
	p.others = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
	p.first = prefixed{bytes.NewReader(kept), r.Body}
	return nil
}

// prefixed reads from one place and closes another.
type prefixed struct {
	io.Reader
	io.Closer
}

// again tells whether the body can be sent once more.
func (p *payload) again() bool { return p.empty || p.first != nil || p.others != nil }

// copies tells whether several tries can have the body at the same time.
func (p *payload) copies() bool { return p.empty || p.others != nil }

// next gives the body for a try, which must close it.
func (p *payload) next() (io.ReadCloser, error) {
	if first := p.first; first != nil || p.empty {
		p.first = nil
		return first, nil
	}
	body, err := p.others()
	if err != nil {
		return nil, fmt.Errorf("seatrialhttp: the body for another try: %w", err)
	}
	return body, nil
}

// close closes a body that was never sent.
func (p *payload) close() {
	if p.first != nil {
		_ = p.first.Close() // nobody wrote to it
		p.first = nil
	}
}

// drain reads what is left of a dropped answer, within bounds, and closes it.
func drain(body io.ReadCloser, cancel func()) {
	if body == nil {
		return
	}
	defer time.AfterFunc(drainTime, cancel).Stop()
	_, _ = io.CopyN(io.Discard, body, maxDrain+1) // to io.EOF, or the connection is given up
	_ = body.Close()
	cancel()
}
