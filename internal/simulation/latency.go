package simulation

import (
	"math"
	"math/rand/v2"
	"sync"
)

// The latencies of the set-up: lognormal, recorded in buckets of factor 2^(1/4).
const (
	latencyMedian = 0.05 // seconds
	latencySigma  = 0.8
	bucketsOctave = 4
	firstBucket   = 4  // from 2^(4/4) ms; the first and the last bucket hold all beyond
	buckets       = 44 // up to 2^(48/4) ms = 4 s
)

// edge is the upper edge of bucket k, in seconds: a power of 2^(1/4) in milliseconds.
func edge(k int) float64 { return math.Exp2(float64(firstBucket+k+1)/bucketsOctave) / 1000 }

// nearestEdge is the bucket whose upper edge is nearest, as a ratio, to the quantile q of the
// base distribution.
func nearestEdge(q float64) int {
	quantile := math.Log2(1000*latencyMedian) + latencySigma*normalQuantile(q)/math.Ln2
	return int(math.Round(quantile*bucketsOctave)) - firstBucket - 1
}

func normalQuantile(q float64) float64 { return math.Sqrt2 * math.Erfinv(2*q-1) }

// normalAbove is the chance of a standard normal value over z.
func normalAbove(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// latencies is a distribution of latencies, bucket by bucket.
type latencies struct {
	left         [buckets]float64 // chance of the bucket among values that are in no earlier one
	mean, square [buckets]float64 // within the bucket: of the values and of their squares
}

// The distributions of the tables: as it is, with what is slower than the 95th percentile a fifth
// slower, and all a fifth slower.
var (
	healthyLatencies = sync.OnceValue(func() *latencies { return newLatencies(func(v float64) float64 { return v }) })
	slowTail         = sync.OnceValue(func() *latencies {
		return newLatencies(func(v float64) float64 {
			if normalAbove(logLatency(v)) < 0.05 {
				return 1.2 * v
			}
			return v
		})
	})
	allSlower = sync.OnceValue(func() *latencies { return newLatencies(func(v float64) float64 { return 1.2 * v }) })
)

// newLatencies distorts the base distribution, latency by latency.
func newLatencies(distort func(quantile float64) float64) *latencies {
	const fine = 40_000 // equal parts of the distribution's probability, each at its middle
	var mass, sum, squares [buckets]float64
	for i := range fine {
		z := normalQuantile((float64(i) + 0.5) / fine)
		v := distort(latencyMedian * math.Exp(latencySigma*z))
		k := bucketOf(v)
		mass[k]++
		sum[k] += v
		squares[k] += v * v
	}
	l := &latencies{}
	rest := float64(fine)
	for k := range buckets {
		if mass[k] > 0 {
			l.left[k], l.mean[k], l.square[k] = mass[k]/rest, sum[k]/mass[k], squares[k]/mass[k]
		}
		rest -= mass[k]
	}
	return l
}

func bucketOf(v float64) int {
	k := int(math.Ceil(math.Log2(1000*v)*bucketsOctave)) - firstBucket - 1
	return min(max(k, 0), buckets-1)
}

// timings are the latencies of one arm in one interval.
type timings struct {
	count        uint64
	buckets      [buckets]uint64
	sum, squares float64 // of the latencies in seconds
}

// draw records n latencies. The counts are multinomial; the sum is normal within each bucket,
// which is narrow.
func (l *latencies) draw(r *rand.Rand, n uint64) (t timings) {
	t.count = n
	variance := 0.0
	for k := range buckets {
		if n == 0 {
			break
		}
		c := binomial(r, n, l.left[k])
		n -= c
		t.buckets[k] = c
		t.sum += float64(c) * l.mean[k]
		t.squares += float64(c) * l.square[k]
		variance += float64(c) * (l.square[k] - l.mean[k]*l.mean[k])
	}
	t.sum += math.Sqrt(max(variance, 0)) * r.NormFloat64()
	return t
}

func (t *timings) add(o *timings) {
	t.count += o.count
	t.sum += o.sum
	t.squares += o.squares
	for k, c := range o.buckets {
		t.buckets[k] += c
	}
}

// above counts the latencies over the upper edge of bucket k.
func (t *timings) above(k int) (n uint64) {
	for _, c := range t.buckets[k+1:] {
		n += c
	}
	return n
}

// quantile in seconds, interpolated within its bucket on the log scale; NaN without values.
func (t *timings) quantile(q float64) float64 {
	rank, seen := q*float64(t.count), 0.0
	for k, c := range t.buckets {
		if c > 0 && seen+float64(c) >= rank {
			part := (rank - seen) / float64(c)
			return edge(k) * math.Exp2((part-1)/bucketsOctave)
		}
		seen += float64(c)
	}
	return math.NaN()
}

// logLatency is how many standard deviations a latency is above the median, on the log scale.
func logLatency(v float64) float64 { return math.Log(v/latencyMedian) / latencySigma }

// sumOf draws the sum of n latencies: one by one while they are few, else from the normal
// distribution that it then nearly has.
func sumOf(r *rand.Rand, n uint64) (sum float64) {
	const few = 100
	if n <= few {
		for range n {
			sum += latencyMedian * math.Exp(latencySigma*r.NormFloat64())
		}
		return sum
	}
	mean := latencyMedian * math.Exp(latencySigma*latencySigma/2)
	variance := mean * mean * (math.Exp(latencySigma*latencySigma) - 1)
	return float64(n)*mean + math.Sqrt(float64(n)*variance)*r.NormFloat64()
}
