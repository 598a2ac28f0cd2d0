package targeting

import (
	"math"
	"strconv"
)

// Decide chooses a variant: an index into Variants, or -1 for the code default. It does not
// allocate unless the rule does. Errors are of type *[Error] and mean flagd's GENERAL: the rule
// could not be evaluated, or chose a variant that there is not; the code default is served then.
func (d *Definition) Decide(in *Input) (variant int, reason Reason, err error) {
	switch {
	case !d.Enabled:
		return -1, Disabled, nil
	case d.Targeting != nil:
		return d.target(in)
	case d.Default < 0:
		return -1, Default, nil
	}
	return d.Default, Static, nil
}

func (d *Definition) target(in *Input) (int, Reason, error) {
	chosen, failure := d.Targeting.value(in)
	if failure != nil {
		return -1, Default, failure
	}
	i := -1
	switch chosen.kind {
	case isNull:
		return d.Default, Default, nil
	case isText:
		i = d.find(chosen.text)
	case isBool:
		i = d.find(strconv.FormatBool(chosen.number != 0))
	case isNumber:
		var buffer [32]byte
		i = d.findBytes(appendJSON(buffer[:0], chosen.number))
	}
	if i < 0 {
		return -1, Default, problem("/targeting", "the rule chose %s, which is no variant; name one of variants, or null for the default", chosen.describe())
	}
	return i, Match, nil
}

func (d *Definition) find(name string) int {
	if d.index != nil {
		if i, ok := d.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range d.Variants {
		if d.Variants[i].Name == name {
			return i
		}
	}
	return -1
}

func (d *Definition) findBytes(name []byte) int {
	for i := range d.Variants {
		if d.Variants[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// appendJSON writes a number as encoding/json does.
func appendJSON(to []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		to = strconv.AppendFloat(to, f, 'e', -1, 64)
		if n := len(to); to[n-4] == 'e' && to[n-3] == '-' && to[n-2] == '0' { // 1e-07 is 1e-7
			to = append(to[:n-2], to[n-1])
		}
		return to
	}
	return strconv.AppendFloat(to, f, 'f', -1, 64)
}

func (v value) describe() string {
	text, ok := v.appendText(nil)
	if !ok {
		return v.kind.String()
	}
	if len(text) > 100 {
		return "a text of more than 100 bytes"
	}
	return strconv.Quote(string(text))
}
