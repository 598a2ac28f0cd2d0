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

	// Treatment and Control count what the evidence is made of, over the whole attempt.
	Treatment Count `json:"treatment"`
	Control   Count `json:"control"`
	// Bound, in seconds, is the one that these counts and this ratio are of; 0 for errors.
	Bound float64 `json:"bound,omitempty"`
	// Ratio of the bad shares, treatment over control, from all intervals.
	Ratio Estimate `json:"ratio"`

	// Bounds are what is counted: one for errors, one for each latency bound.
	Bounds []BoundState `json:"bounds,omitempty"`
	// Learning collects the control's latency until the bounds can be read off it.
	Learning *outcome.Histogram `json:"learning,omitempty"`
}

// Count is a share as two numbers.
type Count struct {
	Bad uint64 `json:"bad"`
	Of  uint64 `json:"of"`
}

// Share gives Bad/Of, 0 for an empty count.
func (c Count) Share() float64 { return share(c.Bad, c.Of) }

// BoundState is the evidence on one kind of bad event.
type BoundState struct {
	Seconds   float64                `json:"seconds,omitempty"` // slower than this is bad; 0 for errors
	Treatment Count                  `json:"treatment"`
	Control   Count                  `json:"control"`
	Guard     evidence.Guard         `json:"guard"`
	Ratio     evidence.RatioSequence `json:"ratio"`
}

// learnRequests of the control are needed to read the latency bounds off its quantiles.
const learnRequests = 200

var learnQuantiles = []float64{0.5, 0.75, 0.9, 0.95, 0.99}

func newGuardrail(g Guardrail) GuardrailState {
	s := GuardrailState{Name: g.Name, Verdict: VerdictNoData}
	switch {
	case g.Metric == MetricErrors:
		s.Bounds = []BoundState{newBound(g, 0)}
	case len(g.Bounds) > 0:
		for _, b := range g.Bounds {
			s.Bounds = append(s.Bounds, newBound(g, outcome.Edge(b)))
		}
	default:
		s.Learning = &outcome.Histogram{}
	}
	return s
}

func newBound(g Guardrail, seconds float64) BoundState {
	return BoundState{
		Seconds: seconds,
		Guard:   evidence.NewGuard(g.Relative, g.Absolute),
	}
}

// addEvidence weighs the interval for every guardrail. One that cannot be compared says nothing:
// it stops the clock of the evidence and changes no verdict.
func (s *State) addEvidence(spec Spec, iv outcome.Interval) {
	if compared(iv) {
		s.Sample.add(iv, spec.treatmentShare(s))
	}
	for i := range s.Guardrails {
		g := &s.Guardrails[i]
		if compared(iv) {
			g.add(spec.Guardrails[i], iv)
		}
		g.judge(spec, s)
	}
}

func (s *GuardrailState) add(g Guardrail, iv outcome.Interval) {
	if s.Learning != nil {
		s.learn(g, iv)
		return
	}
	for i := range s.Bounds {
		b := &s.Bounds[i]
		t, c := g.count(iv.Treatment, b.Seconds), g.count(iv.Control, b.Seconds)
		b.Treatment.add(t)
		b.Control.add(c)
		counts := evidence.Counts{X: t.Bad, Mc: t.Of, Y: c.Bad, Mb: c.Of}
		b.Guard.Add(counts)
		b.Ratio.Add(counts)
	}
}

// learn collects the control's latency. The bounds are read off the past and used only for what
// comes after, which keeps the evidence valid.
func (s *GuardrailState) learn(g Guardrail, iv outcome.Interval) {
	s.Learning.Merge(&iv.Control.Latency)
	if s.Learning.Count() < learnRequests {
		return
	}
	last := 0.0
	for _, q := range learnQuantiles {
		if edge := outcome.Edge(s.Learning.Quantile(q)); edge > last {
			s.Bounds = append(s.Bounds, newBound(g, edge))
			last = edge
		}
	}
	s.Learning = nil
}

// count gives bad events and exposures of one arm as the guardrail sees them.
func (g Guardrail) count(a outcome.Arm, bound float64) Count {
	switch {
	case g.Metric == MetricLatency:
		return Count{Bad: a.Latency.Above(bound), Of: a.Latency.Count()}
	case g.Unit == UnitRequest:
		return Count{Bad: a.Bad, Of: a.Requests}
	}
	return Count{Bad: a.BadUnits, Of: a.AtRiskUnits}
}

func (c *Count) add(d Count) {
	c.Bad += d.Bad
	c.Of += d.Of
}

// judge combines the bounds and gives the verdict. Harm at some bound is harm (mean of
// e-values); safe means safe at every bound (intersection-union).
func (s *GuardrailState) judge(spec Spec, state *State) {
	s.LogHarm, s.LogNoWorse, s.LogAnyHarm = 0, 0, 0
	if len(s.Bounds) > 0 {
		s.combine(spec)
	}
	switch {
	case s.LogHarm >= math.Log(1/spec.Alpha):
		s.Verdict = VerdictHarmful
	case state.Sample.Invalid:
		s.Verdict = VerdictInvalid
	case s.Verdict != VerdictHarmful && s.LogNoWorse >= math.Log(1/spec.PromoteAlpha):
		s.Verdict = VerdictSafe
	case s.Treatment.Of == 0 || s.Control.Of == 0 || state.silent(spec):
		s.Verdict = VerdictNoData
	default:
		s.Verdict = VerdictUndecided
	}
	worse := s.Verdict == VerdictHarmful || s.LogAnyHarm >= math.Log(1/spec.HoldAlpha)
	s.Alarm = s.Verdict != VerdictSafe && (s.Alarm || worse)
}

func (s *GuardrailState) combine(spec Spec) {
	var harm, anyHarm [MaxBounds]float64
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
	n := len(s.Bounds)
	s.LogHarm = evidence.MeanLogE(harm[:n]...)
	s.LogAnyHarm = evidence.MeanLogE(anyHarm[:n]...)
	b := &s.Bounds[worst] // the bound that tells most is the one to show
	s.Treatment, s.Control, s.Bound = b.Treatment, b.Control, b.Seconds
	s.Ratio = newEstimate(b.Ratio.Interval(spec.PromoteAlpha))
}

// enforced gives the evidence of harm of the guardrails that may stop the trial.
func (s *State) enforced(spec Spec) (names []string, logs []float64) {
	for i, g := range spec.Guardrails {
		if g.Mode == ModeEnforce {
			names = append(names, g.Name)
			logs = append(logs, s.Guardrails[i].LogHarm)
		}
	}
	return names, logs
}

// blame decides by the mean rule and names the guilty by closed testing; if the mean decides but
// no single one can be named, the one with most evidence is.
func blame(names []string, logs []float64, alpha float64) ([]string, bool) {
	if len(logs) == 0 || evidence.MeanLogE(logs...) < math.Log(1/alpha) {
		return nil, false
	}
	var blamed []string
	for _, i := range evidence.Blame(logs, alpha) {
		blamed = append(blamed, names[i])
	}
	if len(blamed) == 0 {
		most := 0
		for i := range logs {
			if logs[i] > logs[most] {
				most = i
			}
		}
		blamed = []string{names[most]}
	}
	return blamed, true
}

func (s GuardrailState) clone() GuardrailState {
	s.Bounds = append([]BoundState(nil), s.Bounds...)
	if s.Learning != nil {
		h := s.Learning.Clone()
		s.Learning = &h
	}
	return s
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

func (s *SampleState) add(iv outcome.Interval, treatmentShare float64) {
	s.Test.Add(iv.Treatment.NewUnits, iv.Control.NewUnits, treatmentShare)
	s.LogE = s.Test.LogE()
	s.Invalid = s.Invalid || s.LogE >= math.Log(1/sampleAlpha)
}
