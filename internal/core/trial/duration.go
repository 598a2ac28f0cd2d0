package trial

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Duration is a time.Duration that JSON writes as a string such as "15s" or "1h30m".
type Duration time.Duration

// NoWatch as [Spec.Watch] says that a promoted treatment is not watched. It is written "none",
// because 0 stands for the default.
const NoWatch Duration = -1

// String gives d in Go's notation, without trailing zero units: "5m", not "5m0s"; "none" for
// [NoWatch].
func (d Duration) String() string {
	if d == NoWatch {
		return "none"
	}
	s := time.Duration(d).String()
	if n := len(s); n > 2 && s[n-2:] == "0s" && s[n-3] == 'm' {
		s = s[:n-2]
	}
	if n := len(s); n > 2 && s[n-2:] == "0m" && s[n-3] == 'h' {
		s = s[:n-2]
	}
	return s
}

// MarshalJSON writes d as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, d.String()), nil }

// UnmarshalJSON reads a string in the notation of [time.ParseDuration].
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("duration %s: write it as a string such as \"15s\" or \"5m\"", b)
	}
	if s == "none" {
		*d = NoWatch
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration %q: write it as a number and a unit, such as \"15s\" or \"5m\"", s)
	}
	*d = Duration(v)
	return nil
}
