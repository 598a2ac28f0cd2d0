package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/wrap"
)

// timeline tells what happens: for people one line for each change under a status line that
// moves, for programs one JSON document a line. It is safe for concurrent use.
type timeline struct {
	screen Screen
	json   bool
	start  time.Time
	call   string // how this program is called

	mu     sync.Mutex
	out    io.Writer
	name   string // of the present scene
	status string // what stands on the status line
}

func newTimeline(cfg Config) *timeline {
	return &timeline{screen: cfg.Screen, json: cfg.JSON, call: cfg.Command, out: cfg.Out, start: time.Now()}
}

// event is one change.
type event struct {
	Type    string  `json:"type"`    // event
	Seconds float64 `json:"seconds"` // since the demo was started
	Scene   string  `json:"scene,omitempty"`
	Change  change  `json:"change"`
	Trial   string  `json:"trial,omitempty"`
	Step    int     `json:"step,omitempty"` // of the trial, from 1
	Text    string  `json:"text"`
}

// change names what kind of change an event is: one of these, or a phase or result of a trial.
type change string

const (
	changeStart    change = "start"
	changeReady    change = "ready"
	changeNote     change = "note"
	changeScene    change = "scene"
	changeStep     change = "step"
	changeIncident change = "incident"
	changeCalm     change = "recovered"
	changeTraces   change = "traces"
)

var marks = map[change]Mark{
	changeStart: MarkBusy, changeReady: MarkGood, changeStep: MarkBusy,
	changeIncident: MarkWarn, changeCalm: MarkGood,
	"steady": MarkBusy, "running": MarkBusy, "watching": MarkBusy, "holding": MarkWarn, "paused": MarkWarn,
	"promoted": MarkGood, "survived": MarkGood, "rolled_back": MarkBad, "weakness_found": MarkBad,
	"inconclusive": MarkWarn, "aborted": MarkWarn,
}

// add tells one event.
func (t *timeline) add(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.Type, e.Scene, e.Seconds = "event", t.name, t.seconds()
	if t.json {
		t.encode(e)
		return
	}
	t.line(e)
}

func (t *timeline) seconds() float64 { return rounded(time.Since(t.start)) }

// encode writes v as a line of JSON. An output that is gone cannot be told of.
func (t *timeline) encode(v any) {
	encoder := json.NewEncoder(t.out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v)
}

// wordColumns is how wide the word of a change is shown: "weakness found" with its icon.
const wordColumns = 16

// line writes "  12.3s  ~ step  Up to 5 %: …", broken on a terminal under its own start.
func (t *timeline) line(e event) {
	word := strings.ReplaceAll(string(e.Change), "_", " ")
	if e.Change == changeScene {
		word = "" // its heading stands above
	}
	mark := marks[e.Change]
	shown := "  " + word
	if icon := t.screen.Icon(mark); icon != "" {
		shown = icon + " " + word
	}
	pad := strings.Repeat(" ", max(wordColumns-utf8.RuneCountInString(shown), 0))
	clock := fmt.Sprintf("%6.1fs  ", e.Seconds)
	indent := len(clock) + wordColumns + 1
	text := wrap.Text(e.Text, t.screen.Width(), indent)
	t.write(t.screen.Paint(MarkQuiet, clock) + t.screen.Paint(mark, shown) + pad + " " + text + "\n")
}

// write puts text above the status line.
func (t *timeline) write(text string) {
	t.erase()
	_, _ = io.WriteString(t.out, text)
	t.draw()
}

// show changes the status line. Where nobody watches there is none.
func (t *timeline) show(status string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	width := t.screen.Width()
	status = cut(status, width-1)
	if t.json || width == 0 || status == t.status {
		return
	}
	t.erase()
	t.status = status
	t.draw()
}

func (t *timeline) erase() {
	if t.status != "" {
		_, _ = io.WriteString(t.out, "\r\x1b[2K")
	}
}

func (t *timeline) draw() {
	if t.status != "" {
		_, _ = io.WriteString(t.out, t.screen.Paint(MarkQuiet, t.status))
	}
}

func cut(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:max(n, 0)])
	}
	return text
}
