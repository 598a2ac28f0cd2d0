package trial

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/outcome"
)

// GuardrailState is the evidence on one guardrail. All log values are natural logarithms of
// e-values: 0 is no evidence, ln(1/α) decides at level α.
type GuardrailState struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Alarm is on while the treatment looks worse at all (tolerance or not) and is not yet
	// proven safe.
	Alarm bool `json:"alarm,omitempty"`

	LogHarm    float64 `json:"logHarm"`    // against "within tolerance"
	LogNoWorse float64 `json:"logNoWorse"` // against "beyond tolerance"
	LogAnyHarm float64 `json:"logAnyHarm"` // against "not worse at all"

	// NoData counts the intervals in a row that said nothing to this guardrail, StepTold those of
	// this step that did.
	NoData   int `json:"noData,omitempty"`
	StepTold int `json:"stepTold,omitempty"`

	// Treatment and Control count what the evidence is made of, over the whole attempt.
	Treatment Count `json:"treatment"`
	Control   Count `json:"control"`
	// Bound, in seconds, is the one that these counts and this ratio are of; 0 for errors.
	Bound float64 `json:"bound,omitempty"`
	// Ratio of the shares, treatment over control, from all intervals.
	Ratio Estimate `json:"ratio"`
	// Difference of the means, treatment less control, in the value's unit; nil where nothing is
	// known or the metric is another.
	Difference *Difference `json:"difference,omitempty"`

	// Bounds are what is counted: one for errors and events, one for each latency bound.
	Bounds []BoundState `json:"bounds,omitempty"`
	// Learning collects the control's latency until the last of the bounds is read off it; Learnt
	// counts those that are. Slots is what the mean over the bounds divides by, with e-value 1 for
	// those that are to come and for quantiles that fell into one bucket: it must not change.
	Learning *outcome.Histogram `json:"learning,omitempty"`
	Learnt   int                `json:"learnt,omitempty"`
	Slots    int                `json:"slots,omitempty"`
	Flow     *evidence.Flow     `json:"flow,omitempty"`  // throughput
	Means    *evidence.Means    `json:"means,omitempty"` // value
	// SLO watches the service level, if there is one.
	SLO *SLOState `json:"slo,omitempty"`
	// History is what the watch after a promotion compares with.
	History *HistoryState `json:"history,omitempty"`
	// Dispersion is measured by an A/A trial.
	Dispersion *Dispersion `json:"dispersion,omitempty"`
}

// Count is a share as two numbers; for a value Of counts observations and Sum adds them up.
type Count struct {
	Bad uint64  `json:"bad"`
	Of  uint64  `json:"of"`
	Sum float64 `json:"sum,omitempty"`
}

// Share gives Bad/Of, 0 for an empty count.
func (c Count) Share() float64 { return share(c.Bad, c.Of) }

// Mean gives Sum/Of, 0 for an empty count.
func (c Count) Mean() float64 {
	if c.Of == 0 {
		return 0
	}
	return c.Sum / float64(c.Of)
}

func (c *Count) add(d Count) {
	c.Bad += d.Bad
	c.Of += d.Of
	c.Sum += d.Sum
}

// Difference is a point estimate within a confidence sequence of a difference of means.
type Difference struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// BoundState is the evidence on one kind of bad event.
type BoundState struct {
	Seconds   float64                `json:"seconds,omitempty"` // slower than this is bad; 0 for others
	Treatment Count                  `json:"treatment"`
	Control   Count                  `json:"control"`
	Guard     evidence.Guard         `json:"guard"`
	Ratio     evidence.RatioSequence `json:"ratio"`
}

// learnt are the quantiles of the control's latency that become bounds, each read off as soon as
// that many of its requests came: a p99 of few requests is so uncertain that a slower tail may
// hide above it (docs/simulations.md).
var learnt = []struct {
	quantile float64
	requests uint64
}{{0.5, 200}, {0.75, 200}, {0.9, 200}, {0.95, 200}, {0.99, 1000}}

func newGuardrail(spec *Spec, g *Guardrail) GuardrailState {
	s := GuardrailState{Name: g.Name, Verdict: VerdictNoData, SLO: newSLO(g)}
	switch {
	case g.Metric == MetricThroughput:
		flow := evidence.NewFlow(g.Relative)
		s.Flow = &flow
	case g.Metric == MetricValue:
		means := evidence.NewMeans(g.Relative, g.Absolute)
		s.Means = &means
	case g.Metric != MetricLatency || g.Prometheus != nil:
		s.Bounds = []BoundState{newBound(g, 0)}
	case len(g.Bounds) > 0:
		for _, b := range g.Bounds {
			s.addBound(g, outcome.Edge(b))
		}
		s.addSLOBound(g)
	default:
		s.Learning = &outcome.Histogram{}
		s.addSLOBound(g)
		s.Slots = len(s.Bounds) + len(learnt)
	}
	if spec.Goal == GoalCalibrate {
		s.Dispersion = &Dispersion{}
	}
	return s
}

func newBound(g *Guardrail, seconds float64) BoundState {
	return BoundState{Seconds: seconds, Guard: evidence.NewGuard(g.relative(), g.Absolute)}
}

// addBound adds a bound unless it is there: several quantiles may lie in one bucket.
func (s *GuardrailState) addBound(g *Guardrail, seconds float64) {
	for i := range s.Bounds {
		if s.Bounds[i].Seconds == seconds {
			return
		}
	}
	s.Bounds = append(s.Bounds, newBound(g, seconds))
}

// relative is the margin for the evidence, which knows only "higher is worse". Where higher is
// better the arms change places: the control may have 1/(1-r) times what the treatment has.
func (g *Guardrail) relative() float64 {
	if g.Metric == MetricEvent && g.Better == BetterHigher {
		return g.Relative / (1 - g.Relative)
	}
	return g.Relative
}

// add weighs what an interval tells.
func (s *GuardrailState) add(g *Guardrail, r *reading) {
	switch {
	case s.Flow != nil:
		s.addFlow(g, r)
	case s.Means != nil:
		s.addMeans(g, r)
	default:
		s.addBounds(g, r)
		s.learn(g, r)
	}
}

// addBounds weighs every bound; what depends on the exposures only is worked out once.
func (s *GuardrailState) addBounds(g *Guardrail, r *reading) {
	var split evidence.Split
	higher := g.Better == BetterHigher
	for i := range s.Bounds {
		b := &s.Bounds[i]
		t, c := r.counts(g, b.Seconds)
		x, y := g.effective(b.Treatment.Bad, t.Bad), g.effective(b.Control.Bad, c.Bad)
		if i == 0 {
			mc, mb := g.effective(b.Treatment.Of, t.Of), g.effective(b.Control.Of, c.Of)
			if higher {
				mc, mb = mb, mc
			}
			split = evidence.NewSplit(g.relative(), mc, mb)
		}
		b.Treatment.add(t)
		b.Control.add(c)
		if higher {
			x, y = y, x
		}
		b.Guard.AddSplit(&split, x, y)
		b.Ratio.AddSplit(&split, x, y)
	}
}

func (s *GuardrailState) addFlow(g *Guardrail, r *reading) {
	t, c := r.counts(g, 0)
	s.Flow.Add(g.effective(s.Treatment.Of, t.Of), g.effective(s.Control.Of, c.Of), r.share)
	s.Treatment.add(t)
	s.Control.add(c)
}

// addMeans weighs values. Where higher is better their negatives are compared.
func (s *GuardrailState) addMeans(g *Guardrail, r *reading) {
	s.Means.Add(g.moments(s.Treatment.Of, &r.t), g.moments(s.Control.Of, &r.c))
	s.Treatment.add(Count{Of: r.t.Of, Sum: r.t.Sum})
	s.Control.add(Count{Of: r.c.Of, Sum: r.c.Sum})
}

func (g *Guardrail) moments(before uint64, m *outcome.Measure) evidence.Moments {
	n := g.effective(before, m.Of)
	part := float64(n) / float64(m.Of)
	if g.Better == BetterHigher {
		return evidence.Moments{N: n, Sum: -float64(m.Sum * part), SumSquares: float64(m.SumSquares * part)}
	}
	return evidence.Moments{N: n, Sum: float64(m.Sum * part), SumSquares: float64(m.SumSquares * part)}
}

// effective divides what an interval adds by the design effect.
func (g *Guardrail) effective(before, add uint64) uint64 {
	return evidence.Effective(before, add, g.DesignEffect)
}

// learn collects the control's latency. A bound is read off the past and used only for what comes
// after, which keeps the evidence valid.
func (s *GuardrailState) learn(g *Guardrail, r *reading) {
	if s.Learning == nil {
		return
	}
	s.Learning.Merge(&r.control.Latency)
	for s.Learning.Count() >= learnt[s.Learnt].requests {
		s.addBound(g, outcome.Edge(s.Learning.Quantile(learnt[s.Learnt].quantile)))
		if s.Learnt++; s.Learnt == len(learnt) {
			s.Learning = nil
			return
		}
	}
}

// judge combines the evidence and gives the verdict. Harm at some bound is harm (mean of
// e-values); safe means safe at every bound (intersection-union).
func (s *GuardrailState) judge(spec *Spec, g *Guardrail, state *State, told bool) {
	if told {
		s.combine(spec, g, state)
	}
	switch {
	case s.LogHarm >= math.Log(1/spec.Alpha):
		s.Verdict = VerdictHarmful
	case state.Sample.Invalid:
		s.Verdict = VerdictInvalid
	case s.Verdict != VerdictHarmful && s.LogNoWorse >= math.Log(1/state.SafeLevel(spec)):
		s.Verdict = VerdictSafe
	case s.empty() || s.silent(spec, g):
		s.Verdict = VerdictNoData
	default:
		s.Verdict = VerdictUndecided
	}
	worse := s.Verdict == VerdictHarmful || s.LogAnyHarm >= math.Log(1/spec.HoldAlpha)
	s.Alarm = s.Verdict != VerdictSafe && (s.Alarm || worse)
}

// empty reports that nothing was counted that could be compared. Of throughput the treatment may
// show nothing.
func (s *GuardrailState) empty() bool {
	return s.Control.Of == 0 || s.Treatment.Of == 0 && s.Flow == nil
}

func (s *GuardrailState) combine(spec *Spec, g *Guardrail, state *State) {
	switch {
	case s.Flow != nil:
		s.LogHarm, s.LogNoWorse, s.LogAnyHarm = s.Flow.LogHarm(), s.Flow.LogNoWorse(), s.Flow.LogAnyHarm()
	case s.Means != nil:
		s.LogHarm, s.LogNoWorse, s.LogAnyHarm = s.Means.LogHarm(), s.Means.LogNoWorse(), s.Means.LogAnyHarm()
		s.Difference = difference(s.Means, g, state.SafeLevel(spec))
	case len(s.Bounds) > 0:
		s.combineBounds(g, state.SafeLevel(spec))
	}
}

func (s *GuardrailState) combineBounds(g *Guardrail, alpha float64) {
	var harm, anyHarm [MaxBounds + 1]float64 // 0 for slots without a bound
	worst := 0
	s.LogNoWorse = math.Inf(1)
	for i := range s.Bounds {
		b := &s.Bounds[i]
		harm[i], anyHarm[i] = b.Guard.LogHarm(), b.Guard.LogAnyHarm()
		s.LogNoWorse = min(s.LogNoWorse, b.Guard.LogNoWorse())
		if anyHarm[i] > anyHarm[worst] {
			worst = i
		}
	}
	if s.Learning != nil { // not proven safe at a bound that is to come
		s.LogNoWorse = min(s.LogNoWorse, 0)
	}
	n := max(len(s.Bounds), s.Slots)
	s.LogHarm = evidence.MeanLogE(harm[:n]...)
	s.LogAnyHarm = evidence.MeanLogE(anyHarm[:n]...)
	b := &s.Bounds[worst] // the bound that tells most is the one to show
	s.Treatment, s.Control, s.Bound = b.Treatment, b.Control, b.Seconds
	s.Ratio = newEstimate(b.Ratio.Interval(alpha))
	if g.Better == BetterHigher {
		s.Ratio = s.Ratio.inverse()
	}
}

// difference is nil while nothing is known.
func difference(m *evidence.Means, g *Guardrail, alpha float64) *Difference {
	low, high, value := m.Interval(alpha)
	if math.IsInf(low, 0) || math.IsInf(high, 0) || math.IsNaN(value) {
		return nil
	}
	if g.Better == BetterHigher {
		low, high, value = -high, -low, -value
	}
	return &Difference{Value: value, Low: low, High: high}
}

// enforced gives the evidence of harm of the guardrails that may stop the trial.
func (s *State) enforced(spec *Spec) (names []string, logs, weights []float64) {
	for i := range spec.Guardrails {
		if g := &spec.Guardrails[i]; g.Mode == ModeEnforce {
			names = append(names, g.Name)
			logs = append(logs, s.Guardrails[i].LogHarm)
			weights = append(weights, g.Weighs())
		}
	}
	return names, logs, weights
}

// Weighs is the weight among the guardrails that may roll back: Weight, or its default.
func (g *Guardrail) Weighs() float64 {
	if g.Weight > 0 {
		return g.Weight
	}
	return 1
}

// harmful applies the weighted mean rule over the enforced guardrails and names those that
// closed testing holds responsible. The weights stand in the spec, so they were fixed before.
func (s *State) harmful(spec *Spec) (blamed []string, ok bool) {
	var logs, weights [MaxGuardrails]float64
	n := 0
	for i := range spec.Guardrails {
		if g := &spec.Guardrails[i]; g.Mode == ModeEnforce && n < MaxGuardrails {
			logs[n], weights[n] = s.Guardrails[i].LogHarm, g.Weighs()
			n++
		}
	}
	if n == 0 || evidence.WeightedMeanLogE(logs[:n], weights[:n]) < math.Log(1/spec.Alpha) {
		return nil, false
	}
	names, all, parts := s.enforced(spec)
	return blame(names, all, parts, spec.Alpha), true
}

// blame names the guilty after the mean rule has alarmed; if no single one can be named, it is
// the one with most weighted evidence.
func blame(names []string, logs, weights []float64, alpha float64) (blamed []string) {
	for _, i := range evidence.BlameWeighted(logs, weights, alpha) {
		blamed = append(blamed, names[i])
	}
	if len(blamed) > 0 {
		return blamed
	}
	most := 0
	for i := range logs {
		if logs[i]+math.Log(weights[i]) > logs[most]+math.Log(weights[most]) {
			most = i
		}
	}
	return []string{names[most]}
}

// SampleState checks that the arms grow as the assignment makes them (sample ratio).
type SampleState struct {
	Test evidence.SampleRatio `json:"test"`
	LogE float64              `json:"logE"`
	// Invalid stays once it is on: a biased sample does not heal.
	Invalid bool `json:"invalid"`
}

// sampleAlpha is strict, because a wrong sample ratio invalidates everything.
const sampleAlpha = 0.001

func (s *SampleState) add(iv *outcome.Interval, treatmentShare float64) {
	s.Test.Add(iv.Treatment.NewUnits, iv.Control.NewUnits, treatmentShare)
	s.LogE = s.Test.LogE()
	s.Invalid = s.Invalid || s.LogE >= math.Log(1/sampleAlpha)
}
