package cli

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

var (
	guardrailMetrics = []string{string(trial.MetricErrors), string(trial.MetricLatency)}
	guardrailModes   = []string{string(trial.ModeShadow), string(trial.ModeHold), string(trial.ModeEnforce)}
	guardrailUnits   = []string{trial.UnitKey, trial.UnitRequest}
)

// parseGuardrail reads "[NAME=]METRIC[:PART]...", where a part is a tolerance ("+20%|+0.1pp"), a
// mode (default enforce), the word unit or request, or latency bounds ("100ms,250ms"). Without a
// tolerance the metric's default holds.
func parseGuardrail(text string) (trial.Guardrail, error) {
	fail := func(err error) (trial.Guardrail, error) {
		return trial.Guardrail{}, fmt.Errorf("guardrail %q: %w", text, err)
	}
	parts := strings.Split(text, ":")
	name, metric, named := strings.Cut(parts[0], "=")
	if !named {
		name, metric = parts[0], parts[0]
	}
	i := slices.Index(guardrailMetrics, metric)
	if i < 0 {
		return fail(fmt.Errorf("the metric is errors or latency, such as errors:\"+20%%|+0.1pp\"%s", flag.Suggest(metric, slices.Values(guardrailMetrics))))
	}
	g := trial.Guardrail{Name: name, Metric: trial.Metric(metric), Mode: trial.ModeEnforce}
	tolerant := false
	for _, part := range parts[1:] {
		part = strings.TrimSpace(part)
		var err error
		switch {
		case slices.Contains(guardrailModes, part):
			g.Mode = trial.Mode(part)
		case slices.Contains(guardrailUnits, part):
			g.Unit = part
		case strings.HasSuffix(part, "%") || strings.HasSuffix(part, "pp"):
			tolerant = true
			g.Relative, g.Absolute, err = parseTolerance(part)
		default:
			g.Bounds, err = parseBounds(part)
		}
		if err != nil {
			return fail(err)
		}
	}
	if !tolerant {
		usual := trial.DefaultGuardrails()[i]
		g.Relative, g.Absolute = usual.Relative, usual.Absolute
	}
	return g, nil
}

// parseBounds reads latency bounds, "100ms,250ms", in seconds.
func parseBounds(text string) ([]float64, error) {
	var bounds []float64
	for _, part := range strings.Split(text, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil || d <= 0 {
			words := slices.Concat(guardrailModes, guardrailUnits)
			return nil, fmt.Errorf("%q is no tolerance (+20%%, +0.1pp), no mode (shadow, hold, enforce) and no latency bound (250ms)%s",
				text, flag.Suggest(text, slices.Values(words)))
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
