package seatrial

import (
	"errors"
	"fmt"
	"sync"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// snapshot is one state of the environment, compiled. It does not change once it is current,
// but for the cache of series and for what was seen.
type snapshot struct {
	set         flag.Set
	flags       *eval.Snapshot
	series      sync.Map                 // *eval.TrialRef → *series
	points      map[string][]*experiment // by the name of the point
	policy      map[string]*policyFlag
	experiments []*experiment    // none while faults are put off
	seen        sightings        // the other part that changes
	about       map[string]about // by flag; most flags have nothing of the kind
	// counted are the names of tracked events that some trial is judged by.
	counted map[string]struct{}
	// behind are the segments that have not got the member list which the set names.
	behind []string
	// problems are what is passed over in the set: fault programs and policies that cannot be
	// read.
	problems []error
}

// about is what evaluations of a flag tell beside their result.
type about struct {
	version  string         // of the trial that runs on the flag, of several the first
	metadata map[string]any // of a raw definition
}

// newSnapshot is newSnapshotWith without member lists.
func newSnapshot(set flag.Set) (*snapshot, error) {
	return newSnapshotWith(set, func(flag.List) (*members.Set, bool) { return nil, false })
}

// newSnapshotWith compiles set; an error means that the set must not be used.
func newSnapshotWith(set flag.Set, lists func(flag.List) (*members.Set, bool)) (*snapshot, error) {
	flags, err := eval.CompileWith(set, lists)
	if err != nil {
		return nil, fmt.Errorf("revision %d of history %q cannot be used: %w", set.Revision, set.History, err)
	}
	s := &snapshot{set: set, flags: flags, seen: make(sightings, flags.Slots()), about: make(map[string]about, len(set.Allocations))}
	s.indexAbout()
	s.indexFaults()
	s.indexPolicies()
	return s, nil
}

func (s *snapshot) indexAbout() {
	for i := range s.set.Allocations {
		if a := &s.set.Allocations[i]; s.about[a.Flag].version == "" {
			s.about[a.Flag] = about{version: a.Version}
		}
		for _, e := range s.set.Allocations[i].Events {
			if s.counted == nil {
				s.counted = map[string]struct{}{}
			}
			s.counted[e.Name] = struct{}{}
		}
	}
	for i := range s.set.Flags {
		f := &s.set.Flags[i]
		if !f.HasDefinition() {
			continue
		}
		if metadata := s.flags.Flag(f.Key).Metadata(); len(metadata) > 0 {
			s.about[f.Key] = about{metadata: metadata}
		}
	}
}

// position names the snapshot's state as the change stream's ids do; empty for nil.
func (s *snapshot) position() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d", s.set.History, s.set.Revision)
}

// mark is where the control plane says it is.
type mark struct {
	History  string `json:"history"`
	Epoch    int64  `json:"epoch"`
	Revision int64  `json:"revision"`
	Hash     string `json:"hash"`
}

func markOf(s *flag.Set) mark { return mark{s.History, s.Epoch, s.Revision, s.Hash} }

// follows reports whether a client at state have may go to next: within one history only
// forward. Two states of one revision contradict each other (a writer was deposed); the later
// epoch wins.
func (next mark) follows(have mark) bool {
	switch {
	case next.History != have.History:
		return true
	case next.Revision != have.Revision:
		return next.Revision > have.Revision
	}
	return next.Hash != have.Hash && next.Epoch >= have.Epoch
}

// same reports whether both name one state.
func (next mark) same(have mark) bool {
	return next.History == have.History && next.Revision == have.Revision && next.Hash == have.Hash
}

// install makes set current if it is news, and reports whether the client is now at that state.
// A set that does not compile changes nothing. It waits for member lists, for a while.
func (c *Client) install(set flag.Set) (bool, error) {
	if there, news := c.isNews(&set); !news {
		return there, nil
	}
	c.lists.gather(&set)
	c.installing.Lock()
	defer c.installing.Unlock()
	if there, news := c.isNews(&set); !news {
		return there, nil
	}
	return c.replace(set)
}

// isNews reports whether set is to replace the present one, or else the client is there already.
func (c *Client) isNews(set *flag.Set) (there, news bool) {
	have := c.current.Load()
	if have == nil {
		return false, true
	}
	return markOf(set).same(markOf(&have.set)), markOf(set).follows(markOf(&have.set))
}

// reinstall makes the present set current again, with the member lists that are there now.
func (c *Client) reinstall() {
	c.installing.Lock()
	defer c.installing.Unlock()
	if have := c.current.Load(); have != nil {
		_, _ = c.replace(have.set) // it compiled before
	}
}

// replace makes set current. The caller holds c.installing.
func (c *Client) replace(set flag.Set) (bool, error) {
	lists, behind := c.lists.find(&set)
	next, err := newSnapshotWith(set, lists)
	if err != nil {
		return false, err
	}
	next.behind = behind
	c.outcomes.setLive(&set)
	before := c.current.Swap(next)
	next.inherit(before)
	c.refreshDependencies()
	c.refreshPoints()
	if c.keeper != nil { // before anybody hears of it, and closes the client
		c.keeper.keep(next)
	}
	c.announce()
	c.warn(next.problems)
	return true, nil
}

// warn logs what is passed over in a snapshot, once for as long as it stays the same.
func (c *Client) warn(problems []error) {
	text := ""
	if err := errors.Join(problems...); err != nil {
		text = err.Error()
	}
	if text != "" && text != c.warned {
		c.config.logger.Warn("seatrial: some fault programs or policies cannot be used", "error", text)
	}
	c.warned = text
}

// advance applies a delta to the current state. False without an error means that the delta does
// not lead on from there, so that a full snapshot is needed.
func (c *Client) advance(d flag.Delta) (bool, error) {
	have := c.current.Load()
	if have == nil || d.History != have.set.History || d.Epoch < have.set.Epoch {
		return false, nil
	}
	if d.Revision <= have.set.Revision { // seen before; the bookmark tells if it contradicts
		return d.Revision < have.set.Revision || d.Hash == have.set.Hash, nil
	}
	if d.Parent != have.set.Revision {
		return false, nil
	}
	set, err := have.set.Apply(d)
	if err != nil {
		return false, fmt.Errorf("change to revision %d cannot be applied: %w", d.Revision, err)
	}
	return c.install(set)
}
