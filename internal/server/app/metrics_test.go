package app

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// families is what a strict reader finds in an exposition.
type families struct {
	kind   map[string]string
	values map[string]float64 // by name with labels
}

var (
	nameRule   = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	helpRule   = regexp.MustCompile(`^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*[.])$`)
	typeRule   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)$`)
	sampleRule = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*")*\})? (\S+)$`)
)

// parse reads the text format as its specification has it, and more strictly: each family has
// HELP, then TYPE, then its samples, is there once, and a counter ends in _total.
func parse(t *testing.T, text string) families {
	t.Helper()
	f := families{map[string]string{}, map[string]float64{}}
	if !strings.HasSuffix(text, "\n") {
		t.Fatal("the last line has no end")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		help := helpRule.FindStringSubmatch(lines[i])
		if help == nil || i+2 >= len(lines) {
			t.Fatalf("line %d: want HELP, then TYPE, then samples: %q", i+1, lines[i])
		}
		kind := typeRule.FindStringSubmatch(lines[i+1])
		if kind == nil || kind[1] != help[1] {
			t.Fatalf("line %d: want the TYPE of %s: %q", i+2, help[1], lines[i+1])
		}
		name := kind[1]
		if f.kind[name] != "" || !nameRule.MatchString(name) || (kind[2] == counter) != strings.HasSuffix(name, "_total") {
			t.Fatalf("line %d: family %s of kind %s: there twice, or not well named", i+2, name, kind[2])
		}
		f.kind[name] = kind[2]
		samples := 0
		for i += 2; i < len(lines) && !strings.HasPrefix(lines[i], "#"); i++ {
			f.sample(t, name, kind[2], lines[i])
			samples++
		}
		if samples == 0 {
			t.Fatalf("family %s has no sample", name)
		}
	}
	return f
}

func (f families) sample(t *testing.T, name, kind, line string) {
	t.Helper()
	m := sampleRule.FindStringSubmatch(line)
	if m == nil || m[1] != name {
		t.Fatalf("no sample of %s: %q", name, line)
	}
	v, err := strconv.ParseFloat(m[3], 64)
	if err != nil || kind == counter && v < 0 {
		t.Fatalf("value of %q: %v", line, err)
	}
	if _, twice := f.values[m[1]+m[2]]; twice {
		t.Fatalf("%s is there twice", m[1]+m[2])
	}
	f.values[m[1]+m[2]] = v
}

func TestMetricsAreExact(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	c := connect(t, s, adminToken)
	c.want(404, "GET", "/nothing", "")
	first := parse(t, c.want(200, "GET", "/metrics", ""))
	second := parse(t, c.want(200, "GET", "/metrics", ""))
	for name, kind := range first.kind {
		if second.kind[name] != kind {
			t.Errorf("%s is of kind %s, then %s", name, kind, second.kind[name])
		}
	}
	for name, v := range first.values {
		family, _, _ := strings.Cut(name, "{")
		if first.kind[family] == counter && second.values[name] < v {
			t.Errorf("counter %s went from %v to %v", name, v, second.values[name])
		}
	}
	for name, want := range map[string]float64{
		`seatrial_revision{environment="default"}`: 1, `seatrial_epoch{environment="default"}`: 1, `seatrial_trials_active{environment="default"}`: 0, `seatrial_http_requests_in_flight{environment="default"}`: 1,
		`seatrial_http_requests_total{environment="default",class="4xx"}`: 1, `seatrial_http_requests_total{environment="default",class="2xx"}`: 1,
	} {
		if got, ok := second.values[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if len(second.kind) < 30 {
		t.Errorf("only %d families", len(second.kind))
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	var e exposition
	e.family("a", gauge, "Back\\slash\nline.", []sample{{[]string{"x", "q\"b\\n\n", "y", "z"}, 0.5}})
	want := "# HELP a Back\\\\slash\\nline.\n# TYPE a gauge\na{x=\"q\\\"b\\\\n\\n\",y=\"z\"} 0.5\n"
	if e.String() != want {
		t.Fatalf("got %q, want %q", e.String(), want)
	}
	parse(t, e.String())
}
