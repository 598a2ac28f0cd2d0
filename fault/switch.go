package fault

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Switch stops all faults of the points under it, at once: calls that come now pass untouched, and
// what holds calls up is cut short. Off is sticky: it stays, with its first reason, until [Switch.On]
// is called. The zero Switch is on. Calls read it without a lock, and nobody waits for a call. All
// methods are safe for concurrent use.
type Switch struct{ at atomic.Pointer[position] }

// position is how a switch stands.
type position struct {
	off    chan struct{} // closed when the switch is off
	reason string        // why it is
	is     bool          // off
	lapses bool          // off only while a file is there
}

func offBecause(reason string, lapses bool) *position {
	p := &position{off: make(chan struct{}), reason: reason, is: true, lapses: lapses}
	close(p.off)
	return p
}

// Off stops the faults. The reason is for people; that of the first call is kept.
func (s *Switch) Off(reason string) { s.set(offBecause(reason, false)) }

// set moves the switch to a position that is off, unless it is as firmly off already.
func (s *Switch) set(next *position) {
	for {
		now := s.position()
		if now.is && (next.lapses || !now.lapses) {
			return
		}
		if s.at.CompareAndSwap(now, next) {
			if !now.is {
				close(now.off)
			}
			return
		}
	}
}

// lapse undoes a set of that position, and nothing else.
func (s *Switch) lapse(was *position) {
	s.at.CompareAndSwap(was, &position{off: make(chan struct{})})
}

// On lets points inject again what they are armed with.
func (s *Switch) On() {
	if now := s.position(); now.is {
		s.at.CompareAndSwap(now, &position{off: make(chan struct{})})
	}
}

// Engaged tells whether faults are off, and why.
func (s *Switch) Engaged() (reason string, off bool) {
	if s == nil {
		return "", false
	}
	now := s.at.Load()
	if now == nil || !now.is {
		return "", false
	}
	return now.reason, true
}

// position makes the zero Switch usable.
func (s *Switch) position() *position {
	for {
		if now := s.at.Load(); now != nil {
			return now
		}
		s.at.CompareAndSwap(nil, &position{off: make(chan struct{})})
	}
}

// cut gives the channel that is closed when the switch goes off; nil, which never is, for no switch.
func (s *Switch) cut() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.position().off
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
	mine *position // that the file was the reason of, last
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
		w.mine = offBecause(reason, true)
		w.off.set(w.mine)
	}
}
