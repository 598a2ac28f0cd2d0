package resilience

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// latencies learns the time within which a share of recent attempts was through. It counts them in
// buckets of at most an eighth of their value in width, in two generations: the elder is forgotten
// when the younger has 100 attempts and 10 s. So the past that counts is bounded, and rare calls
// are not forgotten too early. All methods are safe for concurrent use and wait for nobody.
type latencies struct {
	delay atomic.Int64 // that was learned last, ns; 0: too little is known

	generation [2]generation
	young      atomic.Uint32 // index of the younger
	since      atomic.Int64  // when it began, monotonic ns
	turning    sync.Mutex
}

type generation struct {
	total  atomic.Uint32
	bucket [buckets]atomic.Uint32
}

const (
	lowestBit  = 14 // of 16 µs: what is faster counts as that
	highestBit = 40 // of 18 minutes
	perOctave  = 8
	buckets    = (highestBit - lowestBit + 1) * perOctave

	learnFrom  = 20 // attempts
	learnEvery = 16 // attempts
	turnAfter  = 100
	turnEvery  = 10 * time.Second
)

// add counts an attempt that took so many ns, and now and then learns the delay for the quantile.
func (l *latencies) add(took, at int64, quantile float64) {
	young := &l.generation[l.young.Load()]
	young.bucket[bucketOf(took)].Add(1)
	total := young.total.Add(1)
	if total%learnEvery == 0 || l.delay.Load() == 0 {
		l.learn(quantile)
	}
	if total >= turnAfter && at-l.since.Load() >= int64(turnEvery) && l.turning.TryLock() {
		defer l.turning.Unlock()
		l.turn(at)
	}
}

// turn forgets the elder generation and begins a new one in its place.
func (l *latencies) turn(at int64) {
	if at-l.since.Load() < int64(turnEvery) {
		return
	}
	elder := 1 - l.young.Load()
	for i := range l.generation[elder].bucket {
		l.generation[elder].bucket[i].Store(0)
	}
	l.generation[elder].total.Store(0)
	l.since.Store(at)
	l.young.Store(elder)
}

// learn sets the delay to the quantile, rounded up to the end of its bucket.
func (l *latencies) learn(quantile float64) {
	total := l.generation[0].total.Load() + l.generation[1].total.Load()
	if total < learnFrom {
		return
	}
	rank := uint32(math.Ceil(quantile * float64(total)))
	seen := uint32(0)
	for i := range buckets {
		seen += l.generation[0].bucket[i].Load() + l.generation[1].bucket[i].Load()
		if seen >= rank {
			l.delay.Store(endOf(i))
			return
		}
	}
}

// bucketOf gives the bucket of a latency: its octave, and which eighth of it.
func bucketOf(ns int64) int {
	bit := bits.Len64(uint64(max(ns, 0))) - 1
	if bit < lowestBit {
		return 0
	}
	if bit > highestBit {
		return buckets - 1
	}
	return (bit-lowestBit)*perOctave + int(ns>>(bit-3))&(perOctave-1)
}

// endOf gives the first latency, in ns, that is above the bucket.
func endOf(bucket int) int64 {
	bit, eighth := bucket/perOctave+lowestBit, bucket%perOctave
	return int64(perOctave+eighth+1) << (bit - 3)
}
