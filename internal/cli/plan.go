package cli

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// This file reads the short notations of the command line: steps, shares, tolerances, ranges.

// parseShare reads "5%" or "0.25%".
func parseShare(text string) (flag.Weight, error) {
	weight, err := parsePlace(text)
	if err == nil && weight == 0 {
		err = fmt.Errorf("share %q: write a percentage over 0 %% and at most 100 %%, such as 5%%", text)
	}
	return weight, err
}

// parsePlace reads a share that may also be "0%", such as where a slot begins.
func parsePlace(text string) (flag.Weight, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), "%")
	p, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(p >= 0 && p <= 100) {
		return 0, fmt.Errorf("share %q: write a percentage of at most 100 %%, such as 5%%", text)
	}
	parts := p * flag.TotalWeight / 100
	weight := flag.Weight(math.Round(parts))
	if math.Abs(parts-float64(weight)) > 1e-6 {
		return 0, fmt.Errorf("share %q: the finest share is 0.001%%", text)
	}
	return weight, nil
}

// parseSteps reads "1%:5m,5%:10m:approve,50%:safe": each step's share, then the least time it
// lasts, then "safe" if every guardrail must be proven safe before it ends, and "approve" if a
// person must approve that it ends. All but the share are optional.
func parseSteps(text string) ([]trial.Step, error) {
	var steps []trial.Step
	for i, part := range strings.Split(text, ",") {
		step, err := parseStep(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("step %d of %q: %w", i+1, text, err)
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func parseStep(text string) (trial.Step, error) {
	fields := strings.Split(text, ":")
	share, err := parseShare(fields[0])
	if err != nil {
		return trial.Step{}, err
	}
	step := trial.Step{Share: share}
	for _, f := range fields[1:] {
		f = strings.TrimSpace(f)
		switch f {
		case "safe":
			step.RequireSafe = true
			continue
		case "approve":
			step.Approval = true
			continue
		}
		d, err := time.ParseDuration(f)
		if err != nil || d <= 0 {
			return trial.Step{}, fmt.Errorf("%q is neither a time such as 10m nor the word safe or approve%s", f, flag.Suggest(f, slices.Values([]string{"safe", "approve"})))
		}
		step.MinTime = trial.Duration(d)
	}
	return step, nil
}

// parseTolerance reads "+20%|+0.1pp": how much worse than the control's the bad share may be,
// relatively, and in percentage points; the larger of the two holds. Either may stand alone.
func parseTolerance(text string) (relative, absolute float64, err error) {
	for _, part := range strings.Split(text, "|") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "+")
		target, number := &relative, ""
		if n, ok := strings.CutSuffix(part, "pp"); ok {
			target, number = &absolute, n
		} else if n, ok := strings.CutSuffix(part, "%"); ok {
			number = n
		}
		v, perr := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if perr != nil || !(v >= 0) || math.IsInf(v, 0) {
			return 0, 0, fmt.Errorf("tolerance %q: write it as +20%%, +0.1pp or +20%%|+0.1pp", text)
		}
		*target = v / 100
	}
	return relative, absolute, nil
}

// showTolerance writes a tolerance the way parseTolerance reads it.
func showTolerance(g trial.Guardrail) string {
	var parts []string
	sign, absolute := "+", trimFloat(g.Absolute*100)+"pp"
	if loses(g) {
		sign = "-"
	}
	if g.Metric == trial.MetricValue {
		absolute = trimFloat(g.Absolute)
	}
	if g.Relative > 0 {
		parts = append(parts, sign+trimFloat(g.Relative*100)+"%")
	}
	if g.Absolute > 0 {
		parts = append(parts, sign+absolute)
	}
	return strings.Join(parts, "|")
}

func trimFloat(v float64) string { return strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64) }

// showShare writes a share as a percentage.
func showShare(w flag.Weight) string { return trimFloat(w.Percent()) + "%" }

// parseRange reads "100ms..300ms", or one duration for both ends.
func parseRange(text string) (low, high time.Duration, err error) {
	first, second, found := strings.Cut(text, "..")
	if !found {
		second = first
	}
	low, lowErr := time.ParseDuration(first)
	high, highErr := time.ParseDuration(second)
	if err := errors.Join(lowErr, highErr); err != nil || low < 0 || high < low {
		return 0, 0, fmt.Errorf("latency %q: write a range such as 100ms..300ms", text)
	}
	return low, high, nil
}

// parseRate reads "60%" or "0.6" as a chance.
func parseRate(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v > 0 && v <= 1) {
		return 0, fmt.Errorf("rate %q: write a chance over 0 %% and at most 100 %%, such as 60%%", text)
	}
	return v, nil
}
