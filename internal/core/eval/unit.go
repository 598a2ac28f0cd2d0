package eval

import "github.com/seatrial/seatrial/internal/core/bucket"

// targetingKey is the attribute that stands for Context.TargetingKey.
const targetingKey = "targetingKey"

// unit is the context of one evaluation, and what was read from it: rules often ask for the same
// attribute one after another. It lives on the stack of the evaluation.
type unit struct {
	key        string
	attributes map[string]any
	time       int64
	flag       string // that is being evaluated
	read       [4]reading
}

// reading is an attribute's value.
type reading struct {
	of    *path
	value any
}

// enter makes the empty u the unit of an evaluation of the flag; a nil context is nobody's.
func (u *unit) enter(c *Context, flag string) {
	u.flag = flag
	if c != nil {
		u.key, u.attributes, u.time = c.TargetingKey, c.Attributes, c.Time
	}
}

// value gives the value of an attribute, nil if it is missing. The targeting key is not an
// attribute here.
func (u *unit) value(p *path) any {
	at := &u.read[p.slot%uint8(len(u.read))]
	if at.of != p {
		at.of, at.value = p, p.in(u.attributes)
	}
	return at.value
}

// hash hashes the attribute at p, the targeting key if p is nil. False means that the context has
// nothing there to tell units apart: it is missing, an empty string, a boolean, a fraction or a
// list.
//
// Integers of every type, and floats that hold one exactly, hash as their decimal digits. So a
// number that came as JSON lands in the bucket of the same number in Go.
func (u *unit) hash(s *bucket.Seed, p *path) (uint32, bool) {
	if p == nil {
		return s.Sum(u.key), u.key != ""
	}
	value := u.value(p)
	if text, ok := value.(string); ok {
		return s.Sum(text), text != ""
	}
	var buffer [24]byte
	digits, ok := appendInteger(buffer[:0], value)
	return s.Sum(string(digits)), ok // at most 20 bytes: converted on the stack
}
