// Package wrap breaks text into the lines of a terminal.
package wrap

import (
	"strings"
	"unicode/utf8"
)

// noBreak stands for a space at which no line is broken. (The no-break space itself would not do:
// it counts as white space.)
const noBreak = "\u2060"

// Text breaks text at spaces into lines of at most width characters, all but the first indented by
// indent spaces, which count. A number stays with its per cent sign, and a word longer than a line
// is not broken. A width too small to care, under indent+20, breaks nothing.
func Text(text string, width, indent int) string {
	room := width - indent
	if room < 20 {
		return text
	}
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(strings.ReplaceAll(text, " %", noBreak+"%")) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > room:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return strings.ReplaceAll(b.String(), noBreak, " ")
}
