package trial

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// How a guardrail stands, in words.

// subject names what a guardrail counts: "Errors", or "Latency over 45 ms".
func subject(g *Guardrail, bound float64) string {
	if bound > 0 {
		return capital(g.Name) + " over " + duration(bound)
	}
	return capital(g.Name)
}

func duration(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond).String()
}

// estimate says how the treatment compares with the control.
func (s *State) estimate(spec *Spec, i int) string {
	g, st := &spec.Guardrails[i], &s.Guardrails[i]
	name := subject(g, st.Bound)
	switch {
	case st.Learning != nil && len(st.Bounds) == 0:
		return name + ": reading the bounds off the control's first requests."
	case st.empty():
		return name + ": nothing counted yet."
	case st.Flow != nil:
		return st.flowSentence(g, name)
	case st.Means != nil:
		return st.meansSentence(g, name)
	}
	shares := ratio(st.Treatment.Share()) + " against " + ratio(st.Control.Share())
	if compared := st.Ratio.against(); compared != "" {
		return fmt.Sprintf("%s %s %s: %s; tolerance %s.", name, looks(g.Name), compared, shares, tolerance(g))
	}
	return fmt.Sprintf("%s: %s in the control; tolerance %s.", name, shares, tolerance(g))
}

func looks(name string) string {
	if strings.HasSuffix(name, "s") {
		return "look"
	}
	return "looks"
}

// against gives e in words: "1.9× the control's (between 1.1× and 3.4×, valid at any time)".
func (e Estimate) against() string {
	const always = "valid at any time"
	switch {
	case e.reach() == "":
		return ""
	case e.Value == 0:
		return e.reach() + " the control's (" + always + ")"
	case e.Low > 0 && e.High > 0:
		return factor(e.Value) + "× the control's (between " + factor(e.Low) + "× and " + factor(e.High) + "×, " + always + ")"
	}
	return factor(e.Value) + "× the control's (" + e.reach() + ", " + always + ")"
}

func (s *GuardrailState) flowSentence(g *Guardrail, name string) string {
	what := "requests"
	if g.Unit == UnitKey {
		what = "new users"
	}
	return fmt.Sprintf("%s: %d %s, %d in the control; tolerance %s.", name, s.Treatment.Of, what, s.Control.Of, tolerance(g))
}

func (s *GuardrailState) meansSentence(g *Guardrail, name string) string {
	text := fmt.Sprintf("%s: %.4g on average, %.4g in the control", name, s.Treatment.Mean(), s.Control.Mean())
	if d := s.Difference; d != nil {
		text += fmt.Sprintf(", that is %+.3g (between %+.3g and %+.3g, at any time once observations are many)", d.Value, d.Low, d.High)
	}
	return text + "; tolerance " + tolerance(g) + "."
}

// eta extrapolates the evidence as it has grown so far to the nearer of "safe" and "harmful".
func (s *State) eta(spec *Spec, i int) (time.Duration, bool) {
	g := &s.Guardrails[i]
	safe, ok := s.reach(g.LogNoWorse, s.SafeLevel(spec))
	if harm, bad := s.reach(g.LogHarm, spec.Alpha); bad && (!ok || harm < safe) {
		return harm, true
	}
	return safe, ok
}

func (s *State) reach(logE, alpha float64) (time.Duration, bool) {
	const most = 30 * 24 * time.Hour
	if logE <= 0 || s.Elapsed <= 0 {
		return 0, false
	}
	left := float64(s.Elapsed) * (math.Log(1/alpha)/logE - 1)
	if left <= 0 || left > float64(most) {
		return 0, false
	}
	return time.Duration(left), true
}

// ToleranceText gives the tolerance in words: "1.2× or +0.1 percentage points".
func (g *Guardrail) ToleranceText() string { return tolerance(g) }

func tolerance(g *Guardrail) string {
	switch g.Metric {
	case MetricValue:
		return valueTolerance(g)
	case MetricThroughput:
		return fmt.Sprintf("%.3g %% fewer than assigned", g.Relative*100)
	}
	relative, sign := factor(1+g.Relative)+"×", "+"
	if g.Better == BetterHigher {
		relative, sign = factor(1-g.Relative)+"×", "−"
	}
	absolute := fmt.Sprintf("%s%.3g percentage points", sign, g.Absolute*100)
	switch {
	case g.Absolute == 0:
		return relative
	case g.Relative == 0:
		return absolute
	}
	return relative + " or " + absolute
}

func valueTolerance(g *Guardrail) string {
	sign := "+"
	if g.Better == BetterHigher {
		sign = "−"
	}
	relative, absolute := fmt.Sprintf("%s%.3g %%", sign, g.Relative*100), fmt.Sprintf("%s%.4g", sign, g.Absolute)
	switch {
	case g.Absolute == 0:
		return relative
	case g.Relative == 0:
		return absolute
	}
	return relative + " or " + absolute
}

func ratio(share float64) string { return fmt.Sprintf("%.3g %%", share*100) }

func factor(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.2g", f)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
