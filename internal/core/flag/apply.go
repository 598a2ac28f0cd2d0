package flag

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ErrGap says that a [Delta] does not continue a [Set]. Ask for a full snapshot.
var ErrGap = errors.New("the delta does not continue this set; ask for a snapshot")

// Apply gives the set that d leads to; s and d stay as they are, and the result shares their
// flags, segments and layers. Deletions come first, and deleting what is not there does nothing. The
// error is [ErrGap] (wrapped) when d is of another history, does not start at s's revision, or
// goes back in epoch or revision. The result is normalized if s was; it is not validated.
func (s Set) Apply(d Delta) (Set, error) {
	switch {
	case d.History != s.History:
		return Set{}, fmt.Errorf("history %q, want %q: %w", d.History, s.History, ErrGap)
	case d.Parent != s.Revision:
		return Set{}, fmt.Errorf("revision %d follows %d, have %d: %w", d.Revision, d.Parent, s.Revision, ErrGap)
	case d.Revision <= d.Parent || d.Epoch < s.Epoch:
		return Set{}, fmt.Errorf("revision %d of epoch %d goes back from %d of epoch %d: %w", d.Revision, d.Epoch, s.Revision, s.Epoch, ErrGap)
	}
	next := s
	next.Epoch, next.Revision, next.Hash = d.Epoch, d.Revision, d.Hash
	if d.FaultsOff != nil {
		next.FaultsOff = *d.FaultsOff
	}
	next.Flags = patch(s.Flags, d.Flags, d.DeletedFlags, flagKey)
	next.Segments = patch(s.Segments, d.Segments, d.DeletedSegments, segmentKey)
	next.Layers = patch(s.Layers, d.Layers, d.DeletedLayers, layerKey)
	next.Allocations = patch(s.Allocations, d.Allocations, d.EndedTrials, allocationTrial)
	slices.SortFunc(next.Allocations, compareAllocations)
	return next, nil
}

// patch gives a new list: old without the deleted and the replaced, plus put, sorted by key. It
// merges, as old is nearly always sorted and a change touches few of many.
func patch[T any](old, put []T, deleted []string, key func(*T) string) []T {
	byKey := func(a, b T) int { return cmp.Compare(key(&a), key(&b)) }
	put = sorted(put, byKey)
	gone := make(map[string]bool, len(put)+len(deleted))
	for _, k := range deleted {
		gone[k] = true
	}
	for i := range put {
		gone[key(&put[i])] = true
	}
	next := make([]T, 0, len(old)+len(put))
	for i := range old {
		k := key(&old[i])
		if len(gone) > 0 && gone[k] {
			continue
		}
		for len(put) > 0 && key(&put[0]) < k {
			next, put = append(next, put[0]), put[1:]
		}
		next = append(next, old[i])
	}
	next = append(next, put...)
	if !isSorted(next, key) {
		slices.SortStableFunc(next, byKey)
	}
	return next
}

// isSorted copies no elements, as a comparison of values would.
func isSorted[T any](list []T, key func(*T) string) bool {
	for i := 1; i < len(list); i++ {
		if key(&list[i-1]) > key(&list[i]) {
			return false
		}
	}
	return true
}

func flagKey(f *Flag) string               { return f.Key }
func segmentKey(s *Segment) string         { return s.Key }
func layerKey(l *Layer) string             { return l.Key }
func allocationTrial(a *Allocation) string { return a.Trial }

func compareAllocations(a, b Allocation) int {
	return cmp.Or(cmp.Compare(a.Flag, b.Flag), cmp.Compare(a.Trial, b.Trial))
}

// Diff gives the delta that leads from s to next, so that s.Apply(s.Diff(next)) equals next in
// normal form. It makes sense for sets of one history and environment only; the delta carries
// next's history, epoch, revision and hash.
func (s Set) Diff(next Set) Delta {
	d := Delta{History: next.History, Epoch: next.Epoch, Parent: s.Revision, Revision: next.Revision, Hash: next.Hash}
	if next.FaultsOff != s.FaultsOff {
		off := next.FaultsOff
		d.FaultsOff = &off
	}
	d.Flags, d.DeletedFlags = changes(s.Flags, next.Flags, flagKey, (*Flag).equal)
	d.Segments, d.DeletedSegments = changes(s.Segments, next.Segments, segmentKey, (*Segment).equal)
	d.Layers, d.DeletedLayers = changes(s.Layers, next.Layers, layerKey, (*Layer).equal)
	d.Allocations, d.EndedTrials = changes(s.Allocations, next.Allocations, allocationTrial, (*Allocation).equal)
	return d
}

// changes gives what is new or different in next, and the keys that it lacks, each sorted by key.
func changes[T any](old, next []T, key func(*T) string, equal func(a, b *T) bool) (put []T, deleted []string) {
	before := make(map[string]*T, len(old))
	for i := range old {
		before[key(&old[i])] = &old[i]
	}
	for i := range next {
		k := key(&next[i])
		if was := before[k]; was == nil || !equal(was, &next[i]) {
			put = append(put, next[i])
		}
		delete(before, k)
	}
	for k := range before {
		deleted = append(deleted, k)
	}
	slices.Sort(deleted)
	slices.SortStableFunc(put, func(a, b T) int { return cmp.Compare(key(&a), key(&b)) })
	return put, deleted
}

// Normalize gives s in the one form in which equal states have equal JSON: lists sorted by key
// (allocations by flag, then trial) and never nil. (encoding/json itself drops insignificant
// space in values.) s stays as it is, and shares its flags with the result.
func (s Set) Normalize() Set {
	s.Flags = sorted(s.Flags, func(a, b Flag) int { return cmp.Compare(a.Key, b.Key) })
	s.Segments = sorted(s.Segments, func(a, b Segment) int { return cmp.Compare(a.Key, b.Key) })
	s.Layers = sorted(s.Layers, func(a, b Layer) int { return cmp.Compare(a.Key, b.Key) })
	s.Allocations = sorted(s.Allocations, compareAllocations)
	return s
}

func sorted[T any](list []T, compare func(a, b T) int) []T {
	next := append(make([]T, 0, len(list)), list...)
	slices.SortStableFunc(next, compare)
	return next
}
