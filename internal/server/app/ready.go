package app

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// catchUp is how long a readiness probe waits for the published state to reach the log's.
const catchUp = time.Second

var errStopping = errors.New("the server is stopping")

// ready says why the server cannot serve: it stops, or one of its environments cannot.
func (s *Server) ready(ctx context.Context) error {
	if s.stopping.Load() {
		return errStopping
	}
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for _, e := range s.environments.all() {
		if err := e.ready(ctx); err != nil {
			return fmt.Errorf("environment %s: %w", e.name, err)
		}
	}
	return nil
}

// ready says why the environment cannot be served: its log is not followed, its store does not
// answer, or what is published is behind the store.
func (e *environment) ready(ctx context.Context) error {
	select {
	case <-e.background.followed:
		return fmt.Errorf("the change log is not followed: %w", e.background.followErr)
	default:
	}
	head, err := e.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("the store does not answer: %w", err)
	}
	for {
		have := e.service.Head()
		if have.History == head.History && have.Revision >= head.Revision {
			return nil
		}
		if _, err := e.service.WaitSnapshot(ctx, have); err != nil {
			return behind(have, head)
		}
	}
}

func behind(have, head control.Head) error {
	return fmt.Errorf("revision %d is published, the store is at %d", have.Revision, head.Revision)
}

// quiet gives net/http's log of clients' mistakes the level it deserves.
func quiet(logger *slog.Logger) *log.Logger {
	return slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
}
