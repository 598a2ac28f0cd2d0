package fault

import (
	"math/bits"
	"time"
)

// Assignment says on whose behalf a [Program] is applied to a call. Together with the name of the
// point it decides, so that the same assignment gives the same fault on every machine.
type Assignment struct {
	Experiment string // name of the trial or flag
	Variant    string // of the flag; only reported
	Seed       string // version of the trial: a new run hits other calls
	Unit       string // key of the user or whatever else is randomised
	// Call numbers the calls of the unit at all points, attempts included, from 1. With 0 the Point
	// counts calls itself: rates hold, but faults cannot be replayed.
	Call uint64
}

// Caps are the local bounds of a [Point]. The zero value of each means its default; a program can
// never exceed them.
type Caps struct {
	MaxLatency time.Duration // longest latency of one call: default 10 s, at most [MaxLatency]
	MaxActive  int           // calls under a fault at a time: default 100
	MaxRate    float64       // share of the eligible calls, above 0 up to 1: default 1
}

func (c Caps) normalized() Caps {
	if c.MaxLatency <= 0 {
		c.MaxLatency = 10 * time.Second
	}
	if c.MaxActive <= 0 {
		c.MaxActive = 100
	}
	if !(c.MaxRate > 0) {
		c.MaxRate = 1
	}
	return Caps{min(c.MaxLatency, MaxLatency), c.MaxActive, min(c.MaxRate, 1)}
}

// decide draws whether the program hits a call at the named point, with what, and for how long.
func (p *Program) decide(point string, a Assignment, caps Caps) (f *Fault, delay time.Duration) {
	if p == nil || p.Point != "" && p.Point != point {
		return nil, 0
	}
	hash := a.hash(point)
	if rate := min(p.Rate, caps.MaxRate); !(unit(mix(hash+1)) < rate) { // NaN is below nothing
		return nil, 0
	}
	if f = p.choose(mix(hash + 2)); f == nil {
		return nil, 0
	}
	return f, f.delay(mix(hash+3), caps.MaxLatency)
}

// choose picks a fault by weight.
func (p *Program) choose(draw uint64) *Fault {
	faults := p.Faults[:min(len(p.Faults), MaxFaults)]
	total := 0
	for i := range faults {
		total += faults[i].weight()
	}
	pick, _ := bits.Mul64(draw, uint64(total)) // even over [0, total)
	for i := range faults {
		w := uint64(faults[i].weight())
		if pick < w {
			return &faults[i]
		}
		pick -= w
	}
	return nil // no faults, or none with weight
}

func (f *Fault) weight() int {
	if f.Weight == 0 {
		return 1
	}
	return min(max(f.Weight, 0), MaxWeight)
}

func (f *Fault) delay(draw uint64, longest time.Duration) time.Duration {
	low := min(max(f.Min, 0), longest)
	high := min(max(f.Max, low), longest)
	extra, _ := bits.Mul64(draw, uint64(high-low)+1)
	return low + time.Duration(extra)
}

// unit turns 64 random bits into a number in [0, 1).
func unit(draw uint64) float64 { return float64(draw>>11) / (1 << 53) }

// hash folds the assignment into 64 bits. Each part is preceded by its length, so that no two
// assignments read the same ("beta","1user" and "beta1","user").
func (a Assignment) hash(point string) uint64 {
	h := uint64(14695981039346656037)
	for _, part := range [...]string{a.Seed, a.Experiment, point, a.Unit} {
		h = fnvNumber(h, uint64(len(part)))
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * fnvPrime
		}
	}
	return mix(fnvNumber(h, a.Call))
}

// FNV-1a, 64 bit: G. Fowler, L. C. Noll, K.-P. Vo; RFC 9923.
const fnvPrime = 1099511628211

func fnvNumber(h, n uint64) uint64 {
	for range 8 {
		h = (h ^ n&0xff) * fnvPrime
		n >>= 8
	}
	return h
}

// mix spreads every bit over all others (the finalizer of SplitMix64: G. L. Steele, D. Lea,
// C. H. Flood, Fast Splittable Pseudorandom Number Generators, 2014; constants by D. Stafford).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
