package otlp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/server/traces"
)

var errJSON = errors.New("the body is not JSON: it may be cut off")

// cursor reads a JSON text that is known to be valid, front to back; strings without escapes
// are cut out of it without copying. The first value of a wrong type ends the reading: it is
// kept in err, and from then on everything is empty.
//
// OTLP/JSON (specification, "JSON Protobuf Encoding"): names in lowerCamelCase, others ignored;
// ids in hex; 64-bit integers as strings or numbers; null is as good as absent.
type cursor struct {
	text string
	pos  int
	err  error
}

// newCursor checks the syntax, which also bounds the nesting (encoding/json: 10 000).
func newCursor(body []byte) (cursor, error) {
	if !json.Valid(body) {
		return cursor{}, errJSON
	}
	return cursor{text: string(body)}, nil
}

// fail ends the reading.
func (c *cursor) fail(want string) {
	if c.err == nil {
		c.err = fmt.Errorf("the JSON value at byte %d is not %s", c.pos, want)
	}
	c.pos = len(c.text)
}

// peek gives the first byte of the next token, 0 at the end.
func (c *cursor) peek() byte {
	for c.pos < len(c.text) {
		switch b := c.text[c.pos]; b {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return b
		}
	}
	return 0
}

// null skips a null, and reports whether there was one.
func (c *cursor) null() bool {
	if c.peek() != 'n' {
		return false
	}
	c.pos += len("null")
	return true
}

// fields yields the keys of an object. A value that the body of the loop does not read is
// skipped.
func (c *cursor) fields() iter.Seq[string] {
	return func(yield func(string) bool) {
		for range c.members('{', '}', "an object") {
			key := c.quoted()
			if c.err != nil {
				return
			}
			c.peek()
			c.pos++ // the colon
			c.peek()
			at := c.pos
			if !yield(key) {
				return
			}
			if c.pos == at {
				c.skip()
			}
		}
	}
}

// elements yields the positions of the elements of an array, which it skips like fields.
func (c *cursor) elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		for n := range c.members('[', ']', "an array") {
			at := c.pos
			if !yield(n) {
				return
			}
			if c.pos == at {
				c.skip()
			}
		}
	}
}

// members stands before each member between two brackets.
func (c *cursor) members(open, shut byte, want string) iter.Seq[int] {
	return func(yield func(int) bool) {
		if c.null() {
			return
		}
		if c.peek() != open {
			c.fail(want)
			return
		}
		c.pos++
		for n := 0; c.err == nil && c.peek() != 0; n++ {
			if c.peek() == shut {
				c.pos++
				return
			}
			if c.peek() == ',' {
				c.pos++
				c.peek()
			}
			if !yield(n) {
				return
			}
		}
	}
}

// skip passes over any value.
func (c *cursor) skip() {
	for depth := 0; ; {
		switch c.peek() {
		case 0:
			return
		case '"':
			c.raw()
		case '{', '[':
			depth++
			c.pos++
		case '}', ']':
			depth--
			c.pos++
		case ',', ':':
			c.pos++
			continue
		default:
			c.literal()
		}
		if depth == 0 {
			return
		}
	}
}

// literal cuts out a number, true, false or null.
func (c *cursor) literal() string {
	from := c.pos
	for c.pos < len(c.text) && !strings.ContainsRune(",:]} \t\r\n", rune(c.text[c.pos])) {
		c.pos++
	}
	return c.text[from:c.pos]
}

// raw cuts out a string with its quotes.
func (c *cursor) raw() string {
	from := c.pos
	for c.pos++; c.pos < len(c.text) && c.text[c.pos] != '"'; c.pos++ {
		if c.text[c.pos] == '\\' {
			c.pos++
		}
	}
	c.pos = min(c.pos+1, len(c.text))
	return c.text[from:c.pos]
}

// quoted reads a string that is there.
func (c *cursor) quoted() string {
	raw := c.raw()
	if strings.IndexByte(raw, '\\') < 0 {
		return strings.Trim(raw, `"`)
	}
	var text string
	if json.Unmarshal([]byte(raw), &text) != nil {
		c.fail("a string")
	}
	return text
}

func (c *cursor) str() string {
	switch {
	case c.null() || c.err != nil:
		return ""
	case c.peek() != '"':
		c.fail("a string")
		return ""
	}
	return c.quoted()
}

func (c *cursor) boolean() bool {
	at := c.pos
	switch c.literal() {
	case "true":
		return true
	case "false", "null", "":
		return false
	}
	c.pos = at
	c.fail("true or false")
	return false
}

// number gives the text of a number, which may stand in quotes.
func (c *cursor) number() string {
	switch b := c.peek(); {
	case c.null() || b == 0:
		return "0"
	case b == '"':
		return c.quoted()
	case b == '-' || b >= '0' && b <= '9':
		return c.literal()
	}
	c.fail("a number")
	return "0"
}

// float reads a double: also as a string, and the three that are no JSON numbers.
func (c *cursor) float() float64 {
	text := c.number()
	switch text {
	case "NaN":
		return math.NaN()
	case "Infinity":
		return math.Inf(1)
	case "-Infinity":
		return math.Inf(-1)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		c.fail("a number")
	}
	return f
}

// signed reads an integer; 1e3 and 5.0 are some.
func (c *cursor) signed() int64 {
	text := c.number()
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return int64(f)
	}
	c.fail("a 64-bit integer")
	return 0
}

// unsigned is signed for integers ≥ 0 below 2^64.
func (c *cursor) unsigned() uint64 {
	text := c.number()
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f == math.Trunc(f) && f >= 0 && f < 1<<64 {
		return uint64(f)
	}
	c.fail("an integer from 0 to 2^64")
	return 0
}

// enum reads the number of an enum value. The specification allows no names, but protobuf's own
// JSON writes them, so they are understood: names[i] is that of number i. Unknown ones are 0.
func (c *cursor) enum(names []string) uint64 {
	if c.peek() != '"' {
		return uint64(max(c.signed(), 0))
	}
	text := c.quoted()
	for i, name := range names {
		if text == name {
			return uint64(i)
		}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// id reads an id in hex; false if it is neither empty nor of the right length.
func (c *cursor) id(into []byte) bool {
	text := c.str()
	if text == "" {
		clear(into)
		return true
	}
	return decodeHex(into, text)
}

func (c *cursor) bytes() string {
	text := strings.TrimRight(c.str(), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		c.fail("base64")
	}
	return string(raw)
}

// find gives a cursor at the value of a field of the object at c, which stays where it is: what
// the field says is needed before the others can be read, and fields have no order.
func (c *cursor) find(name string) (found cursor, ok bool) {
	ahead := *c
	for key := range ahead.fields() {
		if key == name {
			found, ok = ahead, true
		}
	}
	if ahead.err != nil {
		*c = ahead
	}
	return found, ok && ahead.err == nil
}

// jsonAttributes appends a list of KeyValues to scratch.
func (b *builder) jsonAttributes(c *cursor, scratch []traces.Attribute) []traces.Attribute {
	for range c.elements() {
		if key, value := b.jsonPair(c, 0); c.err == nil {
			scratch = b.appendAttribute(scratch, key, value)
		}
	}
	return scratch
}

func (b *builder) jsonPair(c *cursor, depth int) (key string, value traces.Value) {
	for field := range c.fields() {
		switch field {
		case "key":
			key = c.str()
		case "value":
			value = b.jsonValue(c, depth)
		}
	}
	return key, value
}

// jsonValue reads an AnyValue.
func (b *builder) jsonValue(c *cursor, depth int) (value traces.Value) {
	for field := range c.fields() {
		if c.peek() == 'n' {
			continue // null
		}
		switch field {
		case "stringValue":
			value = traces.StringValue(clip(c.str(), maxText))
		case "boolValue":
			value = traces.BoolValue(c.boolean())
		case "intValue":
			value = traces.IntValue(c.signed())
		case "doubleValue":
			value = traces.FloatValue(c.float())
		case "bytesValue":
			value = traces.BytesValue(clipBytes(c.bytes(), maxText))
		case "arrayValue", "kvlistValue":
			value = b.jsonNested(c, depth+1, field == "kvlistValue")
		}
	}
	return value
}

// jsonNested reads an ArrayValue or a KeyValueList, which look alike from outside.
func (b *builder) jsonNested(c *cursor, depth int, pairs bool) traces.Value {
	if depth > maxValueDepth {
		b.dropped++
		c.skip()
		return traces.Value{}
	}
	var list nestedValues
	for field := range c.fields() {
		if field != "values" {
			continue
		}
		for range c.elements() {
			switch {
			case list.size() >= maxElements || !b.spend():
				b.dropped++
			case pairs:
				key, value := b.jsonPair(c, depth)
				list.pairs = append(list.pairs, traces.Attribute{Key: clip(key, maxKey), Value: value})
			default:
				list.values = append(list.values, b.jsonValue(c, depth))
			}
		}
	}
	return list.value(pairs)
}

// jsonResource reads the resource of the group at c, which stays where it is.
func (b *builder) jsonResource(c *cursor) resource {
	b.attrs = b.attrs[:0]
	if found, ok := c.find("resource"); ok {
		for field := range found.fields() {
			if field == "attributes" {
				b.attrs = b.jsonAttributes(&found, b.attrs)
			}
		}
		if found.err != nil {
			*c = found
		}
	}
	return b.resource()
}

// jsonLeaves calls leaf at every span or metric of a request, with its resource.
func (b *builder) jsonLeaves(c *cursor, groups, scopes, leaves string, leaf func(*cursor, resource)) {
	for field := range c.fields() {
		if field != groups {
			continue
		}
		for range c.elements() {
			if !b.spend() {
				b.reject(1, reasonTooLarge)
				continue
			}
			r := b.jsonResource(c)
			for field := range c.fields() {
				if field == scopes {
					jsonScopes(c, leaves, func(c *cursor, scope cursor) {
						leaf(c, b.within(r, scope.pos, func() string { return jsonScope(scope) }))
					})
				}
			}
		}
	}
}

func jsonScopes(c *cursor, leaves string, leaf func(c *cursor, scope cursor)) {
	for range c.elements() {
		scope := *c
		for field := range c.fields() {
			if field != leaves {
				continue
			}
			for range c.elements() {
				leaf(c, scope)
			}
		}
	}
}
