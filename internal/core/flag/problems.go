package flag

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// maxProblems bounds a [Problems] list; what comes after it is counted, not kept.
const maxProblems = 100

// Problem is one thing that is wrong with a document, and where.
type Problem struct {
	// Pointer is an RFC 6901 JSON pointer into the document; empty means the whole of it.
	Pointer string `json:"pointer"`
	// Detail says what is wrong and what to do about it, in one sentence.
	Detail string `json:"detail"`
}

// Problems is the error of every validation in the core: all that is wrong with one subject, in
// document order. At most 100 are kept, and More counts the rest. The zero value is ready to
// use. It is not safe for concurrent use while problems are being added.
type Problems struct {
	Subject string // what was validated, such as `flag "checkout"`
	List    []Problem
	More    int // problems found beyond the 100 in List
}

// Error gives the subject and every problem on one line.
func (p *Problems) Error() string {
	var b strings.Builder
	b.WriteString(p.Subject)
	for i, one := range p.List {
		b.WriteString([]string{"; ", ": "}[btoi(i == 0)])
		if one.Pointer != "" {
			b.WriteString(one.Pointer + ": ")
		}
		b.WriteString(one.Detail)
	}
	if p.More > 0 {
		fmt.Fprintf(&b, "; and %d more", p.More)
	}
	return b.String()
}

// Add records a problem at pointer; format and args as in fmt.Sprintf.
func (p *Problems) Add(pointer, format string, args ...any) {
	if len(p.List) >= maxProblems {
		p.More++
		return
	}
	p.List = append(p.List, Problem{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// Merge adds what another validation found under prefix. An err that is nil adds nothing; one
// that is not a *Problems becomes one problem at prefix.
func (p *Problems) Merge(prefix string, err error) {
	other, ok := err.(*Problems)
	switch {
	case err == nil:
	case !ok:
		p.Add(prefix, "%v", err)
	default:
		for _, one := range other.List {
			p.Add(prefix+one.Pointer, "%s", one.Detail)
		}
		p.More += other.More
	}
}

// Err gives p as an error, or nil if nothing was added (or p is nil).
func (p *Problems) Err() error {
	if p == nil || len(p.List) == 0 {
		return nil
	}
	return p
}

// Pointer builds a JSON pointer: base, then each token escaped. Tokens are strings or ints.
func Pointer(base string, tokens ...any) string {
	var b strings.Builder
	b.WriteString(base)
	for _, token := range tokens {
		b.WriteByte('/')
		switch token := token.(type) {
		case int:
			b.WriteString(strconv.Itoa(token))
		default:
			b.WriteString(pointerEscaper.Replace(fmt.Sprint(token)))
		}
	}
	return b.String()
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Suggest gives `; did you mean "x"?` for the known name nearest to name, or "" if none is near
// (more than a third of the letters differ). Of two that are as near the one that begins alike for
// longer is meant, as people stop early more often than they start wrong. It is meant to be put at
// the end of a message.
func Suggest(name string, known iter.Seq[string]) string {
	name = strings.ToLower(name)
	best, distance, prefix := "", max(1, len(name)/3)+1, 0
	for candidate := range known {
		if candidate == "" || abs(len(candidate)-len(name)) > distance {
			continue
		}
		lower := strings.ToLower(candidate)
		d, p := editDistance(name, lower, distance), commonPrefix(name, lower)
		if d < distance || best != "" && d == distance && p > prefix {
			best, distance, prefix = candidate, d, p
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// commonPrefix gives the number of bytes with which both begin.
func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// editDistance is the optimal string alignment distance of a and b in bytes (Levenshtein's plus
// swaps of neighbours), or at least limit if it is no smaller. Long names are not compared.
func editDistance(a, b string, limit int) int {
	if len(a) > MaxKey || len(b) > MaxKey {
		return limit
	}
	var before, previous, current [MaxKey + 1]int
	for j := range len(b) + 1 {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			differs := btoi(a[i-1] != b[j-1])
			d := min(previous[j]+1, current[j-1]+1, previous[j-1]+differs)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			current[j] = d
		}
		before, previous = previous, current
	}
	return previous[len(b)]
}

func abs(n int) int { return max(n, -n) }
