package cohorts

import (
	"math"
	"math/bits"

	"github.com/seatrial/seatrial/internal/core/outcome"
)

// Histograms of stock SDKs have bounds of their own; evidence is read off ours, whose buckets
// ("cells") are 2.2 % wide. A count is placed by three rules:
//
//  1. It lies just above the lower bound of its bucket, so that the number above any bound of the
//     telemetry is exact (to the cell of that bound).
//  2. Only bounds count that both arms have. If the canary records with other bounds, the buckets of
//     both are merged to the common ones: the arms are always rounded alike.
//  3. Where a plan asks for a bound that lies inside a bucket, the whole bucket counts as above it:
//     the stricter side, in both arms.

const (
	lowestCell  = outcome.MinIndex
	highestCell = outcome.MaxIndex + 1
	cells       = highestCell - lowestCell + 1
)

// cellOf is the index of the largest edge of a cell that is at most the bound.
func cellOf(seconds float64) int {
	return int(math.Round(math.Log2(outcome.Edge(seconds)) * (1 << outcome.Scale)))
}

// boundSet are the cells in which a histogram has a bound.
type boundSet [(cells + 63) / 64]uint64

func (s *boundSet) add(cell int) { s[(cell-lowestCell)/64] |= 1 << ((cell - lowestCell) % 64) }

func (s *boundSet) fill() {
	for i := range s {
		s[i] = math.MaxUint64
	}
}

func (s *boundSet) intersect(other *boundSet) {
	for i := range s {
		s[i] &= other[i]
	}
}

// floor is the highest cell of the set that is at most cell; the lowest cell if there is none.
func (s *boundSet) floor(cell int) int {
	i := cell - lowestCell
	word := s[i/64] << (63 - i%64) // its highest bit is i
	if word != 0 {
		return cell - bits.LeadingZeros64(word)
	}
	for w := i/64 - 1; w >= 0; w-- {
		if s[w] != 0 {
			return lowestCell + w*64 + 63 - bits.LeadingZeros64(s[w])
		}
	}
	return lowestCell
}

// ceil is the lowest cell of the set that is at least cell; the highest cell if there is none.
func (s *boundSet) ceil(cell int) int {
	i := cell - lowestCell
	if word := s[i/64] >> (i % 64); word != 0 {
		return min(cell+bits.TrailingZeros64(word), highestCell)
	}
	for w := i/64 + 1; w < len(s); w++ {
		if s[w] != 0 {
			return min(lowestCell+w*64+bits.TrailingZeros64(s[w]), highestCell)
		}
	}
	return highestCell
}

// bounds gives the cells in which b has bounds; perSecond is how many of its units make a second.
func (b *Buckets) bounds(perSecond float64) (s boundSet) {
	if !b.Exponential {
		for _, bound := range b.Bounds {
			s.add(cellOf(bound / perSecond))
		}
		return s
	}
	if b.Scale >= outcome.Scale {
		s.fill()
		return s
	}
	// Every power of the base within the range that cells tell apart.
	octaves := math.Exp2(float64(-b.Scale))
	first := int32(math.Ceil(math.Log2(1e-6*perSecond) / octaves))
	last := int32(math.Floor(math.Log2(86_400*perSecond) / octaves))
	for k := first; k <= last; k++ {
		s.add(b.cellOfPower(k, perSecond))
	}
	return s
}

// cellOfPower is the cell of the base to the k, of an exponential histogram.
func (b *Buckets) cellOfPower(k int32, perSecond float64) int {
	if perSecond == 1 && b.Scale <= outcome.Scale { // their edges are among ours
		return int(min(max(int64(k)<<(outcome.Scale-b.Scale), lowestCell), highestCell))
	}
	return cellOf(math.Exp2(float64(k)*math.Exp2(float64(-b.Scale))) / perSecond)
}

// cells gives the cells of the bounds of bucket k: above low, up to high.
func (b *Buckets) cells(k int, perSecond float64) (low, high int) {
	if b.Exponential {
		at := b.Offset + int32(k)
		return b.cellOfPower(at, perSecond), b.cellOfPower(at+1, perSecond)
	}
	low, high = lowestCell, highestCell
	if k > 0 {
		low = cellOf(b.Bounds[k-1] / perSecond)
	}
	if k < len(b.Bounds) {
		high = cellOf(b.Bounds[k] / perSecond)
	}
	return low, high
}

// place brings the counts to our cells. common are the bounds of both arms, asked the cells of the
// bounds that the plan names, ascending.
func (b *Buckets) place(perSecond float64, common *boundSet, asked []int) (h outcome.Histogram) {
	for k, n := range b.Counts {
		if n == 0 {
			continue
		}
		low, high := b.cells(k, perSecond)
		at, top := common.floor(low), common.ceil(high)
		for _, x := range asked {
			if x > at && x < top {
				at = x
			}
		}
		one := outcome.Histogram{Offset: int32(min(at, outcome.MaxIndex)), Counts: []uint64{n}}
		h.Merge(&one)
	}
	h.Zero = b.Zero
	h.Sum = max(b.Sum/perSecond, 0)
	return h
}
