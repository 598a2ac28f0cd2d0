package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// request identifies a write with an idempotency key. The log keeps it in Change.IdempotencyKey
// as three lines: what was asked for (SHA-256), the actor, and the actor's own key. So a repeat
// is recognised by every replica and after a restart, also where the ops of a repeat would be
// others than the first time (a start has another time).
type request struct {
	id       string // actor and own key; empty: the write has no key
	print    string // hex SHA-256 of what was asked for
	revision int64  // of the change it made
}

const maxOwnKey = 200 // bytes of WriteOptions.IdempotencyKey

func newRequest(o WriteOptions, w write) (request, error) {
	switch {
	case o.Actor == "" || len(o.Actor) > MaxActor || strings.ContainsAny(o.Actor, "\r\n"):
		return request{}, invalid("/actor", "write: the actor has 1 to %d bytes on one line: say who changes something", MaxActor)
	case len(o.Reason) > MaxReason:
		return request{}, &Error{Code: CodeTooLarge, Message: fmt.Sprintf("write: the reason has %d bytes, at most %d are allowed: shorten it", len(o.Reason), MaxReason)}
	case len(o.IdempotencyKey) > maxOwnKey:
		return request{}, &Error{Code: CodeTooLarge, Message: fmt.Sprintf("write: the idempotency key has %d bytes, at most %d are allowed", len(o.IdempotencyKey), maxOwnKey)}
	case o.IdempotencyKey == "" || o.DryRun:
		return request{}, nil
	}
	asked, err := json.Marshal([]any{w.verb, w.input, o.IfMatch})
	if err != nil {
		return request{}, &Error{Code: CodeInvalid, Message: w.verb + ": cannot be written as JSON: " + err.Error(), Err: err}
	}
	sum := sha256.Sum256(asked)
	return request{id: o.Actor + "\n" + o.IdempotencyKey, print: hex.EncodeToString(sum[:])}, nil
}

// key gives what the log keeps.
func (r request) key() string {
	if r.id == "" {
		return ""
	}
	return r.print + "\n" + r.id
}

// parseRequest reads the request back from its change.
func parseRequest(c Change) (request, bool) {
	print, id, ok := strings.Cut(c.IdempotencyKey, "\n")
	return request{id: id, print: print, revision: c.Revision}, ok
}

// ownKey gives the key as its actor knows it.
func ownKey(key string) string {
	if _, id, ok := strings.Cut(key, "\n"); ok {
		_, key, _ = strings.Cut(id, "\n")
	}
	return key
}

// repeated gives the revision that the same request made before, 0 if there was none.
func (s *Service) repeated(req request) (revision int64, err error) {
	if req.id == "" {
		return 0, nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	first := s.state.requests[req.id]
	if first.revision > 0 && first.print != req.print {
		return 0, ErrIdempotencyMismatch
	}
	return first.revision, nil
}

// changeOf reads what an earlier request stored.
func (s *Service) changeOf(ctx context.Context, revision int64, err error) (Change, error) {
	if err != nil {
		return Change{}, err
	}
	return s.readChange(ctx, revision)
}
