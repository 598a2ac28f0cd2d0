package members

import (
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Key is the key of a list's hashes: the two little-endian halves of its 16 bytes.
type Key struct{ k0, k1 uint64 }

// NewKey gives the key of 16 bytes, which should be random.
func NewKey(b [16]byte) Key {
	return Key{k0: word(string(b[:8])), k1: word(string(b[8:]))}
}

// ParseKey reads a key from 32 hex digits, as flag.List.HashKey has them.
func ParseKey(text string) (Key, error) {
	var b [16]byte
	if len(text) != hex.EncodedLen(len(b)) {
		return Key{}, fmt.Errorf("the hash key has %d characters: it is written as 32 hex digits", len(text))
	}
	if _, err := hex.Decode(b[:], []byte(text)); err != nil {
		return Key{}, fmt.Errorf("the hash key is not written in hex digits: %w", err)
	}
	return NewKey(b), nil
}

// Hash is SipHash-2-4 of a targeting key (Aumasson and Bernstein, "SipHash: a fast short-input
// PRF", 2012, section 2). It does not allocate.
func (k Key) Hash(targetingKey string) uint64 {
	v0, v1 := k.k0^0x736f6d6570736575, k.k1^0x646f72616e646f6d
	v2, v3 := k.k0^0x6c7967656e657261, k.k1^0x7465646279746573
	last := uint64(len(targetingKey)) << 56
	for ; len(targetingKey) >= 8; targetingKey = targetingKey[8:] {
		m := word(targetingKey)
		v3 ^= m
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
		v0 ^= m
	}
	for i := range len(targetingKey) {
		last |= uint64(targetingKey[i]) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		v0, v1, v2, v3 = round(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

// round is SipRound (figure 2.1 of the paper).
func round(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0, v2 = v0+v1, v2+v3
	v1, v3 = bits.RotateLeft64(v1, 13)^v0, bits.RotateLeft64(v3, 16)^v2
	v0 = bits.RotateLeft64(v0, 32)
	v2, v0 = v2+v1, v0+v3
	v1, v3 = bits.RotateLeft64(v1, 17)^v2, bits.RotateLeft64(v3, 21)^v0
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}

// word reads 8 bytes, little-endian; the compiler makes one load of it.
func word(b string) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
