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
	// Nth says the how-maniest call of its unit of work this is at the point, from 1: its place in a
	// sequence. With 0 the Point counts, from [Point.Arm] on, whatever the unit of work.
	Nth uint64
	// Work tells the units of work of one unit apart where the rate of a sequence is drawn. With 0 the
	// same units have the sequence in all their work.
	Work uint64
}

// decision is what a program says of one call.
type decision struct {
	fault *Fault // nil: nothing happens
	delay time.Duration
	draw  uint64 // for what is random in the fault itself
}

// decide draws whether the program hits a call at the named point, with what, and for how long.
func (p *Program) decide(point string, a Assignment, caps *Caps) decision {
	if p == nil || p.Point != "" && p.Point != point {
		return decision{}
	}
	hash := a.hash(point)
	hits := hash
	if len(p.Sequence) > 0 { // all calls of the work are in, or none
		a.Call = a.Work
		hits = a.hash(point)
	}
	if rate := min(p.Rate, caps.MaxRate); !(unit(mix(hits+1)) < rate) { // NaN is below nothing
		return decision{}
	}
	f := p.choose(mix(hash + 2))
	if len(p.Sequence) > 0 {
		f = p.turn(a.Nth)
	}
	if f == nil {
		return decision{}
	}
	return decision{f, f.delay(mix(hash+3), caps.MaxLatency), mix(hash + 4)}
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

// turn gives the fault of the sequence for the nth call, from 1.
func (p *Program) turn(nth uint64) *Fault {
	steps := p.Sequence[:min(len(p.Sequence), MaxFaults)]
	total := uint64(0)
	for i := range steps {
		total += steps[i].count()
	}
	at := max(nth, 1) - 1
	if p.Repeat {
		at %= total
	}
	for i := range steps {
		if at < steps[i].count() {
			return steps[i].Fault
		}
		at -= steps[i].count()
	}
	return nil
}

func (s *Step) count() uint64 { return uint64(min(max(s.Count, 1), MaxCount)) }

func (f *Fault) weight() int {
	if f.Weight == 0 {
		return 1
	}
	return min(max(f.Weight, 0), MaxWeight)
}

func (f *Fault) delay(draw uint64, longest time.Duration) time.Duration {
	if f.Distribution != nil {
		return bounded(f.Distribution.at((float64(draw>>12)+0.5)/(1<<52)), longest)
	}
	low := min(max(f.Min, 0), longest)
	high := min(max(f.Max, low), longest)
	extra, _ := bits.Mul64(draw, uint64(high-low)+1)
	return low + time.Duration(extra)
}

// injection says what the decision does at the point, and on whose behalf.
func (d *decision) injection(point string, a Assignment) Injection {
	f := d.fault
	i := Injection{Experiment: a.Experiment, Variant: a.Variant, Point: point, Kind: f.Kind, Phase: f.phase(), Message: f.Message}
	switch f.Kind {
	case KindError:
		i.Status, i.Code = reply(f.Status, f.Code)
	case KindLatency, KindCancel:
		i.Delay = d.delay
	case KindBandwidth:
		i.BytesPerSecond = min(max(f.BytesPerSecond, 1), MaxBytesPerSecond)
	case KindTruncate:
		i.AfterBytes = min(max(f.AfterBytes, 0), MaxAfterBytes)
	case KindCorrupt:
		i.Share = min(max(f.Share, 0), 1)
	}
	return i
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
