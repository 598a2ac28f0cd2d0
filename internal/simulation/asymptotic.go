package simulation

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

// middleMinutes is what the asymptotic rows are tuned to: the middle of the time that is watched.
const middleMinutes = watchMinutes / 2

// pooled is the one-sided asymptotic confidence sequence for a difference of means (Waudby-Smith,
// Arbour, Sinha, Kennedy and Ramdas, Ann. Statist. 52, 2024), with one mean for each arm over all
// intervals. Seatrial does not do so: see what it makes of a ramp.
type pooled struct {
	lambda             float64
	treatment, control moments
}

type moments struct{ n, sum, squares float64 }

func (m *moments) add(n uint64, sum, squares float64) {
	m.n += float64(n)
	m.sum += sum
	m.squares += squares
}

// variance of the mean.
func (m *moments) variance() float64 {
	mean := m.sum / m.n
	return max(m.squares/m.n-mean*mean, 0) / m.n
}

// fires tells whether the difference is over 0 at level alpha.
func (p *pooled) fires(alpha float64) bool {
	n := p.treatment.n + p.control.n
	if p.treatment.n == 0 || p.control.n == 0 {
		return false
	}
	if p.lambda == 0 {
		p.lambda = evidence.MixtureScale(middleMinutes*n, 2*alpha)
	}
	deviation := math.Sqrt((p.treatment.variance() + p.control.variance()) * n) // of one observation
	difference := p.treatment.sum/p.treatment.n - p.control.sum/p.control.n
	return deviation > 0 && difference*n > deviation*evidence.UpperMixtureBoundary(n, p.lambda, alpha)
}

func startPooled() rule {
	var p pooled
	return func(_ *repetition, o *observation) bool {
		c := o.counts
		p.treatment.add(c.Mc, float64(c.X), float64(c.X))
		p.control.add(c.Mb, float64(c.Y), float64(c.Y))
		return p.fires(alpha)
	}
}

func startPooledLatency() rule {
	var p pooled
	return func(_ *repetition, o *observation) bool {
		t, c := &o.timings[0], &o.timings[1]
		p.treatment.add(t.count, t.sum, t.squares)
		p.control.add(c.count, c.sum, c.squares)
		return p.fires(alpha)
	}
}

func startPooledValues() rule {
	var p pooled
	return func(_ *repetition, o *observation) bool {
		t, c := o.values[0], o.values[1]
		p.treatment.add(t.N, t.Sum, t.SumSquares)
		p.control.add(c.N, c.Sum, c.SumSquares)
		return p.fires(alpha)
	}
}

// startScore is the stratified score test, at the variance expected of the first interval's share.
func startScore() rule {
	var s evidence.Score
	lambda := 0.0
	return func(_ *repetition, o *observation) bool {
		c := o.counts
		if lambda == 0 {
			events := middleMinutes * baseErrors * float64(c.Mc+c.Mb)
			lambda = evidence.MixtureScale(o.share*(1-o.share)*events, 2*alpha)
		}
		s.Add(c)
		return s.LogHarm(lambda) >= math.Log(1/alpha)
	}
}
