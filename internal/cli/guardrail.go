package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

var (
	guardrailMetrics = []string{string(trial.MetricErrors), string(trial.MetricLatency), string(trial.MetricThroughput), string(trial.MetricEvent), string(trial.MetricValue)}
	guardrailModes   = []string{string(trial.ModeShadow), string(trial.ModeHold), string(trial.ModeEnforce)}
	guardrailUnits   = []string{trial.UnitKey, trial.UnitRequest}
	guardrailBetter  = []string{string(trial.BetterLower), string(trial.BetterHigher)}
)

// parseGuardrail reads "[NAME=]METRIC[:PART]...". For event and value the first part is the name
// that Track records. A part is a tolerance ("+20%|+0.1pp"; of a value also "+2", in its own unit;
// "-5%" where a loss is meant), a mode (default enforce), the word unit or request, lower or higher
// for what is good, latency bounds ("100ms,250ms"), "slo=1%" ("slo=1%@300ms" for latency),
// "weight=2" or "design-effect=3". Without a tolerance the metric's default holds.
func parseGuardrail(text string) (trial.Guardrail, error) {
	fail := func(err error) (trial.Guardrail, error) {
		return trial.Guardrail{}, fmt.Errorf("guardrail %q: %w", text, err)
	}
	parts := strings.Split(text, ":")
	name, metric, named := strings.Cut(parts[0], "=")
	if !named {
		name, metric = "", parts[0]
	}
	if !slices.Contains(guardrailMetrics, metric) {
		return fail(fmt.Errorf("the metric is %s, such as errors:\"+20%%|+0.1pp\"%s", either(slices.Values(guardrailMetrics)), flag.Suggest(metric, slices.Values(guardrailMetrics))))
	}
	g := trial.Guardrail{Name: name, Metric: trial.Metric(metric), Mode: trial.ModeEnforce}
	parts = parts[1:]
	if tracked(g) {
		if len(parts) == 0 || parts[0] == "" || slices.Contains(guardrailWords(), parts[0]) || isTolerance(g, parts[0]) {
			return fail(fmt.Errorf("name what is tracked after the metric, such as %s:checkout-total:higher:+5%%", metric))
		}
		g.Event, parts = parts[0], parts[1:]
	}
	g.Name = firstOf(g.Name, g.Event, metric)
	// What is good decides how a tolerance is written, so it is read first.
	for _, part := range parts {
		if slices.Contains(guardrailBetter, part) {
			g.Better = trial.Better(part)
		}
	}
	tolerant := false
	for _, part := range parts {
		part = strings.TrimSpace(part)
		tolerant = tolerant || isTolerance(g, part)
		if err := parseGuardrailPart(&g, part); err != nil {
			return fail(err)
		}
	}
	if !tolerant {
		if err := defaultTolerance(&g); err != nil {
			return fail(err)
		}
	}
	return g, nil
}

func tracked(g trial.Guardrail) bool {
	return g.Metric == trial.MetricEvent || g.Metric == trial.MetricValue
}

func guardrailWords() []string { return slices.Concat(guardrailModes, guardrailUnits, guardrailBetter) }

func parseGuardrailPart(g *trial.Guardrail, part string) (err error) {
	key, value, assigned := strings.Cut(part, "=")
	switch {
	case assigned && slices.Contains(guardrailSettings, key):
		return parseSetting(g, key, value)
	case slices.Contains(guardrailModes, part):
		g.Mode = trial.Mode(part)
	case slices.Contains(guardrailUnits, part):
		g.Unit = part
	case slices.Contains(guardrailBetter, part):
		g.Better = trial.Better(part)
	case isTolerance(*g, part):
		g.Relative, g.Absolute, err = parseGuardrailTolerance(*g, part)
	case assigned:
		err = fmt.Errorf("there is no setting %q: use %s%s", key, either(slices.Values(guardrailSettings)), flag.Suggest(key, slices.Values(guardrailSettings)))
	default:
		g.Bounds, err = parseBounds(part)
	}
	return err
}

var guardrailSettings = []string{"slo", "weight", "design-effect"}

func parseSetting(g *trial.Guardrail, key, value string) error {
	if key == "slo" {
		slo, err := parseSLO(value)
		g.SLO = slo
		return err
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || !(v > 0 && v <= 1000) || key == "design-effect" && v < 1 {
		return fmt.Errorf("%s=%s: give a number up to 1000, such as %s=2", key, value, key)
	}
	if key == "weight" {
		g.Weight = v
	} else {
		g.DesignEffect = v
	}
	return nil
}

// parseSLO reads "1%", or "1%@300ms": at most so many are bad, or slower than that.
func parseSLO(text string) (*trial.SLO, error) {
	share, bound, slow := strings.Cut(text, "@")
	number, percent := strings.CutSuffix(share, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !percent || !(v > 0 && v < 100) {
		return nil, fmt.Errorf("slo=%s: write the largest share that is acceptable, such as slo=1%% or, for latency, slo=1%%@300ms", text)
	}
	slo := &trial.SLO{Share: v / 100}
	if slow {
		d, err := time.ParseDuration(bound)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("slo=%s: %q is no time such as 300ms", text, bound)
		}
		slo.Seconds = d.Seconds()
	}
	return slo, nil
}

// isTolerance tells a tolerance from other parts: it ends in % or pp, or is the bare number of a value.
func isTolerance(g trial.Guardrail, part string) bool {
	if strings.Contains(part, "=") {
		return false
	}
	if strings.HasSuffix(part, "%") || strings.HasSuffix(part, "pp") {
		return true
	}
	last := part[strings.LastIndex(part, "|")+1:]
	_, err := strconv.ParseFloat(last, 64)
	return g.Metric == trial.MetricValue && err == nil
}

// loses tells whether worse means less, so that a tolerance may be written as a loss.
func loses(g trial.Guardrail) bool {
	return g.Metric == trial.MetricThroughput || g.Better == trial.BetterHigher
}

func parseGuardrailTolerance(g trial.Guardrail, part string) (relative, absolute float64, err error) {
	if loses(g) {
		part = strings.ReplaceAll(part, "-", "+")
	}
	if g.Metric != trial.MetricValue {
		return parseTolerance(part)
	}
	for _, one := range strings.Split(part, "|") {
		if strings.HasSuffix(one, "%") {
			relative, _, err = parseTolerance(one)
		} else {
			absolute, err = strconv.ParseFloat(strings.TrimPrefix(one, "+"), 64)
		}
		if err != nil || !(absolute >= 0 && absolute <= 1e12) {
			return 0, 0, fmt.Errorf("tolerance %q: write that of a value as +5%%, +2 in its own unit, or +5%%|+2", part)
		}
	}
	return relative, absolute, nil
}

// defaultTolerance gives the metric's usual tolerance, if there is one.
func defaultTolerance(g *trial.Guardrail) error {
	switch g.Metric {
	case trial.MetricThroughput:
		g.Relative = trial.DefaultThroughput
		return nil
	case trial.MetricEvent, trial.MetricValue:
		return fmt.Errorf("say how much worse %s may get, such as +5%%: there is no usual tolerance for it", g.Event)
	}
	for _, usual := range trial.DefaultGuardrails() {
		if usual.Metric == g.Metric {
			g.Relative, g.Absolute = usual.Relative, usual.Absolute
		}
	}
	return nil
}

// showGuardrail writes a guardrail the way parseGuardrail reads it.
func showGuardrail(g trial.Guardrail) string {
	parts := []string{string(g.Metric)}
	if g.Event != "" {
		parts = append(parts, g.Event)
	}
	if g.Name != "" && g.Name != firstOf(g.Event, string(g.Metric)) {
		parts[0] = g.Name + "=" + parts[0]
	}
	add := func(ok bool, format string, args ...any) {
		if ok {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(true, "%s", showTolerance(g))
	add(g.Mode != "" && g.Mode != trial.ModeEnforce, "%s", g.Mode)
	add(g.Unit == trial.UnitRequest && g.Metric != trial.MetricLatency && g.Metric != trial.MetricValue, "%s", g.Unit)
	add(g.Better == trial.BetterHigher || g.Metric == trial.MetricValue && g.Better != "", "%s", g.Better)
	var bounds []string
	for _, b := range g.Bounds {
		bounds = append(bounds, seconds(b))
	}
	add(len(bounds) > 0, "%s", strings.Join(bounds, ","))
	if g.SLO != nil {
		add(g.SLO.Seconds == 0, "slo=%s%%", trimFloat(g.SLO.Share*100))
		add(g.SLO.Seconds > 0, "slo=%s%%@%s", trimFloat(g.SLO.Share*100), seconds(g.SLO.Seconds))
	}
	add(g.Weight > 0 && g.Weight != 1, "weight=%s", trimFloat(g.Weight))
	add(g.DesignEffect > 1, "design-effect=%s", trimFloat(g.DesignEffect))
	return strings.Join(parts, ":")
}

func seconds(v float64) string { return time.Duration(math.Round(v * 1e9)).String() }

// parseBounds reads latency bounds, "100ms,250ms", in seconds.
func parseBounds(text string) ([]float64, error) {
	var bounds []float64
	for _, part := range strings.Split(text, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%q is no tolerance (+20%%, +0.1pp), no mode (shadow, hold, enforce) and no latency bound (250ms)%s",
				text, flag.Suggest(text, slices.Values(guardrailWords())))
		}
		bounds = append(bounds, d.Seconds())
	}
	return bounds, nil
}

// misspelt gives a suggestion if name is not among known but near to one of them.
func misspelt(name string, known []string) string {
	if slices.Contains(known, name) {
		return ""
	}
	return flag.Suggest(name, slices.Values(known))
}

// suggestField adds the nearest field of a struct to encoding/json's error about an unknown one.
func suggestField(err error, of any) string {
	_, typed, ok := strings.Cut(err.Error(), `unknown field "`)
	if !ok {
		return ""
	}
	return flag.Suggest(strings.TrimSuffix(typed, `"`), slices.Values(fieldNames(reflect.TypeOf(of), 4)))
}

// fieldNames gives the JSON names of the fields of t and of what it holds, down to depth.
func fieldNames(t reflect.Type, depth int) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth == 0 || t == reflect.TypeFor[json.RawMessage]() {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
		names = append(names, fieldNames(f.Type, depth-1)...)
	}
	return names
}
