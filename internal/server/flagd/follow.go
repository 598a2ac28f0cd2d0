package flagd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/seatrial/seatrial/internal/server/control"
)

// lookEvery is how often it is looked after a stream: whether its key is still valid, and whether
// it should say that it is alive.
const lookEvery = 10 * time.Second

// follower is one open stream: what it does when there is something to do. An error ends it.
type follower struct {
	selector string // of the message that opened it
	changed  func(from, to *state) error
	looked   func() error // nil: nothing
}

// follow keeps a stream at the newest state until something ends it, which is what it returns. From
// is what the client has, and at identifies it.
func (s *Server) follow(ctx context.Context, c *call, t *site, from *state, at control.Head, f follower) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
	for look := time.Now().Add(lookEvery); ; {
		switch err := wait(ctx, t.service, at, look); {
		case err == nil:
			to, head := t.newest()
			if to != from {
				if err := f.changed(from, to); err != nil {
					return err
				}
			}
			from, at = to, head
		case errors.Is(err, errDue):
			look = time.Now().Add(lookEvery)
			if err := s.look(c, t, f); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return gone(ctx)
		default: // the log is closed
			return s.refusal(err)
		}
	}
}

// wait returns nil when there is something newer than at, errDue at the time look, or why the
// stream ends.
func wait(ctx context.Context, service *control.Service, at control.Head, look time.Time) error {
	ctx, cancel := context.WithDeadlineCause(ctx, look, errDue)
	defer cancel()
	if ctx.Err() != nil { // a busy log must not starve looking
		return context.Cause(ctx)
	}
	_, err := service.WaitSnapshot(ctx, at)
	return err
}

// look ends the stream of a key that was revoked, or of an environment that is gone.
func (s *Server) look(c *call, t *site, f follower) error {
	p, err := s.cfg.Authenticate(c.request)
	if code := control.CodeOf(err); err != nil && (code == control.CodeUnauthenticated || code == control.CodePermission) {
		return s.refusal(err)
	}
	if err == nil && p.Role != c.principal.Role {
		return connect.NewError(connect.CodeUnavailable, errors.New("the role of this key has changed: connect again"))
	}
	switch service, _, err := s.service(c, f.selector); {
	case err != nil:
		return s.refusal(err)
	case service != t.service:
		return errReplaced
	case f.looked == nil:
		return nil
	}
	return f.looked()
}

// send writes one message of a stream, within the time that a slow client has for it.
func (s *Server) send(c *call, write func() error) error {
	_ = c.out.SetWriteDeadline(time.Now().Add(s.limits.Write))
	err := write()
	_ = c.out.SetWriteDeadline(time.Time{}) // else HTTP/2 would end the stream while it waits
	return err
}

// open counts a stream in, if the limits allow it.
func (s *Server) open(c *call) (leave func(), err error) {
	if s.stopping.Err() != nil {
		return nil, errStopping
	}
	if err := s.seats.take(c.principal.ID, s.limits); err != nil {
		return nil, err
	}
	s.stats.opened.Add(1)
	return func() { s.seats.leave(c.principal.ID) }, nil
}

// seats count the open streams.
type seats struct {
	mu     sync.Mutex
	open   int
	owners map[string]int
}

func (s *seats) take(owner string, l Limits) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open >= l.Streams:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the server has its maximum of %d streams open: connect again later", l.Streams))
	case s.owners[owner] >= l.StreamsPerKey:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("this key has its maximum of %d streams open: close some, or use another key", l.StreamsPerKey))
	}
	if s.owners == nil {
		s.owners = map[string]int{}
	}
	s.open++
	s.owners[owner]++
	return nil
}

func (s *seats) leave(owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.owners[owner]--; s.owners[owner] == 0 {
		delete(s.owners, owner)
	}
}

func (s *seats) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}
