package evidence

import "math"

// Proportion tests and estimates one share: the beta-binomial mixture of Robbins ("Statistical
// methods related to the law of the iterated logarithm", Ann. Math. Stat. 41, 1970). Its
// e-processes are likelihood ratios mixed over a Beta(A, B) prior, cut off at the limit under test
// where the hypothesis is one-sided; they hold for every sequence of observations whose chance,
// given the past, kept the limit. They add up over all time and so never forget: to watch a
// limit use [Backstop], which heals.
//
// The zero value ignores everything. Plain value; its JSON keeps every bit.
type Proportion struct {
	A   float64 `json:"a"`
	B   float64 `json:"b"`
	Bad uint64  `json:"bad,omitempty"`
	Of  uint64  `json:"of,omitempty"`
}

// NewProportion starts with the prior Beta(1, 1/mean-1), whose mean is the given one: the limit
// to be tested, or the share that is expected. mean is brought into [1e-9, 1-1e-9]; NaN is ½.
func NewProportion(mean float64) Proportion {
	if math.IsNaN(mean) {
		mean = 0.5
	}
	return Proportion{A: 1, B: 1/min(max(mean, 1e-9), 1-1e-9) - 1}
}

// Add counts bad events among of; bad above of counts as of.
func (p *Proportion) Add(bad, of uint64) {
	if p.usable() {
		p.Bad, p.Of = addCapped(p.Bad, min(bad, of)), addCapped(p.Of, of)
	}
}

func (p *Proportion) usable() bool { return positive(p.A) && positive(p.B) }

// posterior are the parameters of the beta distribution after what was seen.
func (p *Proportion) posterior() (a, b float64) {
	return p.A + float64(p.Bad), p.B + float64(p.Of-min(p.Bad, p.Of))
}

// LogAbove is the log of the evidence against "the share is at most limit": the limit is broken.
// 0 for a limit outside (0, 1).
func (p *Proportion) LogAbove(limit float64) float64 {
	_, above := p.sides(limit)
	return above
}

// LogBelow is the log of the evidence against "the share is at least limit": the limit is kept.
func (p *Proportion) LogBelow(limit float64) float64 {
	below, _ := p.sides(limit)
	return below
}

// sides gives the logs of the evidence with the prior truncated to the shares below and above limit.
func (p *Proportion) sides(limit float64) (below, above float64) {
	if !p.usable() || !(limit > 0 && limit < 1) {
		return 0, 0
	}
	priorBelow, priorAbove := lnTails(p.A, p.B, limit)
	a, b := p.posterior()
	tailBelow, tailAbove := lnTails(a, b, limit)
	differs := p.LogDiffers(limit)
	return differs + tailBelow - priorBelow, differs + tailAbove - priorAbove
}

// LogDiffers is the log of the evidence against "the share is limit".
func (p *Proportion) LogDiffers(limit float64) float64 {
	if !p.usable() || !(limit > 0 && limit < 1) {
		return 0
	}
	a, b := p.posterior()
	bad, good := a-p.A, b-p.B
	return lnBeta(a, b) - lnBeta(p.A, p.B) - float64(bad*ln(limit)) - float64(good*ln1p(-limit))
}

// Interval gives the confidence sequence of the share at level 1-alpha: the shares that
// [Proportion.LogDiffers] does not reject, and the observed share (0 without observations). alpha
// outside (0, 1) counts as 0.05.
func (p *Proportion) Interval(alpha float64) (low, high, estimate float64) {
	if !p.usable() || p.Of == 0 {
		return 0, 1, 0
	}
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.05
	}
	estimate = float64(p.Bad) / float64(p.Of)
	return p.edge(estimate, 0, -ln(alpha)), p.edge(estimate, 1, -ln(alpha)), estimate
}

// edge bisects between inside, which is not rejected, and outside for where it begins to be.
func (p *Proportion) edge(inside, outside, level float64) float64 {
	if inside == outside {
		return outside
	}
	for range 100 {
		middle := inside + (outside-inside)/2
		if p.LogDiffers(middle) < level && middle > 0 && middle < 1 {
			inside = middle
		} else {
			outside = middle
		}
	}
	return inside
}

// DifferenceOf gives a confidence sequence of the difference of two shares, treatment minus
// control, from one sequence at half the level for each: crude, but without a grid and for any
// split. [DifferenceSequence] is sharper.
func DifferenceOf(treatment, control *Proportion, alpha float64) (low, high, estimate float64) {
	if !(alpha > 0 && alpha < 1) {
		alpha = 0.05
	}
	lowT, highT, t := treatment.Interval(alpha / 2)
	lowC, highC, c := control.Interval(alpha / 2)
	return lowT - highC, highT - lowC, t - c
}

// ConstantSplit is the closed form of [RelativeRate] and [RatioSequence] for a split that does not
// change: given the events of both arms, each is one of the treatment with the chance
// θ = ρr/(1-ρ+ρr) at rate ratio r, so a [Proportion] of the labels tests and estimates r. Start it
// anew at a change of the split and add the logs (the evidence multiplies), or use RelativeRate.
type ConstantSplit struct {
	Share  float64    `json:"share"` // of the treatment in the exposures
	Labels Proportion `json:"labels"`
}

// NewConstantSplit starts with the prior Beta(20·share, 20·(1-share)). share is the treatment's
// part of the exposures, brought into [1e-6, 1-1e-6]; NaN is ½.
func NewConstantSplit(share float64) ConstantSplit {
	if math.IsNaN(share) {
		share = 0.5
	}
	share = min(max(share, 1e-6), 1-1e-6)
	const strength = 20
	return ConstantSplit{Share: share, Labels: Proportion{A: float64(strength * share), B: float64(strength * (1 - share))}}
}

// Add counts x bad events of the treatment and y of the control.
func (s *ConstantSplit) Add(x, y uint64) { s.Labels.Add(x, addCapped(x, y)) }

// label is the chance that an event is one of the treatment, at rate ratio r.
func (s *ConstantSplit) label(r float64) float64 {
	treatment := float64(s.Share * r)
	return treatment / (1 - s.Share + treatment)
}

// LogHarm is the log of the evidence against "rate ratio ≤ r0".
func (s *ConstantSplit) LogHarm(r0 float64) float64 { return s.Labels.LogAbove(s.label(r0)) }

// LogNoWorse is the log of the evidence against "rate ratio ≥ r0".
func (s *ConstantSplit) LogNoWorse(r0 float64) float64 { return s.Labels.LogBelow(s.label(r0)) }

// Interval gives the confidence sequence of the rate ratio at level 1-alpha and its estimate;
// high is +Inf where nothing bounds it.
func (s *ConstantSplit) Interval(alpha float64) (low, high, estimate float64) {
	low, high, estimate = s.Labels.Interval(alpha)
	return s.ratio(low), s.ratio(high), s.ratio(estimate)
}

func (s *ConstantSplit) ratio(label float64) float64 {
	return label / (1 - label) * (1 - s.Share) / s.Share
}
