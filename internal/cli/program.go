package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/fault"
)

// This file reads the short notation of faults: WHAT[:WEIGHT][:after].

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

// parseLatencyFault reads "100ms..300ms", "200ms:1" or "100ms..300ms:1:after".
func parseLatencyFault(text string) (fault.Fault, error) {
	what, f, err := parseFault(text, fault.KindLatency)
	if err == nil {
		f.Min, f.Max, err = parseRange(what)
	}
	return f, err
}

// parseCancelFault reads a weight, "2", or the time until the call is cancelled, "10ms..50ms:2".
func parseCancelFault(text string) (fault.Fault, error) {
	if first, _, _ := strings.Cut(text, ":"); first != "" && strings.Trim(first, "0123456789") == "" {
		text = ":" + text
	}
	what, f, err := parseFault(text, fault.KindCancel)
	if err == nil && what != "" {
		f.Min, f.Max, err = parseRange(what)
	}
	return f, err
}

// parseFault takes weight and phase off the end.
func parseFault(text string, kind fault.Kind) (what string, f fault.Fault, err error) {
	f = fault.Fault{Kind: kind, Weight: 1}
	parts := strings.Split(text, ":")
	for _, part := range parts[1:] {
		if part == string(fault.After) || part == string(fault.Before) {
			f.Phase = fault.Phase(part)
			continue
		}
		weight, err := strconv.Atoi(part)
		if err != nil || weight < 1 || weight > fault.MaxWeight {
			return "", f, fmt.Errorf("%q is neither a weight from 1 to %d nor the word after", part, fault.MaxWeight)
		}
		f.Weight = weight
	}
	return parts[0], f, nil
}
