package traces

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Limits bound a [Store]; zero fields mean the default.
type Limits struct {
	// MaxBytes is the estimated memory of all traces, default 64 MiB, at least 1 MiB.
	MaxBytes int64
	// MaxTraces is the number of traces, default 100 000.
	MaxTraces int64
	// MaxSpansPerTrace is the number of spans kept of one trace, default 10 000; further ones
	// are counted and dropped. One trace also takes at most an eighth of MaxBytes.
	MaxSpansPerTrace int
	// MaxPins is the number of pinned traces, default 256. Pinned traces together take at most
	// half of MaxBytes.
	MaxPins int
}

func (l Limits) withDefaults() (Limits, error) {
	if l.MaxBytes == 0 {
		l.MaxBytes = 64 << 20
	}
	if l.MaxTraces == 0 {
		l.MaxTraces = 100_000
	}
	if l.MaxSpansPerTrace == 0 {
		l.MaxSpansPerTrace = 10_000
	}
	if l.MaxPins == 0 {
		l.MaxPins = 256
	}
	if l.MaxBytes < 1<<20 {
		return l, fmt.Errorf("trace store: MaxBytes %d is too small: give at least 1 MiB (%d)", l.MaxBytes, 1<<20)
	}
	if l.MaxTraces < 0 || l.MaxSpansPerTrace < 0 || l.MaxPins < 0 {
		return l, fmt.Errorf("trace store: limits must not be negative: leave them 0 for the default")
	}
	return l, nil
}

const shardCount = 16 // power of two

// Store holds the newest traces in memory. All methods are safe for concurrent use. Make one
// with [NewStore].
type Store struct {
	limits Limits
	shards [shardCount]shard

	arrivals                                      atomic.Uint64 // numbers traces in the order of arrival
	bytes, traces, spans, pinned                  atomic.Int64
	accepted, duplicates, overflowed, evictedSpan atomic.Uint64
	evicted                                       atomic.Uint64

	evicting sync.Mutex // one evictor at a time, so that the order is exact
	pins     pinBoard
}

// NewStore returns an empty store. It fails for limits that make no sense.
func NewStore(limits Limits) (*Store, error) {
	limits, err := limits.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{limits: limits}
	for i := range s.shards {
		s.shards[i].init()
	}
	return s, nil
}

// Stats are counts of a store. Spans that were offered are either accepted, duplicates or
// overflowed; accepted ones are either stored or evicted.
type Stats struct {
	Traces      int64  // stored now, pinned ones included
	Spans       int64  // stored now
	Bytes       int64  // estimated memory of what is stored now
	PinnedBytes int64  // part of Bytes that is pinned
	Accepted    uint64 // spans stored since the start
	Duplicates  uint64 // spans that were there already (OTLP delivers at least once)
	Overflowed  uint64 // spans dropped because their trace is too large
	Evicted     uint64 // traces that made room for newer ones
	EvictedSpan uint64 // spans of these
}

// Stats returns the counts of now; they are read one after the other, not as one snapshot.
func (s *Store) Stats() Stats {
	return Stats{
		Traces: s.traces.Load(), Spans: s.spans.Load(), Bytes: s.bytes.Load(), PinnedBytes: s.pinned.Load(),
		Accepted: s.accepted.Load(), Duplicates: s.duplicates.Load(), Overflowed: s.overflowed.Load(),
		Evicted: s.evicted.Load(), EvictedSpan: s.evictedSpan.Load(),
	}
}

// Add stores copies of spans, which may belong to any traces, and evicts the traces that
// arrived first until the limits hold. A span that is there already is dropped, and so are
// spans with a zero trace or span id. The slice and its strings are not kept.
func (s *Store) Add(spans []Span) {
	for len(spans) > 0 {
		n := 1
		for n < len(spans) && spans[n].TraceID == spans[0].TraceID {
			n++
		}
		if !spans[0].TraceID.IsZero() {
			s.addRun(spans[:n])
		}
		spans = spans[n:]
	}
	s.evict()
}

// AddSpans is [Store.Add], under the name that the OTLP receiver uses.
func (s *Store) AddSpans(spans []Span) { s.Add(spans) }

// addRun adds spans of one trace.
func (s *Store) addRun(spans []Span) {
	id := spans[0].TraceID
	shard := s.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	e := shard.traces[id]
	if e == nil {
		e = &entry{id: id, seq: s.arrivals.Add(1), pinned: s.pins.has(id), bytes: entryBytes}
		shard.insert(e)
		s.traces.Add(1)
		s.account(e, entryBytes)
	}
	for i := range spans {
		s.addSpan(shard, e, &spans[i])
	}
}

func (s *Store) addSpan(shard *shard, e *entry, span *Span) {
	if span.SpanID.IsZero() {
		return
	}
	if e.has(span.SpanID) {
		s.duplicates.Add(1)
		return
	}
	size := spanSize(span)
	tooLarge := len(e.spans) >= s.limits.MaxSpansPerTrace || e.bytes+size > s.limits.MaxBytes/8
	if tooLarge || e.pinned && s.pinned.Load()+size > s.limits.MaxBytes/2 {
		e.overflowed++
		s.overflowed.Add(1)
		return
	}
	e.add(shard.copy(span))
	e.bytes += size
	s.account(e, size)
	s.spans.Add(1)
	s.accepted.Add(1)
}

// account books bytes of an entry, whose shard is locked.
func (s *Store) account(e *entry, bytes int64) {
	s.bytes.Add(bytes)
	if e.pinned {
		s.pinned.Add(bytes)
	}
}

func (s *Store) full() bool {
	return s.bytes.Load() > s.limits.MaxBytes || s.traces.Load() > s.limits.MaxTraces
}

// evict removes the traces that arrived first until the limits hold. The heads of all shards
// are compared, so the order is the one of arrival over the whole store.
func (s *Store) evict() {
	if !s.full() {
		return
	}
	s.evicting.Lock()
	defer s.evicting.Unlock()
	for s.full() {
		oldest, seq := -1, uint64(0)
		for i := range s.shards {
			if head := s.shards[i].oldest.Load(); head != 0 && (oldest < 0 || head < seq) {
				oldest, seq = i, head
			}
		}
		if oldest < 0 {
			return // only pinned traces are left, and these have a limit of their own
		}
		s.evictHead(&s.shards[oldest])
	}
}

func (s *Store) evictHead(shard *shard) {
	shard.mu.Lock()
	defer shard.mu.Unlock()
	e := shard.unpinned.head
	if e == nil {
		return
	}
	shard.remove(e)
	s.traces.Add(-1)
	s.account(e, -e.bytes)
	s.spans.Add(-int64(len(e.spans)))
	s.evicted.Add(1)
	s.evictedSpan.Add(uint64(len(e.spans)))
}

// Trace is what the store has of one trace.
type Trace struct {
	ID    TraceID
	Spans []Span // in the order of arrival; not to be changed
	// Overflowed is the number of spans that were dropped because the trace is too large.
	Overflowed int
	Pinned     bool
	Exposures  []Exposure // flags evaluated within it, at most 32
}

// Tree arranges the spans, see [NewTree].
func (t Trace) Tree() Tree { return NewTree(t.Spans) }

// Get returns a trace; false if it never came or was evicted.
func (s *Store) Get(id TraceID) (Trace, bool) {
	shard := s.shard(id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	e := shard.traces[id]
	if e == nil {
		return Trace{}, false
	}
	return Trace{
		ID: id, Overflowed: e.overflowed, Pinned: e.pinned,
		Spans:     e.spans[:len(e.spans):len(e.spans)], // only appended to, so sharing is safe
		Exposures: e.exposures[:len(e.exposures):len(e.exposures)],
	}, true
}

// shard picks by the low bytes of the id: the random part, also in AWS X-Ray's format, whose
// first bytes are a time.
func (s *Store) shard(id TraceID) *shard { return &s.shards[(id[15]^id[11])&(shardCount-1)] }
