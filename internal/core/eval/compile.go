package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// Compile is [CompileWith] without member lists.
func Compile(set flag.Set) (*Snapshot, error) {
	return CompileWith(set, func(flag.List) (*members.Set, bool) { return nil, false })
}

// CompileWith validates and compiles a set; it refuses exactly what [flag.Set.Validate] refuses,
// with the same *flag.Problems. The order of the set's lists does not matter.
//
// The function lists gives the members of a segment's list. False means that they are not there
// (yet): then nobody is a member by that list, and [Snapshot.MissingLists] names the segment.
func CompileWith(set flag.Set, lists func(flag.List) (*members.Set, bool)) (*Snapshot, error) {
	if err := set.Validate(); err != nil {
		return nil, err
	}
	c := compiler{
		lists: lists, paths: map[string]*path{}, evaluators: flag.Evaluators(set.Segments),
		flags: make([]Flag, len(set.Flags)), byKey: make(map[string]*Flag, len(set.Flags)), slots: 1,
	}
	if err := c.compile(&set); err != nil {
		return nil, err
	}
	return &Snapshot{
		environment: set.Environment, history: set.History, hash: set.Hash,
		epoch: set.Epoch, revision: set.Revision,
		byKey: c.byKey, sorted: c.flags, missing: c.sortedMissing(), slots: c.slots,
	}, nil
}

// compiler turns a valid set into flags that share segments, layers and names of attributes.
type compiler struct {
	lists      func(flag.List) (*members.Set, bool)
	missing    []string // segments whose lists are not there
	paths      map[string]*path
	segments   map[string]*segment
	evaluators map[string]json.RawMessage
	gates      map[string]*gate // of flags in layers
	gate       *gate            // of all others
	flags      []Flag           // all, sorted by key
	byKey      map[string]*Flag
	slots      uint32 // given out, and the one of no flag
	usesTime   bool   // some condition of the flag that is compiled
}

func (c *compiler) compile(set *flag.Set) error {
	if err := c.compileSegments(set.Segments); err != nil {
		return err
	}
	c.compileLayers(set.Layers)
	from := sortedFlags(set.Flags)
	for i := range from {
		if err := c.values(&c.flags[i], from[i]); err != nil {
			return fmt.Errorf("flag %q: %w", from[i].Key, err)
		}
		c.byKey[from[i].Key] = &c.flags[i]
		c.flags[i].slot, c.slots = c.slots, c.slots+1+uint32(len(c.flags[i].variants))
	}
	allocations := byFlag(set.Allocations)
	for i := range from {
		if err := c.logic(&c.flags[i], from[i], allocations[from[i].Key]); err != nil {
			return fmt.Errorf("flag %q: %w", from[i].Key, err)
		}
	}
	c.spreadTime(from)
	return nil
}

// byFlag gives the trials of each flag, by name.
func byFlag(allocations []flag.Allocation) map[string][]*flag.Allocation {
	found := make(map[string][]*flag.Allocation, len(allocations))
	for i := range allocations {
		a := &allocations[i]
		found[a.Flag] = append(found[a.Flag], a)
	}
	for _, list := range found {
		slices.SortFunc(list, func(a, b *flag.Allocation) int { return cmp.Compare(a.Trial, b.Trial) })
	}
	return found
}

// spreadTime makes flags use the time that need a flag which does, at any depth.
func (c *compiler) spreadTime(from []*flag.Flag) {
	for range flag.MaxChain {
		for i := range from {
			f := &c.flags[i]
			for j := range f.needs {
				f.usesTime = f.usesTime || f.needs[j].flag.usesTime
			}
		}
	}
}

// sortedFlags gives pointers to the flags in the order of their keys.
func sortedFlags(flags []flag.Flag) []*flag.Flag {
	list := make([]*flag.Flag, len(flags))
	for i := range flags {
		list[i] = &flags[i]
	}
	byKey := func(a, b *flag.Flag) int { return cmp.Compare(a.Key, b.Key) }
	if !slices.IsSortedFunc(list, byKey) {
		slices.SortFunc(list, byKey)
	}
	return list
}

// path gives the one path for a name.
func (c *compiler) path(name string) *path {
	p := c.paths[name]
	if p == nil {
		p = newPath(name, len(c.paths))
		c.paths[name] = p
	}
	return p
}
