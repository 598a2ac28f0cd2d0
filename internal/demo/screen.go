package demo

// Mark is how something is doing.
type Mark int

// The marks.
const (
	MarkNone Mark = iota
	MarkGood
	MarkBad
	MarkBusy
	MarkWarn
	MarkQuiet
)

// Screen says what the output can show. The demo calls it from one goroutine at a time.
type Screen interface {
	// Icon gives the character for a mark, empty if it has none.
	Icon(m Mark) string
	// Paint colours text as m.
	Paint(m Mark, text string) string
	// Bold makes text stand out.
	Bold(text string) string
	// Width gives the columns of a terminal that a person watches, 0 if there is none: then
	// nothing is redrawn and no line is broken.
	Width() int
}

// plain is a screen that shows letters only.
type plain struct{}

var _ Screen = plain{}

func (plain) Icon(m Mark) string               { return plainIcons[m] }
func (plain) Paint(_ Mark, text string) string { return text }
func (plain) Bold(text string) string          { return text }
func (plain) Width() int                       { return 0 }

var plainIcons = map[Mark]string{MarkGood: "+", MarkBad: "x", MarkBusy: "~", MarkWarn: "!"}
