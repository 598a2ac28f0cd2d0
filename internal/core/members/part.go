package members

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A part is, at rest and on the wire:
//
//	4 bytes  "sMEM"
//	1 byte   version, 1
//	3 bytes  0
//	8 bytes  number of hashes, little-endian, 1 to MaxPart
//	8 bytes  each hash, little-endian, strictly ascending
//
// Sorted random hashes cannot be packed much: of one million, the gaps have 44 bits, so that in
// variable length each takes 6.8 bytes (6.1 of ten million; BenchmarkVarint), and four times as
// long to read. Fixed width is read where it lies.
const (
	headerBytes = 16
	hashBytes   = 8
	version     = 1
	magic       = "sMEM"

	// MaxPart is the most hashes in one part.
	MaxPart = 1 << 20
	// MaxPartBytes is the longest part.
	MaxPartBytes = headerBytes + MaxPart*hashBytes
)

// Part is a block of sorted hashes, checked. It never changes. The zero Part is empty.
type Part struct{ data []byte }

// DecodePart checks the bytes of a part. They belong to the part from then on and must not be
// modified. An error tells what is wrong; there is no other way to a part that is not sound.
func DecodePart(data []byte) (Part, error) {
	if len(data) < headerBytes || string(data[:len(magic)]) != magic {
		return Part{}, errors.New("it is no part of a member list")
	}
	if v := data[len(magic)]; v != version {
		return Part{}, fmt.Errorf("it has version %d, this program reads %d: update it", v, version)
	}
	if data[5]|data[6]|data[7] != 0 {
		return Part{}, errors.New("its header is damaged")
	}
	count := binary.LittleEndian.Uint64(data[8:])
	if count < 1 || count > MaxPart {
		return Part{}, fmt.Errorf("it says that it has %d hashes, a part has 1 to %d", count, MaxPart)
	}
	if want := headerBytes + int(count)*hashBytes; len(data) != want {
		return Part{}, fmt.Errorf("it has %d bytes, not the %d of %d hashes", len(data), want, count)
	}
	p := Part{data}
	for i := 1; i < p.Len(); i++ {
		if p.at(i-1) >= p.at(i) {
			return Part{}, fmt.Errorf("hash %d is not above the one before", i+1)
		}
	}
	return p, nil
}

// Len is the number of hashes.
func (p Part) Len() int { return max(len(p.data)-headerBytes, 0) / hashBytes }

// Bytes are the part at rest and on the wire. Do not modify them.
func (p Part) Bytes() []byte { return p.data }

func (p Part) at(i int) uint64 {
	return binary.LittleEndian.Uint64(p.data[headerBytes+i*hashBytes:])
}

// newPart makes a part of 1 to MaxPart sorted, different hashes.
func newPart(hashes []uint64) Part {
	data := make([]byte, 0, headerBytes+len(hashes)*hashBytes)
	data = append(data, magic...)
	data = append(data, version, 0, 0, 0)
	data = binary.LittleEndian.AppendUint64(data, uint64(len(hashes)))
	for _, h := range hashes {
		data = binary.LittleEndian.AppendUint64(data, h)
	}
	return Part{data}
}
