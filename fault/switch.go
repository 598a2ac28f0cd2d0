package fault

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Switch stops all faults of the points under it, at once: calls that come now pass untouched, and
// what holds calls up is cut short. Off is sticky: it stays, with its first reason, until [Switch.On]
// is called. The zero Switch is on. Calls read it without a lock, and switching waits for no call.
// All methods are safe for concurrent use.
type Switch struct {
	off     atomic.Pointer[cause] // nil: on
	sleeper sync.Map              // chan struct{}: those to wake, calls that are held up
}

// cause is why a switch is off.
type cause struct {
	reason string
	lapses bool // off only while a file is there
}

// Off stops the faults. The reason is for people; that of the first call is kept.
func (s *Switch) Off(reason string) { s.set(&cause{reason: reason}) }

// set switches off, unless it is as firmly off already.
func (s *Switch) set(next *cause) {
	for {
		now := s.off.Load()
		if now != nil && (next.lapses || !now.lapses) {
			return
		}
		if s.off.CompareAndSwap(now, next) {
			break
		}
	}
	s.sleeper.Range(func(wake, _ any) bool {
		select {
		case wake.(chan struct{}) <- struct{}{}:
		default: // woken already
		}
		return true
	})
}

// lapse undoes a set with that cause, and nothing else.
func (s *Switch) lapse(was *cause) {
	if was != nil {
		s.off.CompareAndSwap(was, nil)
	}
}

// On lets points inject again what they are armed with.
func (s *Switch) On() { s.off.Store(nil) }

// Engaged tells whether faults are off, and why.
func (s *Switch) Engaged() (reason string, off bool) {
	if s == nil {
		return "", false
	}
	if why := s.off.Load(); why != nil {
		return why.reason, true
	}
	return "", false
}

// sleeping has wake sent to when the switch goes off, until awake is called. A channel of each
// sleeper's own, since one for all could not be shared by tests in bubbles of testing/synctest. Who
// sleeps must look at the switch once more between this and the sleep.
func (s *Switch) sleeping(wake chan struct{}) (awake func()) {
	if s == nil {
		return func() {}
	}
	s.sleeper.Store(wake, nil)
	return func() { s.sleeper.Delete(wake) }
}

// EnvFaults names the environment variable that the process reads when it starts: if it is set to
// anything but "on", the switch of [ProcessSwitch] is off from the start.
const EnvFaults = "SEATRIAL_FAULTS"

var process = switchOf(os.LookupEnv(EnvFaults))

func switchOf(value string, set bool) *Switch {
	s := new(Switch)
	if set && value != "on" {
		s.Off(fmt.Sprintf("%s is %q", EnvFaults, value))
	}
	return s
}

// ProcessSwitch gives the switch over every point of the process, in whatever [Registry] or none.
func ProcessSwitch() *Switch { return process }

// filePoll is how often WatchFile looks.
const filePoll = 200 * time.Millisecond

// WatchFile keeps faults off while there is a file at path, whatever it holds: from 200 ms after it
// appears at the latest, without any server. Once the file is gone faults may go on, unless
// [Switch.Off] was called as well; [Switch.On] does not help against the file. It looks once before
// it returns, then in a goroutine of its own until ctx is done; what holds then stays. That the
// file cannot be looked for counts as there. A nil Switch means that of [ProcessSwitch]; an empty
// path watches nothing.
func WatchFile(ctx context.Context, path string, s *Switch) {
	if path == "" {
		return
	}
	if s == nil {
		s = process
	}
	w := &fileWatch{path: path, off: s}
	w.look()
	go func() {
		ticker := time.NewTicker(filePoll)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				w.look()
			}
		}
	}()
}

// fileWatch is the switch by one file.
type fileWatch struct {
	path string
	off  *Switch
	mine *cause // the last that it gave
}

func (w *fileWatch) look() {
	_, err := os.Stat(w.path)
	if os.IsNotExist(err) {
		w.off.lapse(w.mine)
		return
	}
	reason := fmt.Sprintf("the file %s is there", w.path)
	if err != nil {
		reason = fmt.Sprintf("cannot look for the file %s: %v", w.path, err)
	}
	if _, off := w.off.Engaged(); !off {
		w.mine = &cause{reason, true}
		w.off.set(w.mine)
	}
}
