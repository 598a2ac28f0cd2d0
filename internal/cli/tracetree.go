package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/cli/api"
)

// This file prints a trace as a tree.

// treeLine is a span with its place in the tree.
type treeLine struct {
	span   api.Span
	depth  int
	prefix string // the lines that lead to it
}

var spanColumns = []string{"DEPTH", "SPAN", "PARENT", "SERVICE", "NAME", "KIND", "OFFSET", "DURATION", "STATUS"}

func (a *app) printTrace(t api.Trace, all bool) error {
	switch a.format() {
	case formatJSON:
		return a.printJSON(t)
	case formatTSV:
		return writeTSV(a.out, spanRows(t))
	}
	_, err := io.WriteString(a.out, a.style.traceTree(t, all))
	return err
}

func spanRows(t api.Trace) [][]cell {
	start, _ := traceTimes(t.Spans)
	var rows [][]cell
	for _, l := range arrange(t.Spans) {
		offset := float64(l.span.Start.Sub(start)) / float64(time.Millisecond)
		rows = append(rows, []cell{text("%d", l.depth), text("%s", l.span.SpanID), text("%s", l.span.ParentSpanID), text("%s", l.span.Service),
			text("%s", l.span.Name), text("%s", l.span.Kind), text("%g", offset), text("%g", l.span.DurationMs), text("%s", l.span.Status)})
	}
	return rows
}

// arrange gives the spans in the order of display, parents before children, each once whatever
// the parents say: a span whose parent is not there is a root.
func arrange(spans []api.Span) []treeLine {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(x, y api.Span) int {
		return cmp.Or(x.Start.Compare(y.Start), cmp.Compare(y.DurationMs, x.DurationMs))
	})
	there := map[string]bool{}
	for _, s := range spans {
		there[s.SpanID] = true
	}
	children := map[string][]api.Span{}
	for _, s := range spans {
		parent := s.ParentSpanID
		if !there[parent] || parent == s.SpanID {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	w := treeWalk{children: children, seen: map[string]bool{}}
	w.below("", "", 0)
	for _, s := range spans { // what is left is a cycle: cut it at its earliest span
		if !w.seen[s.SpanID] {
			w.line(s, "", "", 0)
		}
	}
	return w.lines
}

type treeWalk struct {
	children map[string][]api.Span
	seen     map[string]bool
	lines    []treeLine
}

func (w *treeWalk) below(id, prefix string, depth int) {
	list := w.children[id]
	for i, s := range list {
		branch, lead := "├─ ", "│  "
		if i == len(list)-1 {
			branch, lead = "└─ ", "   "
		}
		if depth == 0 {
			branch, lead = "", ""
		}
		w.line(s, prefix+branch, prefix+lead, depth)
	}
}

func (w *treeWalk) line(s api.Span, prefix, lead string, depth int) {
	if w.seen[s.SpanID] {
		return
	}
	w.seen[s.SpanID] = true
	w.lines = append(w.lines, treeLine{s, depth, prefix})
	w.below(s.SpanID, lead, depth+1)
}

// traceTimes gives when the first span started and how long until the last one ended.
func traceTimes(spans []api.Span) (start time.Time, total time.Duration) {
	var end time.Time
	for i, s := range spans {
		over := s.Start.Add(time.Duration(s.DurationMs * float64(time.Millisecond)))
		if i == 0 || s.Start.Before(start) {
			start = s.Start
		}
		if i == 0 || over.After(end) {
			end = over
		}
	}
	return start, end.Sub(start)
}

// traceTree draws the tree: duration, name and service on one line, what matters below it.
func (s style) traceTree(t api.Trace, all bool) string {
	start, total := traceTimes(t.Spans)
	lines := arrange(t.Spans)
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %d spans  %s\n\n", s.bold("trace "+t.TraceID), showMs(float64(total)/float64(time.Millisecond)),
		len(t.Spans), s.paint(markQuiet, start.Local().Format("2006-01-02 15:04:05.000")))
	width := 0
	for i := range lines {
		lines[i].prefix = s.lead(lines[i].prefix)
		width = max(width, utf8.RuneCountInString(lines[i].title()))
	}
	for _, l := range lines {
		s.spanLine(&b, l, width, start, total)
		for _, about := range aboutSpan(l.span, all) {
			indent := strings.Repeat(" ", 9) + s.continued(l.prefix)
			b.WriteString(indent + s.paint(about.mark, s.cut(s.icon(about.mark)+about.plain, max(30, s.width()-utf8.RuneCountInString(indent)))) + "\n")
		}
	}
	return b.String()
}

// lead draws the branches with what the terminal can show.
func (s style) lead(prefix string) string {
	if s.unicode {
		return prefix
	}
	return strings.NewReplacer("├─ ", "|- ", "└─ ", "`- ", "│  ", "|  ").Replace(prefix)
}

// continued is the lead of the lines below a span.
func (s style) continued(prefix string) string {
	return strings.NewReplacer("├─ ", "│  ", "└─ ", "   ", "|- ", "|  ", "`- ", "   ").Replace(prefix) + "  "
}

func (l treeLine) title() string { return l.prefix + l.span.Name + "  " + l.span.Service }

const barWidth = 20

func (s style) spanLine(b *strings.Builder, l treeLine, width int, start time.Time, total time.Duration) {
	took := showMs(l.span.DurationMs)
	fmt.Fprintf(b, "%s%s  ", strings.Repeat(" ", max(0, 7-utf8.RuneCountInString(took))), took)
	name, service := l.span.Name, s.paint(markQuiet, l.span.Service)
	if failed(l.span) {
		name = s.marked(markBad, name)
	}
	b.WriteString(l.prefix + name + "  " + service)
	if bar := s.bar(l.span, start, total); s.terminal && bar != "" && 9+width+4+barWidth <= s.width() {
		gap := width - utf8.RuneCountInString(l.title()) + 4
		if failed(l.span) {
			gap -= 2 // the icon
		}
		b.WriteString(strings.Repeat(" ", max(1, gap)) + s.paint(markQuiet, bar))
	}
	b.WriteByte('\n')
}

// bar shows when the span ran within the trace.
func (s style) bar(span api.Span, start time.Time, total time.Duration) string {
	if total <= 0 {
		return ""
	}
	at := func(d time.Duration) int {
		return min(barWidth, max(0, int(float64(d)/float64(total)*barWidth+0.5)))
	}
	from := at(span.Start.Sub(start))
	to := at(span.Start.Sub(start) + time.Duration(span.DurationMs*float64(time.Millisecond)))
	from = min(from, barWidth-1)
	to = max(to, from+1)
	return strings.Repeat(s.choose("·", "."), from) + strings.Repeat(s.choose("━", "="), to-from) + strings.Repeat(s.choose("·", "."), barWidth-to)
}

func failed(s api.Span) bool { return strings.EqualFold(s.Status, "error") }

// aboutSpan says what matters of a span: its error, the flags it saw, its attributes, its events.
func aboutSpan(span api.Span, all bool) []cell {
	var about []cell
	if failed(span) && span.StatusMessage != "" {
		about = append(about, marked(markBad, span.StatusMessage))
	}
	var plain []string
	for _, key := range slices.Sorted(maps.Keys(span.Attributes)) {
		value := showAttribute(span.Attributes[key])
		if flag, ok := strings.CutPrefix(key, "seatrial.flag."); ok {
			about = append(about, marked(markNone, "flag "+flag+" = "+value))
		} else if all || interesting(key) {
			plain = append(plain, key+"="+value)
		}
	}
	if len(plain) > 0 {
		about = append(about, marked(markQuiet, strings.Join(plain, "  ")))
	}
	for _, e := range span.Events {
		if c, ok := aboutEvent(span, e, all); ok {
			about = append(about, c)
		}
	}
	return about
}

// aboutEvent shows a flag evaluation that no attribute tells of, an exception, or, if all are
// wanted, any event.
func aboutEvent(span api.Span, e api.Event, all bool) (cell, bool) {
	value := func(key string) string { return showAttribute(e.Attributes[key]) }
	switch {
	case strings.HasPrefix(e.Name, "feature_flag"):
		key := value("feature_flag.key")
		if _, told := span.Attributes["seatrial.flag."+key]; told && !all {
			return cell{}, false
		}
		variant := orElse(value("feature_flag.result.variant"), value("feature_flag.variant"))
		return text("flag %s = %s", key, orElse(variant, value("feature_flag.result.value"))), true
	case e.Name == "exception":
		message := value("exception.message")
		if message == span.StatusMessage && failed(span) && !all {
			return cell{}, false
		}
		return marked(markBad, strings.TrimPrefix(value("exception.type")+": "+message, ": ")), true
	case all || strings.HasPrefix(e.Name, "seatrial.") || strings.HasPrefix(e.Name, "fault"):
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(e.Attributes)) {
			parts = append(parts, key+"="+value(key))
		}
		return text("%s", strings.TrimSpace(e.Name+"  "+strings.Join(parts, "  "))), true
	}
	return cell{}, false
}

// dull are attributes that say how the software is built, not what happened.
var dull = []string{"telemetry.", "otel.", "process.", "host.", "os.", "thread.", "code.", "net.sock", "network.protocol", "network.peer", "network.transport",
	"user_agent.", "server.port", "client.", "url.scheme", "http.scheme", "http.flavor", "rpc.system", "service.instance", "feature_flag."}

func interesting(key string) bool {
	return !slices.ContainsFunc(dull, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

func showAttribute(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}
