package fault

import (
	"sync"
	"sync/atomic"
	"time"
)

// MaxLease is the longest that faults outlive the last renewal of their lease.
const MaxLease = 30 * time.Second

// Lease is how long faults may go on without word from whoever is responsible for them. Points
// armed with one lease live and end together. Make one with [NewLease]: the zero Lease is over. All
// methods are safe for concurrent use.
type Lease struct {
	length int64 // ns
	expiry atomic.Int64
	ending sync.Once
	ended  chan struct{}
}

// NewLease makes a lease that has just been renewed. Its length is drawn between 1 ms and
// [MaxLease]; 0 means MaxLease.
func NewLease(length time.Duration) *Lease {
	if length == 0 {
		length = MaxLease
	}
	l := &Lease{length: int64(min(max(length, time.Millisecond), MaxLease)), ended: make(chan struct{})}
	l.Renew()
	return l
}

// Renew lets faults go on for the lease's length from now, also if it had run out. It does not
// revive a lease that was ended.
func (l *Lease) Renew() { l.expiry.Store(now() + l.length) }

// End is the kill switch of all points armed with the lease: it works at once, cuts short what is
// being injected, and cannot be undone. Ending twice does nothing.
func (l *Lease) End() {
	l.ending.Do(func() {
		if l.ended != nil { // else it is a zero Lease, which is over anyway
			close(l.ended)
		}
	})
}

// Live tells whether faults may be injected now.
func (l *Lease) Live() bool { return l.left() > 0 }

// left gives how long the lease runs unless renewed; 0 or less if it is over.
func (l *Lease) left() time.Duration {
	select {
	case <-l.ended:
		return 0
	default:
		return time.Duration(l.expiry.Load() - now())
	}
}

// started is the zero of now. Only differences of now are used.
var started = time.Now()

// now reads the monotonic clock, in ns. Setting the wall clock does not move it. It can be negative
// (in a test's synctest bubble, which has a clock of its own).
func now() int64 { return int64(time.Since(started)) }
