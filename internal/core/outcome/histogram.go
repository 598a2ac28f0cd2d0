package outcome

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Scale is the fixed scale of every stored histogram: bucket i holds (base^i, base^(i+1)] with
// base = 2^(2^-Scale), that is 2.2 % wide, ±1.1 % (OpenTelemetry exponential histogram, data
// model section "Exponential scale").
const Scale = 5

// Bounds of what a histogram tells apart: durations from 1 µs to 1 day, in seconds. Shorter ones
// count in the bucket of 1 µs, longer ones in that of 1 day, so a histogram never has more than
// MaxIndex-MinIndex+1 = 1163 buckets.
const (
	MinIndex = -638 // bucket of 1 µs
	MaxIndex = 524  // bucket of 1 day
)

// Histogram is an exponential histogram at [Scale]. The zero value is empty and ready to use.
// Merging in any order gives the same Counts; Sum is the same up to rounding. A copy shares its
// Counts, so use [Histogram.Clone] before changing one of them. It is not safe for concurrent
// use.
type Histogram struct {
	Zero   uint64   `json:"zero,omitempty"`   // values ≤ 0
	Offset int32    `json:"offset,omitempty"` // index of Counts[0]
	Counts []uint64 `json:"counts,omitempty"` // the first and the last are not 0
	Sum    float64  `json:"sum,omitempty"`    // of the values recorded, in seconds
}

// Record counts one duration in seconds. NaN is ignored.
func (h *Histogram) Record(seconds float64) {
	switch {
	case seconds != seconds:
	case seconds <= 0:
		h.Zero = addCapped(h.Zero, 1)
	default:
		i := clampIndex(int64(index(seconds)))
		h.add(i, 1)
		h.Sum += min(seconds, lowerEdge(MaxIndex+1))
	}
}

// Merge adds the values of other, which stays as it is. nil adds nothing.
func (h *Histogram) Merge(other *Histogram) {
	if other == nil {
		return
	}
	h.addBuckets(0, int64(other.Offset), other.Counts)
	h.Zero = addCapped(h.Zero, other.Zero)
	h.Sum += other.Sum
}

// ImportExponential adds an OpenTelemetry exponential histogram of non-negative values in
// seconds: bucket k of counts is (base^(offset+k), base^(offset+k+1)] with base = 2^(2^-scale). A
// finer scale is brought to [Scale] exactly, as its bucket edges include ours. sum is that of
// the values. It fails, and adds nothing, on a scale coarser than [Scale] or above 20 (the
// finest of the OpenTelemetry data model) and on a sum that is not finite or negative.
func (h *Histogram) ImportExponential(scale int32, zeroCount uint64, offset int32, counts []uint64, sum float64) error {
	if scale < Scale || scale > 20 {
		return fmt.Errorf("outcome: exponential histogram of scale %d: want %d to 20; record with a finer scale (more buckets)", scale, Scale)
	}
	if !(sum >= 0) || math.IsInf(sum, 1) {
		return fmt.Errorf("outcome: exponential histogram with sum %v: want a finite sum of durations ≥ 0 in seconds", sum)
	}
	h.addBuckets(uint(scale-Scale), int64(offset), counts)
	h.Zero = addCapped(h.Zero, zeroCount)
	h.Sum += sum
	return nil
}

// Count is the number of values.
func (h *Histogram) Count() uint64 {
	n := h.Zero
	for _, c := range h.Counts {
		n = addCapped(n, c)
	}
	return n
}

// Above is the number of values greater than bound, in seconds. It is exact where bound is a
// bucket edge; otherwise it counts above [Edge] of it, so values in the bucket of the bound
// count as above: the stricter side.
func (h *Histogram) Above(bound float64) uint64 {
	if bound < 0 {
		return h.Count()
	}
	first := edgeIndex(bound) // of the first bucket above the edge
	var n uint64
	for k, c := range h.Counts {
		if clampIndex(int64(h.Offset)+int64(k)) >= first {
			n = addCapped(n, c)
		}
	}
	return n
}

// Quantile is the value below or at which a share q of the values lies, in seconds, exact to
// ±1.1 % (the geometric middle of its bucket; values out of bounds read as the bound). q is brought into
// [0, 1]. It is 0 when there are no values.
func (h *Histogram) Quantile(q float64) float64 {
	n := h.Count()
	if !(q > 0) {
		q = 0
	}
	rank := uint64(math.Ceil(min(q, 1) * float64(n)))
	rank = min(max(rank, 1), n)
	seen := h.Zero
	if rank <= seen {
		return 0
	}
	for k, c := range h.Counts {
		if seen = addCapped(seen, c); seen >= rank {
			i := clampIndex(int64(h.Offset) + int64(k))
			return math.Sqrt(lowerEdge(i) * lowerEdge(i+1))
		}
	}
	return 0
}

// Clone is an independent copy.
func (h *Histogram) Clone() Histogram {
	c := *h
	c.Counts = slices.Clone(h.Counts)
	return c
}

// Edge is the largest bucket edge ≤ seconds, within the bounds: at least the lower edge of the
// bucket of 1 µs (also for 0, NaN and negative values), at most the upper edge of the bucket of
// 1 day. Values equal to an edge count as not above it.
func Edge(seconds float64) float64 { return lowerEdge(edgeIndex(seconds)) }

// edgeIndex is the i of the largest edge base^i ≤ seconds, within the bounds.
func edgeIndex(seconds float64) int32 {
	if !(seconds > 0) {
		return MinIndex
	}
	i := int64(index(seconds))
	if seconds == lowerEdge(int32(i)+1) {
		i++
	}
	return int32(min(max(i, MinIndex), MaxIndex+1))
}

func (h *Histogram) addBuckets(shift uint, offset int64, counts []uint64) {
	for k, c := range counts {
		if c > 0 {
			h.add(clampIndex((offset+int64(k))>>shift), c)
		}
	}
}

// add counts n > 0 values in bucket i, which is within the bounds.
func (h *Histogram) add(i int32, n uint64) {
	if len(h.Counts) == 0 {
		h.Offset = i
	} else if h.Offset < MinIndex || h.Offset > MaxIndex || int(h.Offset)+len(h.Counts)-1 > MaxIndex {
		h.rebuild()
	}
	if i < h.Offset {
		h.grow(int(h.Offset-i), 0)
		h.Offset = i
	}
	k := int(i - h.Offset)
	if k >= len(h.Counts) {
		h.grow(0, k+1-len(h.Counts))
	}
	h.Counts[k] = addCapped(h.Counts[k], n)
}

// grow puts empty buckets before and after the present ones. It allocates half as many again,
// so that recording allocates rarely.
func (h *Histogram) grow(before, after int) {
	old := h.Counts
	size := before + len(old) + after
	if size <= cap(old) {
		h.Counts = old[:size]
	} else {
		h.Counts = make([]uint64, size, min(size+size/2+16, MaxIndex-MinIndex+1))
	}
	copy(h.Counts[before:], old)
	clear(h.Counts[:before])
	clear(h.Counts[before+len(old):])
}

// rebuild brings buckets that came out of bounds (from stored data) within them.
func (h *Histogram) rebuild() {
	offset, counts := h.Offset, h.Counts
	h.Offset, h.Counts = 0, nil
	h.addBuckets(0, int64(offset), counts)
}

func clampIndex(i int64) int32 { return int32(min(max(i, MinIndex), MaxIndex)) }

// octave are the bucket edges in [1, 2): 2^(j/32), each rounded down to a float64. Rounded down
// because a float is at most the edge exactly when it is at most the edge rounded down.
var octave = [1 << Scale]float64{
	0x1p+00, 0x1.059b0d3158574p+00, 0x1.0b5586cf9890fp+00, 0x1.11301d0125b5p+00,
	0x1.172b83c7d517ap+00, 0x1.1d4873168b9aap+00, 0x1.2387a6e756238p+00, 0x1.29e9df51fdee1p+00,
	0x1.306fe0a31b715p+00, 0x1.371a7373aa9cap+00, 0x1.3dea64c123422p+00, 0x1.44e086061892dp+00,
	0x1.4bfdad5362a27p+00, 0x1.5342b569d4f81p+00, 0x1.5ab07dd485429p+00, 0x1.6247eb03a5584p+00,
	0x1.6a09e667f3bccp+00, 0x1.71f75e8ec5f73p+00, 0x1.7a11473eb0186p+00, 0x1.82589994cce12p+00,
	0x1.8ace5422aa0dbp+00, 0x1.93737b0cdc5e4p+00, 0x1.9c49182a3f09p+00, 0x1.a5503b23e255cp+00,
	0x1.ae89f995ad3adp+00, 0x1.b7f76f2fb5e46p+00, 0x1.c199bdd85529cp+00, 0x1.cb720dcef9069p+00,
	0x1.d5818dcfba487p+00, 0x1.dfc97337b9b5ep+00, 0x1.ea4afa2a490d9p+00, 0x1.f50765b6e454p+00,
}

// index is the bucket of a value > 0, not clamped. It compares with the edges and computes no
// logarithm, so it is exact at them.
func index(v float64) int32 {
	if math.IsInf(v, 1) {
		v = math.MaxFloat64
	}
	m, e := math.Frexp(v)
	m *= 2 // in [1, 2)
	below := 0
	for half := len(octave) / 2; half > 0; half /= 2 { // binary search: how many edges are < m
		if octave[below+half-1] < m {
			below += half
		}
	}
	if octave[below] < m {
		below++
	}
	return int32((e-1)<<Scale + below - 1)
}

// lowerEdge is base^i, rounded down.
func lowerEdge(i int32) float64 {
	return math.Ldexp(octave[i&(1<<Scale-1)], int(i>>Scale))
}

func addCapped(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return sum
}
