package eval

import (
	"math"
	"strconv"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/semver"
)

// toFloat gives a number of any built-in type as a float64. Operands are at most 2^53-1 in
// magnitude (flag.DecodeOperand) and larger integers stay larger when rounded, so comparing the
// result with an operand is as exact as comparing the integers.
func toFloat(value any) (float64, bool) {
	switch value := value.(type) {
	case int:
		return float64(value), true
	case int64:
		return float64(value), true
	case float64:
		return value, true
	case float32:
		return float64(value), true
	case int32:
		return float64(value), true
	case int16:
		return float64(value), true
	case int8:
		return float64(value), true
	case uint:
		return float64(value), true
	case uint64:
		return float64(value), true
	case uint32:
		return float64(value), true
	case uint16:
		return float64(value), true
	case uint8:
		return float64(value), true
	}
	return 0, false
}

// appendInteger appends the decimal digits of an integer of any type, or of a float that holds one
// exactly; false for anything else.
func appendInteger(to []byte, value any) ([]byte, bool) {
	switch value := value.(type) {
	case int:
		return strconv.AppendInt(to, int64(value), 10), true
	case int64:
		return strconv.AppendInt(to, value, 10), true
	case uint:
		return strconv.AppendUint(to, uint64(value), 10), true
	case uint64:
		return strconv.AppendUint(to, value, 10), true
	}
	f, ok := toFloat(value)
	if !ok || f != math.Trunc(f) || math.Abs(f) > flag.MaxInteger {
		return nil, false
	}
	return strconv.AppendInt(to, int64(f), 10), true
}

// numberAsVersion reads a number as the version that its shortest decimal form is: 2 is 2.0.0, and
// 1.25 is 1.25.0, as flagd does; -0 is none.
func numberAsVersion(x float64) (v semver.Version, ok bool) {
	if !(0 <= x && x < 1<<64) || math.Signbit(x) {
		return v, false
	}
	var buffer [400]byte // room for the smallest fraction
	parts := [...]*uint64{&v.Major, &v.Minor}
	part, digits := 0, 0
	for _, c := range strconv.AppendFloat(buffer[:0], math.Abs(x), 'f', -1, 64) {
		if c == '.' {
			part, digits = part+1, 0
			continue
		}
		if digits > 0 && *parts[part] == 0 {
			return v, false // a leading zero
		}
		*parts[part], digits = 10**parts[part]+uint64(c-'0'), digits+1
	}
	return v, true
}
