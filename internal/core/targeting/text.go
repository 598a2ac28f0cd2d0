package targeting

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/bucket"
	"github.com/seatrial/seatrial/internal/core/semver"
)

func (r *run) evalText(n *node) value {
	switch n.op {
	case opCat:
		return r.cat(n)
	case opSubstr:
		return r.substr(n)
	case opSemVer:
		return r.semVer(n)
	}
	return r.affix(n)
}

// cat joins texts. White space around the result of two or more is cut off, as in the Go engine.
func (r *run) cat(n *node) value {
	if len(n.args) == 1 {
		if v := r.eval(&n.args[0]); v.kind == isText {
			return v
		}
	}
	var buffer [128]byte
	joined := buffer[:0]
	for i := range n.args {
		v := r.eval(&n.args[i])
		text, ok := v.appendText(joined)
		if !ok {
			return r.fail(n, "argument %d is %s, which has no text", i+1, v.kind)
		}
		if joined = text; len(joined) > MaxText {
			return r.fail(n, "the text has more than %d bytes", MaxText)
		}
	}
	if !r.spendText(n, len(joined)) || len(n.args) == 1 {
		return textOf(string(joined))
	}
	return textOf(strings.TrimSpace(string(joined)))
}

// newPrefix hashes the constants with which a cat begins; nil if there are none.
func newPrefix(args []node) *prefix {
	var text []byte
	p := &prefix{}
	for p.args < len(args)-1 && args[p.args].op == opConst {
		more, ok := args[p.args].value.appendText(text)
		if !ok {
			break
		}
		text = more
		p.args++
	}
	trimmed := strings.TrimLeftFunc(string(text), unicode.IsSpace)
	if trimmed == "" {
		return nil
	}
	p.seed = p.seed.Absorb(trimmed)
	return p
}

// hash gives the murmur3 of what cat joins. It joins only where a part is no text or white space
// has to be cut off that fills a part.
func (r *run) hash(n *node) uint32 {
	var seed bucket.Seed
	begun := n.prefix != nil
	args := n.args
	if begun {
		seed, args = n.prefix.seed, args[n.prefix.args:]
	}
	for i := range args {
		v := r.eval(&args[i])
		text, last := v.text, i == len(args)-1
		if len(n.args) > 1 {
			text = trim(text, !begun, last)
		}
		if v.kind != isText || text == "" || !r.spendText(n, len(text)) {
			break
		}
		if last {
			return seed.Sum(text)
		}
		seed, begun = seed.Absorb(text), true
	}
	return bucket.Seed{}.Sum(r.cat(n).text)
}

// trim cuts white space off at one side or both.
func trim(text string, left, right bool) string {
	if left && text != "" && !isPrintable(text[0]) {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
	}
	if right && text != "" && !isPrintable(text[len(text)-1]) {
		text = strings.TrimRightFunc(text, unicode.IsSpace)
	}
	return text
}

func isPrintable(c byte) bool { return c > ' ' && c < 0x7f }

// substr counts characters. A start before the beginning or behind the end gives the whole text,
// as in the Go engine; a negative length leaves that many out at the end.
func (r *run) substr(n *node) value {
	v, from := r.eval(&n.args[0]), clampInt(r.number(n, 1))
	var scratch [64]byte
	text, ok := v.appendText(scratch[:0])
	if !ok {
		return r.fail(n, "the argument is %s, which has no text", v.kind)
	}
	if !r.spendText(n, len(text)) {
		return value{}
	}
	whole, length := string(text), utf8.RuneCount(text)
	if from < 0 {
		from += length
	}
	if from < 0 || from > length {
		return textOf(whole)
	}
	to := length
	if len(n.args) == 3 {
		if to = clampInt(r.number(n, 2)); to < 0 {
			to += length
		} else {
			to = min(from+to, length)
		}
	}
	if to <= from {
		return textOf("")
	}
	return textOf(whole[byteAt(whole, from):byteAt(whole, to)])
}

// clampInt cuts the fraction off; what no text is long enough for is ±2^30.
func clampInt(f float64) int {
	if math.IsNaN(f) {
		return 0
	}
	return int(max(-1<<30, min(f, 1<<30)))
}

// byteAt gives the place of a character in the text.
func byteAt(text string, character int) int {
	for i := range text {
		if character == 0 {
			return i
		}
		character--
	}
	return len(text)
}

// affix is starts_with and ends_with: null unless there are two texts.
func (r *run) affix(n *node) value {
	if len(n.args) != 2 {
		return value{}
	}
	text, affix := r.eval(&n.args[0]), r.eval(&n.args[1])
	if text.kind != isText || affix.kind != isText {
		return value{}
	}
	if n.op == opStartsWith {
		return boolOf(strings.HasPrefix(text.text, affix.text))
	}
	return boolOf(strings.HasSuffix(text.text, affix.text))
}

// semVer compares versions: null unless there are two versions with an operator between them.
func (r *run) semVer(n *node) value {
	if len(n.args) != 3 {
		return value{}
	}
	left, op, right := r.eval(&n.args[0]), r.eval(&n.args[1]), r.eval(&n.args[2])
	a, okA := version(left)
	b, okB := version(right)
	if !okA || !okB || op.kind != isText || !semver.IsOperator(op.text) {
		return value{}
	}
	return boolOf(semver.Matches(op.text, a, b))
}

// version reads a text, or a number such as 1.2.
func version(v value) (semver.Version, bool) {
	switch v.kind {
	case isText:
		return semver.Parse(v.text)
	case isNumber:
		text, _ := v.appendText(nil)
		return semver.Parse(string(text))
	}
	return semver.Version{}, false
}
