package cli

import (
	"io"
	"os"
	"strings"

	"github.com/seatrial/seatrial/internal/wrap"
	"golang.org/x/term"
)

// style is what the terminal can show. The zero value shows plain ASCII in 80 columns.
type style struct {
	terminal bool // a person reads along
	colour   bool
	unicode  bool
	file     *os.File // the terminal, to ask for its width
}

// newStyle looks at where the output goes and at the usual variables: NO_COLOR and TERM=dumb
// turn colour off, CLICOLOR_FORCE turns it on; the locale decides about characters beyond ASCII.
func newStyle(out io.Writer, getenv func(string) string) style {
	var s style
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.terminal, s.file = true, f
	}
	dumb := getenv("TERM") == "dumb"
	s.colour = s.terminal && !dumb
	if force := getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		s.colour = true
	}
	if getenv("NO_COLOR") != "" {
		s.colour = false
	}
	s.unicode = unicodeLocale(getenv) && !dumb
	return s
}

func unicodeLocale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// width of the terminal in columns, 80 if nobody knows.
func (s style) width() int {
	if s.file != nil {
		if w, _, err := term.GetSize(int(s.file.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// height of the terminal in lines, 0 if nobody knows.
func (s style) height() int {
	if s.file != nil {
		if _, h, err := term.GetSize(int(s.file.Fd())); err == nil {
			return h
		}
	}
	return 0
}

// mark is how something is doing. It shows as icon, word and colour; the word always stands
// beside it, so that neither colour nor icon carries meaning alone.
type mark int

const (
	markNone mark = iota
	markGood
	markBad
	markBusy
	markWarn
	markPaused
	markUnknown
	markQuiet // less important; no icon
)

var icons = map[mark][2]string{ // unicode, ASCII
	markGood: {"✔", "+"}, markBad: {"✖", "x"}, markBusy: {"◌", "~"},
	markWarn: {"⚠", "!"}, markPaused: {"‖", "="}, markUnknown: {"?", "?"},
}

var colours = map[mark]string{
	markGood: "32", markBad: "31", markBusy: "36", markWarn: "33", markPaused: "33", markUnknown: "35", markQuiet: "2",
}

// icon gives the icon of m and a space, or nothing if m has none.
func (s style) icon(m mark) string {
	pair, ok := icons[m]
	switch {
	case !ok:
		return ""
	case s.unicode:
		return pair[0] + " "
	default:
		return pair[1] + " "
	}
}

// paint colours text as m, if there are colours.
func (s style) paint(m mark, text string) string {
	code, ok := colours[m]
	if !s.colour || !ok || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// marked gives icon and word, coloured.
func (s style) marked(m mark, word string) string { return s.paint(m, s.icon(m)+word) }

// choose gives the first text where characters beyond ASCII can be shown, else the second.
func (s style) choose(unicode, ascii string) string {
	if s.unicode {
		return unicode
	}
	return ascii
}

// wrap breaks text into lines of the terminal's width, at spaces.
func (s style) wrap(text string) string {
	if !s.terminal {
		return text
	}
	return wrap.Text(text, max(20, s.width()), 0)
}
