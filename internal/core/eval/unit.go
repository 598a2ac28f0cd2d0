package eval

import (
	"math"
	"strconv"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// hashUnit hashes the attribute named by, the targeting key if by is empty. False means that
// the context has nothing there to tell units apart: it is missing, an empty string, a boolean,
// a fraction or a list.
//
// Integers of every type, and floats that hold one exactly, hash as their decimal digits. So a
// number that came as JSON lands in the bucket of the same number in Go.
func hashUnit(s bucket.Seed, c *Context, by string) (uint32, bool) {
	if by == "" || by == targetingKey {
		return s.Sum(c.TargetingKey), c.TargetingKey != ""
	}
	value := c.Attributes[by]
	if text, ok := value.(string); ok {
		return s.Sum(text), text != ""
	}
	var buffer [24]byte
	digits, ok := appendInteger(buffer[:0], value)
	return s.Sum(string(digits)), ok // at most 20 bytes: converted on the stack
}

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
