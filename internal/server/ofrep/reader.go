package ofrep

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a body. The engine reads attributes of a few levels only.
const maxDepth = 32

// question is what the body of a request says.
type question struct {
	targetingKey string
	attributes   map[string]any
}

func (q *question) reset() {
	q.targetingKey = ""
	clear(q.attributes)
}

// read reads a body: {"context":{"targetingKey":…, attributes…}}. It gives attributes the types
// that encoding/json does, and refuses what that refuses, and values nested deeper than maxDepth.
// It is lenient where stock clients and servers are: no body, no context, a context that is no
// object and a targeting key that is no string all mean that there is none.
//
// The texts of the question are parts of body.
func (q *question) read(body string) error {
	p := parser{text: body}
	p.space()
	if p.at == len(p.text) {
		return nil
	}
	if p.text[p.at] != '{' {
		value, err := p.value(0)
		if err == nil && value != nil {
			err = fmt.Errorf("the body is not a JSON object; write {\"context\":{…}}")
		}
		return p.end(err)
	}
	return p.end(p.object(0, func(name string) error {
		if name != "context" {
			_, err := p.value(1)
			return err
		}
		q.reset() // of two contexts the last one counts
		return q.readContext(&p)
	}))
}

func (q *question) readContext(p *parser) error {
	if p.at >= len(p.text) || p.text[p.at] != '{' {
		_, err := p.value(1)
		return err
	}
	return p.object(1, func(name string) error {
		value, err := p.value(2)
		if name == "targetingKey" {
			q.targetingKey, _ = value.(string)
		} else {
			if q.attributes == nil {
				q.attributes = map[string]any{}
			}
			q.attributes[name] = value
		}
		return err
	})
}

// parser reads JSON (RFC 8259) from a text without copying it.
type parser struct {
	text string
	at   int
}

func (p *parser) fail(what string) error {
	return fmt.Errorf("the body is not valid JSON at byte %d: %s", p.at, what)
}

// end checks that nothing follows.
func (p *parser) end(err error) error {
	if err != nil {
		return err
	}
	if p.space(); p.at < len(p.text) {
		return p.fail("something follows after the end")
	}
	return nil
}

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// take skips c, if that comes next.
func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// object reads an object; member reads the value after each name.
func (p *parser) object(depth int, member func(name string) error) error {
	if depth >= maxDepth {
		return p.fail(fmt.Sprintf("more than %d levels", maxDepth))
	}
	p.at++ // {
	if p.space(); p.take('}') {
		return nil
	}
	for {
		if p.space(); p.at >= len(p.text) || p.text[p.at] != '"' {
			return p.fail("a name in quotes should be here")
		}
		name, err := p.string()
		if err != nil {
			return err
		}
		if p.space(); !p.take(':') {
			return p.fail("a colon should be here")
		}
		p.space()
		if err := member(name); err != nil {
			return err
		}
		if p.space(); p.take('}') {
			return nil
		}
		if !p.take(',') {
			return p.fail("a comma or a closing brace should be here")
		}
	}
}

func (p *parser) array(depth int) (any, error) {
	if depth >= maxDepth {
		return nil, p.fail(fmt.Sprintf("more than %d levels", maxDepth))
	}
	p.at++ // [
	list := []any{}
	if p.space(); p.take(']') {
		return list, nil
	}
	for {
		p.space()
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
		if p.space(); p.take(']') {
			return list, nil
		}
		if !p.take(',') {
			return nil, p.fail("a comma or a closing bracket should be here")
		}
	}
}

// value reads any value, which depth objects and arrays hold.
func (p *parser) value(depth int) (any, error) {
	if p.at >= len(p.text) {
		return nil, p.fail("it ends too early")
	}
	switch c := p.text[p.at]; c {
	case '"':
		return p.string()
	case '{':
		m := map[string]any{}
		err := p.object(depth, func(name string) (err error) {
			m[name], err = p.value(depth + 1)
			return err
		})
		return m, err
	case '[':
		return p.array(depth)
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	return p.number()
}

func (p *parser) word(want string) error {
	if len(p.text)-p.at < len(want) || p.text[p.at:p.at+len(want)] != want {
		return p.fail("a value should be here")
	}
	p.at += len(want)
	return nil
}

// string reads a text in quotes. One without escapes is a part of the body; the odd ones are
// encoding/json's.
func (p *parser) string() (string, error) {
	start, plain := p.at+1, true
	for i := start; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.at = i + 1
			if text := p.text[start:i]; plain {
				return text, nil
			}
			return p.odd(p.text[start-1 : p.at])
		case c == '\\':
			i++ // what is escaped ends nothing
			plain = false
		case c < ' ':
			p.at = i
			return "", p.fail("a control character should be escaped")
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	p.at = len(p.text)
	return "", p.fail("a text has no closing quote")
}

func (p *parser) odd(quoted string) (text string, err error) {
	inner := quoted[1 : len(quoted)-1]
	if strings.IndexByte(inner, '\\') < 0 && utf8.ValidString(inner) {
		return inner, nil
	}
	if json.Unmarshal([]byte(quoted), &text) != nil {
		return "", p.fail("a text before this place is not written well")
	}
	return text, nil
}

// number reads a number as a float64.
func (p *parser) number() (any, error) {
	start := p.at
	p.take('-')
	digits := p.digits()
	whole := p.text[start:p.at]
	switch {
	case digits == 0:
		p.at = start
		return nil, p.fail("a value should be here")
	case digits > 1 && p.text[p.at-digits] == '0':
		return nil, p.fail("a number does not begin with 0")
	}
	integer := true
	if p.take('.') {
		integer = false
		if p.digits() == 0 {
			return nil, p.fail("a digit should be here")
		}
	}
	if p.take('e') || p.take('E') {
		integer = false
		if !p.take('+') {
			p.take('-')
		}
		if p.digits() == 0 {
			return nil, p.fail("a digit should be here")
		}
	}
	if integer && digits <= 15 && whole[0] != '-' { // exact in a float64
		n := 0
		for _, c := range []byte(whole) {
			n = n*10 + int(c-'0')
		}
		return float64(n), nil
	}
	f, err := strconv.ParseFloat(p.text[start:p.at], 64)
	if err != nil {
		return nil, p.fail("a number before this place is too large")
	}
	return f, nil
}

// digits skips digits and counts them.
func (p *parser) digits() (n int) {
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
		n++
	}
	return n
}
