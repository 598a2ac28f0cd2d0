package cohorts

import (
	"math"
	"slices"
)

// Buckets are a histogram as it was sent: explicit bounds, or exponential buckets of values over 0.
type Buckets struct {
	Exponential bool
	Bounds      []float64 // explicit: finite, ascending, one less than Counts (or none)
	Counts      []uint64
	Scale       int32 // exponential: bucket k is (2^((Offset+k)/2^Scale), 2^((Offset+k+1)/2^Scale)]
	Offset      int32
	Zero        uint64 // exponential: values that are 0
	Sum         float64
}

// Bounds of a histogram.
const (
	maxBuckets   = 2048
	maxCount     = 1 << 53 // where float64 stops to hold every integer
	lowestScale  = -10
	highestScale = 20
)

// Valid reports whether the buckets can be read: counts within 2^53 together, at most 2 048
// buckets, ascending bounds.
func (b *Buckets) Valid() bool {
	if len(b.Counts) > maxBuckets || b.Zero > maxCount || b.total() > maxCount || math.IsNaN(b.Sum) || math.IsInf(b.Sum, 0) {
		return false
	}
	if b.Exponential {
		return b.Scale >= lowestScale && b.Scale <= highestScale && len(b.Bounds) == 0
	}
	for i, bound := range b.Bounds {
		if math.IsNaN(bound) || math.IsInf(bound, 0) || i > 0 && bound <= b.Bounds[i-1] {
			return false
		}
	}
	return len(b.Counts) == len(b.Bounds)+1
}

// total counts the values; above maxCount it stops.
func (b *Buckets) total() uint64 {
	n := b.Zero
	for _, c := range b.Counts {
		if n += c; n > maxCount || c > maxCount {
			return maxCount + 1
		}
	}
	return n
}

// coarsen brings exponential buckets to a scale that is at most theirs.
func (b *Buckets) coarsen(scale int32) {
	shift := b.Scale - scale
	if !b.Exponential || shift <= 0 {
		return
	}
	b.Scale = scale
	if len(b.Counts) == 0 {
		b.Offset >>= shift
		return
	}
	first := b.Offset >> shift
	last := int32((int64(b.Offset) + int64(len(b.Counts)) - 1) >> shift)
	counts := make([]uint64, last-first+1)
	for k, n := range b.Counts {
		counts[int32((int64(b.Offset)+int64(k))>>shift)-first] += n
	}
	b.Offset, b.Counts = first, counts
}

// since gives what was added since before; false if that cannot be: a count went down, or the
// bounds are others.
func (b *Buckets) since(before *Buckets) (d Buckets, ok bool) {
	if b.Exponential != before.Exponential || b.Zero < before.Zero {
		return d, false
	}
	d = *b
	d.Zero -= before.Zero
	d.Sum -= before.Sum
	d.Counts = slices.Clone(b.Counts)
	if !b.Exponential {
		if !slices.Equal(b.Bounds, before.Bounds) {
			return d, false
		}
		return d, subtract(d.Counts, 0, before.Counts)
	}
	if b.Scale > before.Scale { // a histogram only ever gets coarser
		return d, false
	}
	old := *before
	old.coarsen(b.Scale)
	return d, subtract(d.Counts, int(old.Offset)-int(b.Offset), old.Counts)
}

// subtract takes counts from others, which lie shift places to the right; false if there are fewer.
func subtract(from []uint64, shift int, counts []uint64) bool {
	for k, n := range counts {
		at := k + shift
		switch {
		case n == 0:
		case at < 0 || at >= len(from) || from[at] < n:
			return false
		default:
			from[at] -= n
		}
	}
	return true
}
