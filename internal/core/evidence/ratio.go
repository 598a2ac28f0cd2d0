package evidence

import "math"

// Bounds of what a [RatioSequence] reports: e^-4 and e^4. An interval that ends there may go on
// beyond.
var (
	MinRatio = exp(-ratioEdge)
	MaxRatio = exp(ratioEdge)
)

const (
	ratioPoints  = 41  // ln r = -4, -3.8, …, 4
	ratioSpacing = 5.0 // points in a unit of ln r
	ratioEdge    = 4.0
)

// The ratios r at which L is kept: ln r and r-1.
var ratioLogs, ratioSteps = ratioGrid()

func ratioGrid() (logs, steps [ratioPoints]float64) {
	for k := range steps {
		logs[k] = ratioLog(k)
		steps[k] = exp(logs[k]) - 1
	}
	return logs, steps
}

func ratioLog(k int) float64 { return float64(k-ratioPoints/2) / ratioSpacing }

// RatioSequence is a confidence sequence for the rate ratio (treatment over control) under a
// changing split: the ratios r that the mixture over a grid does not reject,
//
//	{ r : ln Σ w_k e^L(r_k) - L(r) < ln(1/α) },  L(r) = Σ X·ln r - (X+Y)·ln(1-ρ+ρ·r)
//
// with the 81 grid points ln r = -4, -3.9, …, 4 and equal weights (the method of mixtures with the
// conditional likelihood of Lindon and Malek, NeurIPS 2022). L is kept at every second of them
// and interpolated between (see ratioPiece), so the state does not grow with the number of
// intervals. It is meant for rare events; for common ones the interval is wider than it need be.
// Show it, decide by the e-processes.
//
// The zero value is ready to use. Plain value; its JSON keeps every bit.
type RatioSequence struct {
	logL [ratioPoints]float64
}

// IsZero reports whether s has seen no events, for omitzero.
func (s *RatioSequence) IsZero() bool { return s.logL == [ratioPoints]float64{} }

// Add weighs one interval. Without exposures in both arms, or without events, it changes nothing.
func (s *RatioSequence) Add(c Counts) {
	c, ok := c.clean()
	if !ok || c.X+c.Y == 0 {
		return
	}
	var normalisers [ratioPoints]float64
	normalise(normalisers[:], ratioSteps[:], weightOf(c.Mc, c.Mb, 1))
	s.weigh(c, &normalisers)
}

// AddSplit is Add for x bad events in the treatment and y in the control among the exposures of
// sp.
func (s *RatioSequence) AddSplit(sp *Split, x, y uint64) {
	if c, ok := sp.counts(x, y); ok && c.X+c.Y > 0 {
		s.weigh(c, &sp.ratio)
	}
}

func (s *RatioSequence) weigh(c Counts, normalisers *[ratioPoints]float64) {
	x, n := float64(c.X), float64(c.X)+float64(c.Y)
	for k := range s.logL {
		s.logL[k] += float64(x*ratioLogs[k]) - float64(n*normalisers[k])
	}
}

// Interval gives the confidence interval at level 1-alpha, valid at any time, and the estimate of
// greatest likelihood, all within [MinRatio, MaxRatio]. Without events it is (MinRatio, MaxRatio, 1).
// alpha outside (0, 1) counts as 0.05.
func (s *RatioSequence) Interval(alpha float64) (low, high, estimate float64) {
	if s.IsZero() {
		return MinRatio, MaxRatio, 1
	}
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.05
	}
	best := s.best()
	mode := s.mode(best)
	level := s.mixture(best) + ln(alpha) // L above it is inside
	return exp(s.lower(mode, level)), exp(s.upper(mode, level)), exp(mode)
}

// best is the point with the greatest L.
func (s *RatioSequence) best() (best int) {
	for k, v := range s.logL {
		if v > s.logL[best] {
			best = k
		}
	}
	return best
}

// mixture is ln Σ w_k e^L(r_k) over all 81 ratios.
func (s *RatioSequence) mixture(best int) float64 {
	var values [2*ratioPoints - 1]float64
	n := copy(values[:], s.logL[:])
	top := s.logL[best]
	for _, cell := range [2]int{max(best-1, 0), min(best, ratioPoints-2)} {
		top = max(top, s.middle(cell))
	}
	for cell := range ratioPoints - 1 {
		// L is concave: apart from the cells beside the best point the middle is under one of its ends.
		if max(s.logL[cell], s.logL[cell+1])-top > negligible || cell == best || cell == best-1 {
			values[n] = s.middle(cell)
			n++
		}
	}
	return logSumExp(values[:n]) - ln(2*ratioPoints-1)
}

// mode is the ln r where L is greatest, next to the best point.
func (s *RatioSequence) mode(best int) float64 {
	p := s.piece(best)
	t := float64(best - p.first)
	from, to := max(t-1, 0), min(t+1, ratioPoints-1-float64(p.first))
	for range ratioSearch {
		_, slope, curvature := p.at(t)
		if slope > 0 {
			from = t
		} else {
			to = t
		}
		last := t
		t -= slope / curvature
		if !(t > from && t < to) {
			t = from + (to-from)/2
		}
		if math.Abs(t-last) < ratioPrecision {
			break
		}
	}
	return p.log(t)
}

// lower is the ln r under the mode where L rises through the level; the edge if it is above the
// level there.
func (s *RatioSequence) lower(mode, level float64) float64 {
	if s.logL[0] > level {
		return -ratioEdge
	}
	cell := 0
	for cell < ratioPoints-2 && ratioLog(cell+1) < mode && s.logL[cell+1] <= level {
		cell++
	}
	return s.crossing(cell, ratioLog(cell), min(ratioLog(cell+1), mode), level)
}

// upper is the same above the mode.
func (s *RatioSequence) upper(mode, level float64) float64 {
	if s.logL[ratioPoints-1] > level {
		return ratioEdge
	}
	cell := ratioPoints - 2
	for cell > 0 && ratioLog(cell) > mode && s.logL[cell] <= level {
		cell--
	}
	return s.crossing(cell, ratioLog(cell+1), max(ratioLog(cell), mode), level)
}

// crossing finds the ln r between outside (L ≤ level) and inside (L > level), both of one cell,
// where L passes the level: Newton's method from outside, which for a concave L never oversteps.
func (s *RatioSequence) crossing(cell int, outside, inside, level float64) float64 {
	p := s.piece(cell)
	out, in := p.position(outside), p.position(inside)
	t := out
	for range ratioSearch {
		value, slope, _ := p.at(t)
		if value > level {
			in = t
		} else {
			out = t
		}
		last := t
		t += (level - value) / slope
		if !(t >= min(out, in) && t <= max(out, in)) {
			t = out + (in-out)/2
		}
		if math.Abs(t-last) < ratioPrecision {
			break
		}
	}
	return p.log(t)
}
