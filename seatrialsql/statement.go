package seatrialsql

import "strings"

// Bounds of what is kept of a statement.
const (
	maxText    = 4096
	maxSummary = 100
)

// verbs are the first words of statements that name what is done; a statement that begins with
// anything else is called "STATEMENT", so that the names of spans stay few.
var verbs = map[string]bool{
	"SELECT": true, "INSERT": true, "UPDATE": true, "DELETE": true, "MERGE": true, "REPLACE": true, "UPSERT": true,
	"WITH": true, "VALUES": true, "CALL": true, "EXEC": true, "EXECUTE": true, "COPY": true, "EXPLAIN": true,
	"CREATE": true, "ALTER": true, "DROP": true, "TRUNCATE": true, "GRANT": true, "REVOKE": true,
	"BEGIN": true, "START": true, "COMMIT": true, "ROLLBACK": true, "SAVEPOINT": true, "RELEASE": true,
	"SET": true, "SHOW": true, "USE": true, "PRAGMA": true, "VACUUM": true, "ANALYZE": true, "LOCK": true,
}

// summarize gives the verb of a statement, and the verb with its table where that is plain to see:
// a name of low cardinality in the sense of db.query.summary. No value gets into it: where it is
// doubtful what is a value, there is no table.
func summarize(text string) (verb, summary string) {
	text = clip(text)
	words := words{text}
	verb = strings.ToUpper(words.next())
	if !verbs[verb] {
		return "STATEMENT", "STATEMENT"
	}
	if doubtful(text) {
		return verb, verb
	}
	table := words.table(verb)
	if table == "" || len(table) > maxSummary {
		return verb, verb
	}
	return verb, verb + " " + table
}

// doubtful tells whether strings may not end where they seem to: escapes by backslash, quotes by
// dollar signs, comments from a hash sign.
func doubtful(text string) bool {
	for i := range len(text) {
		switch text[i] {
		case '\\', '#':
			return true
		case '$':
			if i+1 == len(text) || text[i+1] < '0' || text[i+1] > '9' { // $1 is a parameter
				return true
			}
		}
	}
	return false
}

// words reads a statement word by word. What is in brackets, quotes and comments is passed over.
type words struct{ rest string }

// table finds the table of the simple forms, empty if it does not.
func (w *words) table(verb string) string {
	marker := ""
	switch verb {
	case "UPDATE":
		return w.name()
	case "SELECT", "DELETE":
		marker = "FROM"
	case "INSERT", "REPLACE":
		marker = "INTO"
	default:
		return ""
	}
	for word := w.next(); word != ""; word = w.next() {
		if strings.EqualFold(word, marker) {
			return w.name()
		}
	}
	return ""
}

// name gives the next word if it is a name without quotes, else an empty one.
func (w *words) name() string {
	w.rest = strings.TrimLeft(w.rest, " \t\r\n")
	end := 0
	for end < len(w.rest) && inName(w.rest[end], end == 0) {
		end++
	}
	if end < len(w.rest) && !strings.ContainsRune(" \t\r\n;(", rune(w.rest[end])) {
		return ""
	}
	return w.rest[:end]
}

func inName(c byte, first bool) bool {
	switch {
	case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return true
	default:
		return !first && (c == '.' || '0' <= c && c <= '9')
	}
}

// next gives the next word, empty at the end.
func (w *words) next() string {
	for w.rest != "" {
		n, isWord := token(w.rest)
		word := w.rest[:n]
		w.rest = w.rest[n:]
		if isWord {
			return word
		}
	}
	return ""
}

// token gives the length of what s begins with, and whether it is a word.
func token(s string) (n int, isWord bool) {
	switch {
	case strings.HasPrefix(s, "--"):
		return through(s, 2, "\n"), false
	case strings.HasPrefix(s, "/*"):
		return through(s, 2, "*/"), false
	case s[0] == '(':
		return brackets(s), false
	case strings.IndexByte("'\"`", s[0]) >= 0:
		return through(s, 1, s[:1]), false
	}
	for n < len(s) && inName(s[n], false) {
		n++
	}
	return max(n, 1), n > 0
}

// through gives where the first mark at or after from is over; the end if there is none.
func through(s string, from int, mark string) int {
	if i := strings.Index(s[from:], mark); i >= 0 {
		return from + i + len(mark)
	}
	return len(s)
}

// brackets gives where the bracket that s begins with is over.
func brackets(s string) int {
	depth := 1
	for at := 1; at < len(s); {
		switch s[at] {
		case '(':
			depth++
			at++
		case ')':
			depth--
			at++
		default:
			n, _ := token(s[at:])
			at += n
		}
		if depth == 0 {
			return at
		}
	}
	return len(s)
}

// clip bounds the text of a statement, at the border of a character.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "")
}
