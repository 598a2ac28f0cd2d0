package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/fault"
)

// This file reads the short notation of faults: WHAT[:WEIGHT][:PHASE].

// parseErrorFault reads "503", "503:2", "UNAVAILABLE:1" or "503:2:after".
func parseErrorFault(text string) (fault.Fault, error) {
	what, f, err := parseFault(text, fault.KindError)
	if err != nil {
		return f, err
	}
	if status, err := strconv.Atoi(what); err == nil {
		if status < 400 || status > 599 {
			return f, fmt.Errorf("status %d is no error: give 400 to 599", status)
		}
		f.Status = status
		return f, nil
	}
	if what == "" || what != strings.ToUpper(what) {
		return f, fmt.Errorf("%q is neither an HTTP status such as 503 nor a gRPC code such as UNAVAILABLE", what)
	}
	f.Code = what
	return f, nil
}

// distributions are the words that begin a latency which is not drawn evenly.
var distributions = map[string]func(string) (*fault.Distribution, error){"normal": parseNormal, "lognormal": parseLogNormal, "quantiles": parseQuantiles}

// parseLatencyFault reads "100ms..300ms", "200ms:1", "100ms..300ms:1:after", "normal:200ms±50ms",
// "lognormal:300ms/2s" or "quantiles:0.5=100ms,0.99=1s:2".
func parseLatencyFault(text string) (fault.Fault, error) {
	word, rest, _ := strings.Cut(text, ":")
	read := distributions[word]
	if read != nil {
		text = rest
	}
	what, f, err := parseFault(text, fault.KindLatency)
	switch {
	case err != nil:
	case read != nil:
		f.Distribution, err = read(what)
	default:
		f.Min, f.Max, err = parseRange(what)
	}
	return f, err
}

func parseNormal(text string) (*fault.Distribution, error) {
	mean, deviation, ok := strings.Cut(strings.ReplaceAll(text, "±", "+-"), "+-")
	d := &fault.Distribution{Kind: fault.Normal}
	if !ok || !durations(mean, &d.Mean, deviation, &d.StdDev) {
		return nil, fmt.Errorf("latency %q: write mean and standard deviation such as normal:200ms±50ms, or normal:200ms+-50ms", "normal:"+text)
	}
	return d, nil
}

func parseLogNormal(text string) (*fault.Distribution, error) {
	median, tail, ok := strings.Cut(text, "/")
	d := &fault.Distribution{Kind: fault.LogNormal}
	if !ok || !durations(median, &d.P50, tail, &d.P99) {
		return nil, fmt.Errorf("latency %q: write median and 99th percentile such as lognormal:300ms/2s", "lognormal:"+text)
	}
	return d, nil
}

func parseQuantiles(text string) (*fault.Distribution, error) {
	d := &fault.Distribution{Kind: fault.Quantiles}
	for _, part := range strings.Split(text, ",") {
		share, value, _ := strings.Cut(part, "=")
		q, err := strconv.ParseFloat(share, 64)
		at, derr := time.ParseDuration(value)
		if err := errors.Join(err, derr); err != nil || math.IsNaN(q) {
			return nil, fmt.Errorf("latency %q: write quantiles such as quantiles:0.5=100ms,0.99=1s", "quantiles:"+text)
		}
		d.Points = append(d.Points, fault.Quantile{Q: q, Value: at})
	}
	return d, nil
}

func durations(a string, first *time.Duration, b string, second *time.Duration) bool {
	var errs [2]error
	*first, errs[0] = time.ParseDuration(a)
	*second, errs[1] = time.ParseDuration(b)
	return errors.Join(errs[:]...) == nil
}

// parseCancelFault reads a weight, "2", or the time until the call is cancelled, "10ms..50ms:2".
func parseCancelFault(text string) (fault.Fault, error) {
	what, f, err := parseFault(bare(text), fault.KindCancel)
	if err == nil && what != "" {
		f.Min, f.Max, err = parseRange(what)
	}
	return f, err
}

// parsePlainFault reads faults that are nothing but a weight and a phase: "2", "2:after", or true.
func parsePlainFault(kind fault.Kind) func(string) (fault.Fault, error) {
	return func(text string) (fault.Fault, error) {
		what, f, err := parseFault(bare(text), kind)
		if err == nil && what != "" {
			err = fmt.Errorf("%q is neither a weight from 1 to %d nor a phase", what, fault.MaxWeight)
		}
		return f, err
	}
}

// bare puts weight and phase of a fault that needs no more behind a colon.
func bare(text string) string {
	first, rest, _ := strings.Cut(text, ":")
	switch {
	case first == "true":
		return ":1" + strings.TrimSuffix(":"+rest, ":")
	case first != "" && strings.Trim(first, "0123456789") == "" || isPhase(first):
		return ":" + text
	}
	return text
}

// parseBandwidthFault reads bytes a second: "64KiB" or "10kB:2".
func parseBandwidthFault(text string) (fault.Fault, error) {
	what, f, err := parseFault(text, fault.KindBandwidth)
	if err == nil {
		f.BytesPerSecond, err = parseBytes(strings.TrimSuffix(what, "/s"))
	}
	return f, err
}

// parseTruncateFault reads how many bytes come before the end: "1KiB" or "0:2".
func parseTruncateFault(text string) (fault.Fault, error) {
	what, f, err := parseFault(text, fault.KindTruncate)
	if err == nil {
		f.AfterBytes, err = parseBytes(what)
	}
	return f, err
}

// parseCorruptFault reads the share of the bytes that are changed: "1%" or "0.01:2".
func parseCorruptFault(text string) (fault.Fault, error) {
	what, f, err := parseFault(text, fault.KindCorrupt)
	if err == nil {
		f.Share, err = parseRate(what)
	}
	return f, err
}

// byteUnits are the units of a number of bytes.
var byteUnits = []struct {
	name  string
	bytes int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// parseBytes reads "64KiB", "10kB", "512B" or "512".
func parseBytes(text string) (int, error) {
	for _, unit := range byteUnits {
		number, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 0 || n > math.MaxInt32/unit.bytes {
			break
		}
		return n * unit.bytes, nil
	}
	return 0, fmt.Errorf("%q: write a number of bytes such as 512, 64KiB or 10kB", text)
}

// parseSequence reads "2*503,1*ok": what happens to the first, second, … call of a user's request
// at the point. What is written as for its flag: ok, a status or code, a range of latency, cancel,
// reset, lost-reply or panic; with its phase, as in 503:after.
func parseSequence(text string) ([]fault.Step, error) {
	var steps []fault.Step
	for _, part := range strings.Split(text, ",") {
		count, what, ok := strings.Cut(strings.TrimSpace(part), "*")
		if !ok {
			count, what = "1", count
		}
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > fault.MaxCount {
			return nil, fmt.Errorf("step %q: write how often and what, such as 2*503 or 1*ok", part)
		}
		step := fault.Step{Count: n}
		if what != "ok" {
			f, err := parseStepFault(what)
			if err != nil {
				return nil, fmt.Errorf("step %q: %w", part, err)
			}
			f.Weight = 0
			step.Fault = &f
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func parseStepFault(what string) (fault.Fault, error) {
	word, rest, _ := strings.Cut(what, ":")
	switch kind := fault.Kind(word); kind {
	case fault.KindCancel, fault.KindReset, fault.KindLostReply, fault.KindPanic:
		return parsePlainFault(kind)(rest)
	}
	_, _, err := parseRange(word)
	if err == nil || distributions[word] != nil {
		return parseLatencyFault(what)
	}
	f, err := parseErrorFault(what)
	if err != nil {
		err = fmt.Errorf("%q is neither ok, a status or code, a latency, nor cancel, reset, lost-reply or panic", word)
	}
	return f, err
}

// parseFault takes weight and phase off the end.
func parseFault(text string, kind fault.Kind) (what string, f fault.Fault, err error) {
	f = fault.Fault{Kind: kind, Weight: 1}
	parts := strings.Split(text, ":")
	for _, part := range parts[1:] {
		if isPhase(part) {
			f.Phase = fault.Phase(part)
			continue
		}
		weight, err := strconv.Atoi(part)
		if err != nil || weight < 1 || weight > fault.MaxWeight {
			return "", f, fmt.Errorf("%q is neither a weight from 1 to %d nor a phase: before, after or instead", part, fault.MaxWeight)
		}
		f.Weight = weight
	}
	return parts[0], f, nil
}

func isPhase(text string) bool {
	switch fault.Phase(text) {
	case fault.Before, fault.After, fault.Instead:
		return true
	}
	return false
}
