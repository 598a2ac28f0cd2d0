package stream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/stream"
)

// fakeLog is a Source whose history, window and order of states a test decides.
type fakeLog struct {
	mu      sync.Mutex
	newest  *stream.State
	deltas  []flag.Delta
	window  int
	changed chan struct{}
}

// flagAt says its revision, so that a torn or stale state shows.
func flagAt(revision int64) flag.Flag {
	return flag.Flag{Key: "f", Description: fmt.Sprintf("<revision %d>\nsecond line", revision)}
}

// publish makes revision the newest, with a delta from parent (negative: without).
func (l *fakeLog) publish(history string, revision, parent int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	head := control.Head{History: history, Epoch: 1, Revision: revision, Hash: fmt.Sprint("hash-", revision)}
	set := flag.Set{
		History: history, Epoch: 1, Revision: revision, Hash: head.Hash,
		Flags: []flag.Flag{flagAt(revision)}, Segments: []flag.Segment{}, Allocations: []flag.Allocation{},
	}
	if l.newest == nil || l.newest.Head.History != history || parent < 0 {
		l.deltas = nil
	} else {
		l.deltas = append(l.deltas, flag.Delta{
			History: history, Epoch: 1, Parent: parent, Revision: revision, Hash: head.Hash, Flags: set.Flags,
		})
		l.deltas = l.deltas[max(0, len(l.deltas)-l.window):]
	}
	l.newest = &stream.State{Head: head, JSON: encoded(set)}
	close(l.changed)
	l.changed = make(chan struct{})
}

func encoded(v any) func() []byte {
	return sync.OnceValue(func() []byte {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return b
	})
}

func (l *fakeLog) Newest() (stream.State, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newest == nil {
		return stream.State{}, false
	}
	return *l.newest, true
}

func (l *fakeLog) DeltasSince(history string, revision int64) ([]stream.State, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if history != l.newest.Head.History {
		return nil, false
	}
	for i, d := range l.deltas {
		if d.Parent != revision {
			continue
		}
		var states []stream.State
		for _, d := range l.deltas[i:] {
			head := control.Head{History: d.History, Epoch: d.Epoch, Revision: d.Revision, Hash: d.Hash}
			states = append(states, stream.State{Head: head, JSON: encoded(d)})
		}
		return states, true
	}
	return nil, revision == l.newest.Head.Revision
}

func (l *fakeLog) Wait(ctx context.Context, have control.Head) error {
	for {
		l.mu.Lock()
		newest, changed := l.newest.Head, l.changed
		l.mu.Unlock()
		if newest != have {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
