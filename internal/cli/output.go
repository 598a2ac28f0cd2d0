package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/wrap"
)

// The output formats.
const (
	formatTable = "table"
	formatTSV   = "tsv"
	formatJSON  = "json"
)

func (a *app) checkOutput() error {
	switch a.output {
	case "", formatTable, formatTSV, formatJSON:
		return nil
	}
	return usage(fmt.Errorf("output %q: use table, tsv or json", a.output))
}

// format is the output format of this call.
func (a *app) format() string {
	switch {
	case a.output != "":
		return a.output
	case a.style.terminal:
		return formatTable
	default:
		return formatTSV
	}
}

// cell is one value of a table: plain for TSV, and how a person sees it.
type cell struct {
	plain string
	shown string // empty: plain
	mark  mark
}

func text(format string, args ...any) cell {
	if len(args) == 0 {
		return cell{plain: format}
	}
	return cell{plain: fmt.Sprintf(format, args...)}
}

func marked(m mark, word string) cell { return cell{plain: word, mark: m} }

// ago shows a time as distance from now, and prints it in full.
func ago(t time.Time) cell {
	if t.IsZero() {
		return cell{plain: "", shown: "-"}
	}
	return cell{plain: t.UTC().Format(time.RFC3339), shown: since(time.Since(t))}
}

// since says how long ago something was, in one unit.
func since(d time.Duration) string {
	switch {
	case d < -time.Minute: // an hour from now is still one a moment later, not 59 minutes
		return "in " + strings.TrimSuffix(since(time.Second-d), " ago")
	case d < 0:
		return "in " + strings.TrimSuffix(since(-d), " ago")
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}

// table is what list commands print: a value for JSON, and rows for everybody else.
type table struct {
	json  any
	head  []string
	rows  [][]cell
	empty string // narrated when there are no rows: what to do next; may be empty
	wrap  bool   // on a terminal the last column is broken into lines, not cut
}

// print writes t in the format of this call.
func (a *app) print(t table) error {
	switch a.format() {
	case formatJSON:
		return a.printJSON(t.json)
	case formatTSV:
		return writeTSV(a.out, t.rows)
	}
	switch {
	case len(t.rows) == 0 && t.empty != "":
		a.say("%s", t.empty)
		fallthrough
	case len(t.rows) == 0:
		return nil
	}
	layOut := a.style.table
	if t.wrap {
		layOut = a.style.wrapped
	}
	_, err := io.WriteString(a.out, layOut(t.head, t.rows))
	return err
}

// printJSON writes v indented, as one document.
func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// printLine writes v as one line of NDJSON.
func (a *app) printLine(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// writeTSV writes rows without a head; tabs and line breaks inside a value become spaces.
func writeTSV(w io.Writer, rows [][]cell) error {
	clean := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(clean.Replace(c.plain))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// table lays rows out in columns; the last column is cut at the terminal's width.
func (s style) table(head []string, rows [][]cell) string { return s.columns(head, rows, s.cut) }

// wrapped lays rows out in columns; the last column is broken into lines at the terminal's width.
func (s style) wrapped(head []string, rows [][]cell) string {
	return s.columns(head, rows, func(text string, n int) string {
		if !s.terminal {
			return text
		}
		return wrap.Text(text, n, 0)
	})
}

// columns lays rows out in columns; fit makes the last one fit into a width, on lines of its own.
func (s style) columns(head []string, rows [][]cell, fit func(string, int) string) string {
	widths := make([]int, len(head))
	for i, h := range head {
		widths[i] = len(h)
	}
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(s.display(c)))
		}
	}
	var b strings.Builder
	for i, h := range head {
		s.column(&b, cell{plain: h, mark: markQuiet}, widths, i, fit)
	}
	for _, row := range rows {
		for i, c := range row {
			s.column(&b, c, widths, i, fit)
		}
	}
	return b.String()
}

func (s style) display(c cell) string {
	shown := c.shown
	if shown == "" {
		shown = c.plain
	}
	return s.icon(c.mark) + shown
}

func (s style) column(b *strings.Builder, c cell, widths []int, i int, fit func(string, int) string) {
	shown := s.display(c)
	if i < len(widths)-1 {
		b.WriteString(s.paint(c.mark, shown))
		b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(shown)+2))
		return
	}
	before := 0
	for _, w := range widths[:i] {
		before += w + 2
	}
	shown = strings.ReplaceAll(fit(shown, max(20, s.width()-before)), "\n", "\n"+strings.Repeat(" ", before))
	b.WriteString(s.paint(c.mark, shown))
	b.WriteByte('\n')
}

// cut shortens text to n columns on a terminal; elsewhere nothing is lost.
func (s style) cut(text string, n int) string {
	if !s.terminal || utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + s.choose("…", "~")
}

// details is what get commands print: named values, one a line.
type details struct {
	json any
	rows []detail
}

type detail struct {
	name string
	cell
}

func (a *app) printDetails(d details) error {
	switch a.format() {
	case formatJSON:
		return a.printJSON(d.json)
	case formatTSV:
		rows := make([][]cell, len(d.rows))
		for i, r := range d.rows {
			rows[i] = []cell{text("%s", r.name), r.cell}
		}
		return writeTSV(a.out, rows)
	}
	_, err := io.WriteString(a.out, a.style.details(d.rows))
	return err
}

func (s style) details(rows []detail) string {
	width := 0
	for _, r := range rows {
		width = max(width, len(r.name))
	}
	var b strings.Builder
	for _, r := range rows {
		if r.plain == "" && r.shown == "" {
			continue
		}
		b.WriteString(s.paint(markQuiet, r.name) + strings.Repeat(" ", width-len(r.name)+2))
		b.WriteString(s.paint(r.mark, strings.ReplaceAll(s.display(r.cell), "\n", "\n"+strings.Repeat(" ", width+2))))
		b.WriteByte('\n')
	}
	return b.String()
}
