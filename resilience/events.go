package resilience

import (
	"sync"
	"time"
)

// EventKind says what an [Event] tells.
type EventKind uint8

const (
	// StateChanged: the breaker went from one state to another.
	StateChanged EventKind = iota + 1
	// Retrying: an attempt failed and another will follow.
	Retrying
	// Refused: an attempt was not made; Err tells by what. Only the first of a second is told of
	// each of breaker, limits and retry budget.
	Refused
	// Hedging: an attempt is slow and gets a rival.
	Hedging
	// FellBack: the call failed and its fallback answered.
	FellBack
	// Panicked: a rival that had lost already panicked; Err holds with what.
	Panicked
)

// Event is something worth telling about the protection of a dependency.
type Event struct {
	Kind EventKind
	Name string // of the dependency

	From, To State // StateChanged only

	Attempt int           // Retrying: the attempt that failed, Hedging: that starts; from 1
	Delay   time.Duration // Retrying: the wait before the next one; Hedging: the wait that is over
	Err     error         // Retrying, FellBack: how it failed; Refused: the refusal; Panicked: the panic

	// Dropped counts the events before this one that were lost because the listener was slower
	// than events came for long. State changes are kept before retries.
	Dropped int
}

// maxPending bounds the events that wait for a slow listener.
const maxPending = 1024

// feed delivers events to one listener: in order, one at a time, on a goroutine of its own that
// lives only while there is something to deliver. So a listener may be slow, may block and may call
// back into whatever told it something, and no call ever waits for it.
type feed struct {
	listener func(Event)

	mu      sync.Mutex
	pending []Event
	dropped int
	running bool
}

func (f *feed) send(e Event) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) >= maxPending || e.Kind != StateChanged && len(f.pending) >= maxPending/2 {
		f.dropped++
		return
	}
	e.Dropped, f.dropped = f.dropped, 0
	f.pending = append(f.pending, e)
	if !f.running {
		f.running = true
		go f.deliver()
	}
}

func (f *feed) deliver() {
	for {
		f.mu.Lock()
		batch := f.pending
		f.pending = nil
		f.running = len(batch) > 0
		f.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, e := range batch {
			f.tell(e)
		}
	}
}

// tell survives a listener that panics: telemetry must not take the application down.
func (f *feed) tell(e Event) {
	defer func() { _ = recover() }()
	f.listener(e)
}
