// Package bucket gives every unit its place: murmur3 and the arithmetic of flagd fractional v2,
// so that every client in every language puts a unit into the same share.
package bucket

import "math/bits"

// Seed is a murmur3_x86_32 that has absorbed some text (Appleby, 2008, public domain; seed 0).
// What is hashed is always salt + ":" + unit; the part up to the colon is absorbed once, when a
// snapshot is compiled, so that hashing a unit neither joins strings nor allocates.
type Seed struct {
	hash   uint32
	tail   uint32 // the last length%4 bytes, not yet mixed in, little-endian
	length uint32 // bytes absorbed, modulo 2^32 as in the reference implementation
}

const c1, c2 = 0xcc9e2d51, 0x1b873593

// NewSeed starts a hash for a salt. A salt has no colon (flag.CheckKey), so the first colon in
// the bytes ends it, and no two pairs of salt and unit share their bytes.
func NewSeed(salt string) Seed { return Seed{}.Absorb(salt).Absorb(":") }

// Absorb gives the state after more text.
func (s Seed) Absorb(text string) Seed {
	pending := s.length & 3 * 8 // bits in the tail
	s.length += uint32(len(text))
	for len(text) >= 4 {
		word := uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
		s.mix(s.tail | word<<pending)
		s.tail = word >> (32 - pending) // 0 if nothing was pending
		text = text[4:]
	}
	for i := range len(text) {
		s.tail |= uint32(text[i]) << pending
		if pending += 8; pending == 32 {
			s.mix(s.tail)
			s.tail, pending = 0, 0
		}
	}
	return s
}

func (s *Seed) mix(block uint32) {
	s.hash ^= bits.RotateLeft32(block*c1, 15) * c2
	s.hash = bits.RotateLeft32(s.hash, 13)*5 + 0xe6546b64
}

// Sum gives the hash of all that was absorbed, and unit.
func (s Seed) Sum(unit string) uint32 {
	s = s.Absorb(unit)
	h := s.hash ^ bits.RotateLeft32(s.tail*c1, 15)*c2 // an empty tail changes nothing
	h ^= s.length
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// Hash is murmur3_x86_32 with seed 0 over the bytes salt + ":" + unit: what flagd hashes for
// {"cat": ["<salt>:", {"var": "targetingKey"}]}. It does not allocate.
func Hash(salt, unit string) uint32 { return NewSeed(salt).Sum(unit) }

// Of maps a hash evenly to [0, total): (hash * total) >> 32, as flagd fractional v2 does.
// It is 0 if total is.
func Of(hash, total uint32) uint32 { return uint32(uint64(hash) * uint64(total) >> 32) }
