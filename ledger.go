package seatrial

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// maxUnits bounds the units that are remembered per trial, over all its shards.
const maxUnits = 262_144

// ledger remembers which units a trial has met, so that each is counted once: when it is new,
// once per epoch while it is at risk (active, and without a bad event in any earlier epoch), and
// once ever when its first bad event comes. It does the same for each event that the trial counts:
// once per epoch while the unit has not had it, and once ever when it has. An epoch ends with each
// flush and with each step of the trial.
//
// Memory is bounded by keeping only units whose hash is below a threshold, which is halved
// whenever the ledger is full. The hash is independent of the one that assigns units to arms, so
// both arms are thinned alike and stay comparable; the counts are those of the units kept.
//
// It is not safe for concurrent use, and does not know which arm a unit is in: within a trial a
// unit never changes it.
type ledger struct {
	units     map[uint64]unit // by hash
	capacity  int
	threshold uint64 // hashes above it are not kept
	epoch     uint32 // from 1
}

// unit is what is remembered of one: no larger than the space that the map pads it to.
type unit struct {
	seen   uint32 // last epoch active, times 2, plus 1 after a bad event
	events eventSet
}

// eventSet is a set of events of a trial, by their place in its list: a bit each.
type eventSet uint16

func (e eventSet) has(i int) bool { return e>>i&1 == 1 }

func newLedger(capacity int) ledger {
	return ledger{units: map[uint64]unit{}, capacity: capacity, threshold: math.MaxUint64, epoch: 1}
}

// sighting says what one request of a unit adds to the counts.
type sighting struct {
	isNew, atRisk, firstBad bool
	// mayHave and has are the counted events for which the unit is at risk, and which it has for
	// the first time.
	mayHave, has eventSet
}

// see notes a request of the unit with that hash, whether it went wrong, and which events it had.
func (l *ledger) see(hash uint64, bad bool, events eventSet) sighting {
	entry, known := l.units[hash]
	if !known && !l.admit(hash) {
		return sighting{}
	}
	wasBad, wasActive := entry.seen&1 == 1, entry.seen>>1 == l.epoch
	s := sighting{
		isNew:    !known,
		atRisk:   !wasBad && !wasActive,
		firstBad: !wasBad && bad,
		has:      events &^ entry.events,
	}
	if !wasActive {
		s.mayHave = ^entry.events
	}
	next := unit{l.epoch<<1 | entry.seen&1, entry.events | events}
	if bad {
		next.seen |= 1
	}
	if next != entry {
		l.units[hash] = next
	}
	return s
}

// spoil notes a bad event, and events of the trial, that came too late for the step they belong
// to: they are not counted, but the unit is no longer at risk.
func (l *ledger) spoil(hash uint64, bad bool, events eventSet) {
	entry, known := l.units[hash]
	if !known {
		return
	}
	if bad {
		entry.seen |= 1
	}
	entry.events |= events
	l.units[hash] = entry
}

// admit makes room for one more unit; false if the unit is not among those that are kept.
func (l *ledger) admit(hash uint64) bool {
	for len(l.units) >= l.capacity && l.threshold > 0 {
		l.threshold >>= 1
		for h := range l.units {
			if h > l.threshold {
				delete(l.units, h)
			}
		}
	}
	return hash <= l.threshold
}

// nextEpoch starts a new epoch. After 2^31 of them (at one a second: 68 years) units may be
// taken for active that are not.
func (l *ledger) nextEpoch() { l.epoch = l.epoch%math.MaxInt32 + 1 }

// unitHash is the hash by which a ledger knows a unit: multiply and fold (Yi, wyhash 2019, the
// scheme only) over blocks of eight bytes, seeded by the trial's salt. It shares nothing with
// the murmur3 that assigns arms.
func unitHash(salt, key string) uint64 {
	return fold(fold(0x9e3779b97f4a7c15, salt), key)
}

const (
	foldA = 0xd6e8feb86659fd93
	foldB = 0xa0761d6478bd642f
)

func fold(h uint64, text string) uint64 {
	h ^= uint64(len(text)) * foldB
	for len(text) >= 8 {
		h = mix(h^word(text), foldA)
		text = text[8:]
	}
	var tail [8]byte
	copy(tail[:], text)
	return mix(mix(h^binary.LittleEndian.Uint64(tail[:]), foldA)^foldB, foldA)
}

func word(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// mix spreads x over all bits of the result. A product of zero, which a plain folded multiply
// could be trapped in, is left by the addition.
func mix(x, k uint64) uint64 {
	hi, lo := bits.Mul64(x+0x9e3779b97f4a7c15, k)
	return hi ^ lo ^ bits.RotateLeft64(x, 32)
}
