package evidence

// Bounds of what a [RatioSequence] reports: e^-4 and e^4. An interval that ends there may go on
// beyond.
var (
	MinRatio = exp(-4)
	MaxRatio = exp(4)
)

const (
	ratioPoints  = 81   // ln r = -4, -3.9, …, 4
	ratioSpacing = 10.0 // grid points in a unit of ln r
	ratioEdge    = 4.0
)

var ratioSteps = ratioGrid()

func ratioGrid() (steps [ratioPoints]float64) {
	for k := range steps {
		steps[k] = exp(ratioLog(k))
	}
	return steps
}

func ratioLog(k int) float64 { return float64(k-ratioPoints/2) / ratioSpacing }

// RatioSequence is a confidence sequence for the rate ratio (treatment over control) under a
// changing split: the ratios r that the mixture over a grid does not reject,
//
//	{ r : ln Σ w_k e^L(r_k) - L(r) < ln(1/α) },  L(r) = Σ X·ln r - (X+Y)·ln(1-ρ+ρ·r)
//
// L is kept at the grid's 81 points and interpolated between them by a polynomial of degree 7
// (error below 1e-11 per event), so the state does not grow with the number of intervals.
// It is meant for rare events; for common ones the interval is wider than it need be. Show it,
// decide by the e-processes.
//
// The zero value is ready to use. Plain value; its JSON keeps every bit.
type RatioSequence struct {
	LogL [ratioPoints]float64 `json:"logL"`
}

// Add weighs one interval. Without exposures in both arms, or without events, it changes nothing.
func (s *RatioSequence) Add(c Counts) {
	c, ok := c.clean()
	if !ok || c.X+c.Y == 0 {
		return
	}
	x, n := float64(c.X), float64(c.X)+float64(c.Y)
	share := float64(c.Mc) / (float64(c.Mc) + float64(c.Mb))
	for k := range s.LogL {
		normaliser := ln1p(float64(share * (ratioSteps[k] - 1)))
		s.LogL[k] += float64(x*ratioLog(k)) - float64(n*normaliser)
	}
}

// Interval gives the confidence interval at level 1-alpha, valid at any time, and the estimate of
// greatest likelihood, all within [MinRatio, MaxRatio]. Without events it is (MinRatio, MaxRatio, 1).
// alpha outside (0, 1) counts as 0.05.
func (s *RatioSequence) Interval(alpha float64) (low, high, estimate float64) {
	if s.LogL == (RatioSequence{}.LogL) {
		return MinRatio, MaxRatio, 1
	}
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.05
	}
	mode := s.mode()
	level := logSumExp(s.LogL[:]) - ln(ratioPoints) + ln(alpha) // L above it is inside
	return exp(s.crossing(level, mode, -ratioEdge)), exp(s.crossing(level, mode, ratioEdge)), exp(mode)
}

// mode is the ln r where L is greatest, by golden-section search next to the best grid point.
func (s *RatioSequence) mode() float64 {
	best := 0
	for k, v := range s.LogL {
		if v > s.LogL[best] {
			best = k
		}
	}
	const golden = 0.6180339887498949
	a, b := ratioLog(max(best-1, 0)), ratioLog(min(best+1, ratioPoints-1))
	for range 60 {
		left, right := b-float64(golden*(b-a)), a+float64(golden*(b-a))
		if s.at(left) > s.at(right) {
			b = right
		} else {
			a = left
		}
	}
	return a + (b-a)/2
}

// crossing bisects for the ln r between inside and edge where L falls to level; the edge itself
// if it does not.
func (s *RatioSequence) crossing(level, inside, edge float64) float64 {
	if s.at(edge) > level {
		return edge
	}
	for range 80 {
		middle := inside + (edge-inside)/2
		if s.at(middle) > level {
			inside = middle
		} else {
			edge = middle
		}
	}
	return inside + (edge-inside)/2
}

// at interpolates L at ln r = u, by Neville's scheme on the eight nearest grid points.
func (s *RatioSequence) at(u float64) float64 {
	const window = 8
	position := float64((u + ratioEdge) * ratioSpacing)
	first := min(max(int(position)-window/2+1, 0), ratioPoints-window)
	var p [window]float64
	copy(p[:], s.LogL[first:first+window])
	t := position - float64(first)
	for width := 1; width < window; width++ {
		for i := range window - width {
			p[i] = (float64((float64(i+width)-t)*p[i]) + float64((t-float64(i))*p[i+1])) / float64(width)
		}
	}
	return p[0]
}
