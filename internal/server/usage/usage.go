// Package usage keeps when flags and their variants were last evaluated, anywhere: what tells a
// flag that nobody asks for any more. It is fed by the reports of SDKs and by the server's own
// evaluations, and forgets with the process.
package usage

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// maxKept bounds the flags of one generation. There are two, so that a set with as many flags as
// are allowed fits, whatever else senders name.
const maxKept = flag.MaxFlags

// Store holds one environment's usage. All methods are safe for concurrent use; noting what was
// noted within the same second takes no lock and writes nothing. Make one with [New].
type Store struct {
	limit int64        // flags of a generation
	since atomic.Int64 // Unix seconds

	turning       sync.Mutex // while a generation begins
	current, past atomic.Pointer[generation]
}

// generation holds the flags that were evaluated since it began. When it is full the next one
// begins, and what was not evaluated for two of them is forgotten.
type generation struct {
	flags sync.Map // key → *usage
	kept  atomic.Int64
}

// usage is when one flag was last evaluated, by variant and in all.
type usage struct {
	last     atomic.Int64 // Unix seconds
	adding   sync.Mutex
	variants atomic.Pointer[map[string]*atomic.Int64] // the map is replaced, never changed
}

// New gives an empty store that knows of nothing before now.
func New() *Store {
	s := &Store{limit: maxKept}
	s.since.Store(time.Now().Unix())
	s.current.Store(&generation{})
	s.past.Store(&generation{})
	return s
}

// Since gives from when on evaluations are known: the start, or later if the names in use were too
// many to keep and some had to be forgotten. To the second.
func (s *Store) Since() time.Time { return time.Unix(s.since.Load(), 0) }

// Seen notes that a flag was evaluated now, and gave the variant; empty if it gave the code's
// default. Names that no flag can have are not kept, nor more than 100 variants of a flag. The
// strings are copied.
func (s *Store) Seen(key, variant string) {
	now := time.Now().Unix()
	u := s.find(key)
	if u == nil {
		if flag.CheckKey(key) != nil {
			return
		}
		u = s.add(key)
	}
	advance(&u.last, now)
	if at := u.variant(variant); at != nil {
		advance(at, now)
	}
}

// LastSeen gives when a flag was last evaluated, to the second; false if it was not since
// [Store.Since].
func (s *Store) LastSeen(key string) (time.Time, bool) {
	for _, g := range []*generation{s.current.Load(), s.past.Load()} {
		if found, ok := g.flags.Load(key); ok {
			return time.Unix(found.(*usage).last.Load(), 0), true
		}
	}
	return time.Time{}, false
}

// Variant is when a flag last gave a variant. An empty name is the code's default.
type Variant struct {
	Name     string
	LastSeen time.Time
}

// Variants gives the variants that a flag has given since [Store.Since], sorted by name.
func (s *Store) Variants(key string) []Variant {
	latest := map[string]int64{}
	for _, g := range []*generation{s.past.Load(), s.current.Load()} {
		found, ok := g.flags.Load(key)
		if !ok {
			continue
		}
		if known := found.(*usage).variants.Load(); known != nil {
			for name, at := range *known {
				latest[name] = max(latest[name], at.Load())
			}
		}
	}
	list := make([]Variant, 0, len(latest))
	for _, name := range slices.Sorted(maps.Keys(latest)) {
		list = append(list, Variant{name, time.Unix(latest[name], 0)})
	}
	return list
}

// advance moves a time forward, and writes nothing if it is there.
func advance(at *atomic.Int64, now int64) {
	if at.Load() < now {
		at.Store(now)
	}
}

// find gives the flag's usage of the current generation; nil if there is none.
func (s *Store) find(key string) *usage {
	if found, ok := s.current.Load().flags.Load(key); ok {
		return found.(*usage)
	}
	return nil
}

// add brings a flag into the current generation, and begins another if that is full.
func (s *Store) add(key string) *usage {
	g := s.current.Load()
	found, existed := g.flags.LoadOrStore(strings.Clone(key), &usage{})
	if !existed && g.kept.Add(1) >= s.limit {
		s.turn(g)
	}
	return found.(*usage)
}

// turn begins the next generation after full, unless somebody has already.
func (s *Store) turn(full *generation) {
	s.turning.Lock()
	defer s.turning.Unlock()
	if s.current.Load() != full {
		return
	}
	if s.past.Load().kept.Load() > 0 {
		s.since.Store(time.Now().Unix())
	}
	s.past.Store(full)
	s.current.Store(&generation{})
}

// variant gives the time of a variant, nil if there are too many or its name is none.
func (u *usage) variant(name string) *atomic.Int64 {
	if known := u.variants.Load(); known != nil {
		if at := (*known)[name]; at != nil {
			return at
		}
	}
	if name != "" && flag.CheckKey(name) != nil {
		return nil
	}
	u.adding.Lock()
	defer u.adding.Unlock()
	var next map[string]*atomic.Int64
	if known := u.variants.Load(); known == nil {
		next = make(map[string]*atomic.Int64, 1)
	} else if at := (*known)[name]; at != nil || len(*known) > flag.MaxVariants {
		return at
	} else {
		next = maps.Clone(*known)
	}
	at := &atomic.Int64{}
	next[strings.Clone(name)] = at
	u.variants.Store(&next)
	return at
}
