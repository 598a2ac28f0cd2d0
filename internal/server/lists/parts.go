package lists

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Part gives the bytes of a part to send, or CodeNotFound. All who send it at the same time share
// them, so that many clients which want a new list at once take the memory of one. send must not
// modify or keep them.
func (s *Service) Part(ctx context.Context, digest string, send func(data []byte) error) error {
	part := s.sending.begin(digest)
	defer s.sending.end(digest)
	part.read.Do(func() {
		part.data, part.err = s.blobs.Blob(context.WithoutCancel(ctx), digest) // others may wait for it
	})
	if errors.Is(part.err, control.ErrNotFound) {
		return &control.Error{Code: control.CodeNotFound, Message: fmt.Sprintf("there is no part %.64q: the newest snapshot names those that there are", digest)}
	}
	if part.err != nil {
		return part.err
	}
	return send(part.data)
}

// sending are the parts that are being sent.
type sending struct {
	mu    sync.Mutex
	parts map[string]*sentPart
}

type sentPart struct {
	users int
	read  sync.Once
	data  []byte
	err   error
}

func (s *sending) begin(digest string) *sentPart {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.parts[digest]
	if part == nil {
		part = &sentPart{}
		if s.parts == nil {
			s.parts = map[string]*sentPart{}
		}
		s.parts[digest] = part
	}
	part.users++
	return part
}

func (s *sending) end(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[digest].users--; s.parts[digest].users == 0 {
		delete(s.parts, digest)
	}
}
