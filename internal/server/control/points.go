package control

import "time"

// Points tells which points processes have reported: where a fault can be injected. It is asked
// under the service's lock, so it answers from memory.
type Points interface {
	// Point tells of one: when a process last reported it, when it last saw a call there, and
	// whether any process allows faults at it. ok is false for one that nobody has reported.
	Point(name string) (lastSeen, lastTraffic time.Time, allowed, ok bool)
	// Names gives all of them, sorted.
	Names() []string
}
