package simulation

import "math"

// asymptotic is the one-sided asymptotic confidence sequence for a difference of means, pooled
// over all intervals (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
// theory", arXiv:2103.06476, and its one-sided form in GrowthBook). It is narrowest at size
// observations; the rows tune it to the middle of the time that is watched.
type asymptotic struct {
	size               float64
	treatment, control moments
}

const middleMinutes = watchMinutes / 2

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
func (a *asymptotic) fires(alpha float64) bool {
	t := a.treatment.n + a.control.n
	if a.size == 0 {
		a.size = middleMinutes * t
	}
	if a.treatment.n == 0 || a.control.n == 0 {
		return false
	}
	deviation := math.Sqrt(a.treatment.variance()+a.control.variance()) * math.Sqrt(t)
	difference := a.treatment.sum/a.treatment.n - a.control.sum/a.control.n
	return deviation > 0 && difference > deviation*asymptoticWidth(t, a.size, alpha)
}

// asymptoticWidth is the one-sided half width for unit variance after t observations, when it is
// tuned to size.
func asymptoticWidth(t, size, alpha float64) float64 {
	rho2 := asymptoticTuning(2*alpha) / size
	v := t*rho2 + 1
	return math.Sqrt(2 * v / (t * t * rho2) * math.Log1p(math.Sqrt(v)/(2*alpha)))
}

// asymptoticTuning is ρ²·t* of the narrowest sequence at t*.
func asymptoticTuning(alpha float64) float64 {
	return -2*math.Log(alpha) + math.Log(1-2*math.Log(alpha))
}

// score is the stratified score test under a normal mixture: the bad events of the treatment less
// those expected of its share, interval by interval, which is the log-rank statistic. The mixture
// is tuned to the variance that is expected in the middle of the time that is watched.
type score struct{ sum, variance, lambda float64 }

func (s *score) add(o *observation) {
	c := o.counts
	n := float64(c.X + c.Y)
	share := float64(c.Mc) / float64(c.Mc+c.Mb)
	if s.lambda == 0 {
		middle := middleMinutes * o.share * (1 - o.share) * baseErrors * float64(c.Mc+c.Mb)
		s.lambda = middle / asymptoticTuning(2*alpha)
	}
	s.sum += float64(c.X) - share*n
	s.variance += share * (1 - share) * n
}

func (s *score) fires(alpha float64) bool {
	v := s.variance + s.lambda
	return s.sum >= math.Sqrt(2*v*math.Log1p(math.Sqrt(v/s.lambda)/(2*alpha)))
}

// bandWidth is the half width of the uniform band for a distribution function after t values
// (Howard and Ramdas, "Sequential estimation of quantiles", Bernoulli 28, 2022, Theorem 2).
func bandWidth(t, alpha float64) float64 {
	return 0.85 * math.Sqrt((math.Log(math.Log(math.E*t))+0.8*math.Log(1612/alpha))/t)
}
