package members

import (
	"fmt"
	"math/bits"
	"slices"
)

// Set is a member list, ready to be asked. It never changes, so any number of goroutines may ask.
// A nil *Set has no members.
//
// Hashes are sorted. An index on their top bits, small enough for a processor's cache, says where
// those with the same top bits are: so few, side by side in memory, that walking along them is the
// fastest way (measured against finer indexes, binary search and interpolation). A million members
// take 8.1 MB.
type Set struct {
	key    Key
	hashes []uint64
	index  []uint32 // by top bits: where they begin; one more entry is the end
	width  uint     // how many top bits
}

const (
	perBucket = 32            // most hashes to an entry of the index, on average
	uneven    = 8 * perBucket // more than that is no chance
)

// Build gives the members after edits in this order. It fails if there are more than limit.
func Build(key Key, edits []Edit, limit int) (*Set, error) {
	n := Count(edits)
	if n > limit {
		return nil, fmt.Errorf("the list has %d members, at most %d are allowed", n, limit)
	}
	s := &Set{key: key, hashes: make([]uint64, 0, n)}
	for r := range merge(edits) {
		for i := r.from; i < r.to; i++ {
			s.hashes = append(s.hashes, r.part.at(i))
		}
	}
	s.buildIndex()
	return s, nil
}

func (s *Set) buildIndex() {
	s.width = uint(bits.Len(uint(len(s.hashes) / perBucket)))
	s.index = make([]uint32, 1<<s.width+1)
	bucket := 0
	for i, h := range s.hashes {
		for at := s.bucket(h); bucket < at; {
			bucket++
			s.index[bucket] = uint32(i)
		}
	}
	for bucket++; bucket < len(s.index); bucket++ {
		s.index[bucket] = uint32(len(s.hashes))
	}
}

func (s *Set) bucket(hash uint64) int { return int(hash >> (64 - s.width)) }

// Contains reports whether a targeting key is a member; the empty one never is. It does not
// allocate.
func (s *Set) Contains(targetingKey string) bool {
	return s != nil && targetingKey != "" && s.has(s.key.Hash(targetingKey))
}

func (s *Set) has(hash uint64) bool {
	bucket := s.bucket(hash)
	list := s.hashes[s.index[bucket]:s.index[bucket+1]]
	if len(list) > uneven { // somebody chose these hashes
		_, found := slices.BinarySearch(list, hash)
		return found
	}
	for _, h := range list {
		if h >= hash {
			return h == hash
		}
	}
	return false
}

// Edits gives parts that add the members of the set, for a list that grows from there.
func (s *Set) Edits() (list []Edit) {
	if s == nil {
		return nil
	}
	for chunk := range slices.Chunk(s.hashes, MaxPart) {
		list = append(list, Edit{Part: newPart(chunk)})
	}
	return list
}

// Len is the number of members.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.hashes)
}

// Size is the memory that the set takes, in bytes.
func (s *Set) Size() int64 {
	if s == nil {
		return 0
	}
	return int64(cap(s.hashes))*8 + int64(cap(s.index))*4
}
