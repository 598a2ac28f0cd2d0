package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// transport answers requests in place of a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// failer is what tests of all kinds have.
type failer interface {
	Errorf(string, ...any)
	Fatal(...any)
}

// source is one whose queries answer gives, at noon.
func source(t failer, cfg Config, answer func(query url.Values) (int, string)) *Source {
	cfg.URL = "http://prometheus:9090"
	if cfg.Align == 0 {
		cfg.Align = time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	cfg.Transport = transport(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil || r.URL.Path != "/api/v1/query" || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		status, text := answer(form)
		return reply(status, text), nil
	})
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ago is a sample so many seconds before noon.
type ago struct {
	seconds float64
	value   any
}

// counter writes a series as Prometheus does.
func counter(labels string, samples ...ago) string {
	var values []string
	for _, s := range samples {
		values = append(values, fmt.Sprintf(`[%.3f,"%v"]`, float64(noon.Unix())-s.seconds, s.value))
	}
	return fmt.Sprintf(`{"metric":{"__name__":"requests_total","job":"shop",%s},"values":[%s]}`, labels, strings.Join(values, ","))
}

func matrix(series ...string) string {
	return `{"status":"success","data":{"resultType":"matrix","result":[` + strings.Join(series, ",") + `]}}`
}

// selectorIn gives the selector of a query.
func selectorIn(query url.Values) string {
	text, _, _ := strings.Cut(query.Get("query"), "\n")
	return text
}

func errorsOf(name string) trial.Guardrail {
	return trial.Guardrail{Name: name, Metric: trial.MetricErrors, Prometheus: &trial.PromSource{
		Treatment: trial.PromCounters{Total: "t_total", Bad: "t_bad"}, Control: trial.PromCounters{Total: "c_total", Bad: "c_bad"},
	}}
}

var plan = trial.Spec{Name: "checkout", Interval: trial.Duration(15 * time.Second), Guardrails: []trial.Guardrail{errorsOf("errors"),
	{Name: "own", Metric: trial.MetricErrors}}}

// from is where the pulls of the tests begin: 90 s before noon. They end 30 s before it.
var from = noon.Add(-90 * time.Second)

func TestWhatIsCounted(t *testing.T) {
	const a, b, failed = `"instance":"a"`, `"instance":"b"`, `"instance":"a","code":"500"`
	steady := counter(a, ago{95, 100}, ago{80, 110}, ago{65, 125}, ago{50, 125}, ago{35, 130})
	for name, test := range map[string]struct {
		total, bad string
		want       *outcome.Measure
	}{
		"from the last sample before":           {steady, "", &outcome.Measure{Of: 30}},
		"the sample at from is before":          {counter(a, ago{90, 100}, ago{80, 103}), "", &outcome.Measure{Of: 3}},
		"the sample at the end is in":           {counter(a, ago{91, 100}, ago{30, 103}), "", &outcome.Measure{Of: 3}},
		"what is after the end is not":          {counter(a, ago{91, 100}, ago{80, 103}, ago{29.999, 200}), "", &outcome.Measure{Of: 3}},
		"reset":                                 {counter(a, ago{95, 100}, ago{80, 110}, ago{65, 4}, ago{50, 9}), "", &outcome.Measure{Of: 19}},
		"reset to 0":                            {counter(a, ago{95, 100}, ago{80, 0}, ago{65, 4}), "", &outcome.Measure{Of: 4}},
		"a gap within the lookback":             {counter(a, ago{380, 100}, ago{35, 170}), "", &outcome.Measure{Of: 70}},
		"a gap beyond the lookback":             {counter(a, ago{400, 100}, ago{50, 170}, ago{35, 171}), "", &outcome.Measure{Of: 1}},
		"first seen, with its target":           {counter(a, ago{65, 1000}, ago{50, 1003}), "", &outcome.Measure{Of: 3}},
		"first seen, after its target":          {steady, counter(failed, ago{50, 2}, ago{35, 3}), &outcome.Measure{Of: 30, Bad: 3}},
		"first seen, with another target":       {steady, counter(`"instance":"b","code":"500"`, ago{50, 2}, ago{35, 3}), &outcome.Measure{Of: 30, Bad: 1}},
		"first seen, of no target":              {steady, counter(`"code":"500"`, ago{50, 2}, ago{35, 3}), &outcome.Measure{Of: 30, Bad: 1}},
		"two targets":                           {steady + "," + counter(b, ago{95, 7}, ago{80, 8}), "", &outcome.Measure{Of: 31}},
		"one target is gone":                    {steady + "," + counter(b, ago{95, 7}), "", &outcome.Measure{Of: 30}},
		"nothing happened":                      {counter(a, ago{95, 7}, ago{80, 7}), "", &outcome.Measure{}},
		"no sample in the window":               {counter(a, ago{95, 7}), "", nil},
		"no series":                             {"", "", nil},
		"no total":                              {"", counter(failed, ago{95, 1}, ago{80, 2}), nil},
		"more bad than total":                   {steady, counter(failed, ago{95, 1}, ago{80, 40}), nil},
		"not a number":                          {counter(a, ago{95, 7}, ago{80, "NaN"}), "", nil},
		"infinite":                              {counter(a, ago{95, 7}, ago{80, "+Inf"}), "", nil},
		"negative":                              {counter(a, ago{95, 7}, ago{80, -1}), "", nil},
		"seconds":                               {counter(a, ago{95, 7}, ago{80, 8.5}), "", nil},
		"more than can be counted":              {counter(a, ago{95, 7}, ago{80, 1e16}), "", nil},
		"more than can be counted by resets":    {counter(a, ago{95, 7}, ago{80, 9e15}, ago{70, 8e15}), "", nil},
		"bad is not a number":                   {steady, counter(failed, ago{95, 1}, ago{80, "NaN"}), nil},
		"what is after the end may be anything": {counter(a, ago{95, 7}, ago{80, 8}, ago{10, "NaN"}), "", &outcome.Measure{Of: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := source(t, Config{}, func(q url.Values) (int, string) {
				switch selectorIn(q) {
				case "t_total":
					return 200, matrix(test.total)
				case "t_bad":
					return 200, matrix(test.bad)
				}
				return 200, matrix(counter(`"instance":"control"`, ago{95, 1}, ago{80, 3}))
			})
			pull, err := s.Pull(t.Context(), plan, from, noon)
			if err != nil {
				t.Fatal(err)
			}
			if !pull.From.Equal(from) || !pull.To.Equal(noon.Add(-30*time.Second)) {
				t.Errorf("pulled from %v to %v", pull.From, pull.To)
			}
			var want []outcome.Measure
			if test.want != nil {
				test.want.Name = "errors"
				want = []outcome.Measure{*test.want}
			}
			if !reflect.DeepEqual(pull.Treatment, want) {
				t.Errorf("treatment %+v, want %+v", pull.Treatment, want)
			}
		})
	}
}

func TestGood(t *testing.T) {
	spec := trial.Spec{Guardrails: []trial.Guardrail{{Name: "latency", Prometheus: &trial.PromSource{
		Treatment: trial.PromCounters{Total: "t", Good: "t_fast"}, Control: trial.PromCounters{Total: "c", Good: "c_fast"}}}}}
	for fast, want := range map[int]int{0: 10, 7: 3, 10: 0, 11: -1} {
		s := source(t, Config{}, func(q url.Values) (int, string) {
			n := 10
			if strings.HasSuffix(selectorIn(q), "_fast") {
				n = fast
			}
			return 200, matrix(counter(`"instance":"a"`, ago{95, 100}, ago{60, 100 + n}))
		})
		pull, err := s.Pull(t.Context(), spec, from, noon)
		var list []outcome.Measure
		if want >= 0 {
			list = []outcome.Measure{{Name: "latency", Of: 10, Bad: uint64(want)}}
		}
		if err != nil || !reflect.DeepEqual(pull.Treatment, list) || !reflect.DeepEqual(pull.Control, list) {
			t.Errorf("%d of 10 good: %+v, %v, want %d bad", fast, pull, err, want)
		}
	}
}

// What Prometheus fails to say is an error with its place, never a count.
func TestFailures(t *testing.T) {
	good := matrix(counter(`"instance":"a"`, ago{95, 1}, ago{80, 3}))
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"refused":             {400, `{"status":"error","errorType":"bad_data","error":"parse error: unexpected \"[\""}`, "bad_data: parse error"},
		"execution":           {422, `{"status":"error","errorType":"execution","error":"too many samples"}`, "too many samples"},
		"overloaded":          {503, "no backend", "503"},
		"gateway":             {502, "<html>", "502"},
		"not allowed":         {401, "Unauthorized", "401"},
		"moved":               {302, "", "302"},
		"success with 500":    {500, good, "500"},
		"error with 200":      {200, `{"status":"error","errorType":"internal","error":"x"}`, "internal: x"},
		"page":                {200, "<html>log in</html>", "check the URL"},
		"empty":               {200, "", "check the URL"},
		"torn":                {200, good[:len(good)-5], "check the URL"},
		"other JSON":          {200, `{"status":"ok"}`, "check the URL"},
		"vector":              {200, `{"status":"success","data":{"resultType":"vector","result":[]}}`, "write a selector"},
		"warnings":            {200, strings.Replace(good, `"data"`, `"warnings":["store unreachable"],"data"`, 1), "incomplete: store unreachable"},
		"native histogram":    {200, matrix(`{"metric":{},"histograms":[[1,{}]]}`), "native histogram"},
		"no result":           {200, `{"status":"success","data":{"resultType":"matrix"}}`, "cannot be read"},
		"a sample of nothing": {200, matrix(`{"metric":{},"values":[null]}`), "time of a sample"},
		"a sample of text":    {200, matrix(`{"metric":{},"values":[[1,"x"]]}`), "value of a sample"},
		"out of order":        {200, matrix(counter(`"instance":"a"`, ago{80, 3}, ago{95, 1})), "order of time"},
		"too large":           {200, matrix(counter(`"x":"` + strings.Repeat("y", 70_000) + `"`)), "larger than 65536"},
	} {
		t.Run(name, func(t *testing.T) {
			s := source(t, Config{MaxAnswer: 64 << 10}, func(q url.Values) (int, string) {
				if selectorIn(q) == "c_bad" {
					return test.status, test.body
				}
				return 200, good
			})
			pull, err := s.Pull(t.Context(), plan, from, noon)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "guardrail errors: control bad") {
				t.Errorf("error %v, want the place and %q", err, test.want)
			}
			if !reflect.DeepEqual(pull, outcome.Pull{}) {
				t.Errorf("there is a pull with it: %+v", pull)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{URL: "http://p", Align: time.Second, Transport: transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = s.Pull(t.Context(), plan, began.Add(-time.Minute), began)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("%v after %s", err, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err = s.Pull(ctx, plan, began.Add(-time.Minute), began); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// Pulls end before now, are not too long, and ask for nothing when there is no time to ask for.
func TestTimeOfPulls(t *testing.T) {
	for name, test := range map[string]struct {
		from, until time.Duration // before noon
		interval    time.Duration
		want        time.Duration
		span        string
	}{
		"until the lag":       {90 * time.Second, 0, 0, 30 * time.Second, "[360000ms]"},
		"until before it":     {90 * time.Second, 45 * time.Second, 0, 45 * time.Second, "[345000ms]"},
		"no time":             {20 * time.Second, 0, 0, 20 * time.Second, ""},
		"reversed":            {60 * time.Second, 70 * time.Second, 0, 60 * time.Second, ""},
		"long":                {time.Hour, 0, 0, 50 * time.Minute, "[900000ms]"},
		"long, long interval": {3 * time.Hour, 0, 30 * time.Minute, 2 * time.Hour, "[3900000ms]"},
		"parts of a milli":    {90*time.Second + 1500, 45*time.Second - 999, 0, 45 * time.Second, "[345000ms]"},
	} {
		asked := ""
		s := source(t, Config{}, func(q url.Values) (int, string) {
			_, asked, _ = strings.Cut(q.Get("query"), "\n")
			return 200, matrix()
		})
		spec := trial.Spec{Interval: trial.Duration(test.interval), Guardrails: []trial.Guardrail{{Name: "throughput", Metric: trial.MetricThroughput,
			Prometheus: &trial.PromSource{Treatment: trial.PromCounters{Total: "same"}, Control: trial.PromCounters{Total: "same"}}}}}
		pull, err := s.Pull(t.Context(), spec, noon.Add(-test.from), noon.Add(-test.until))
		if err != nil || !pull.From.Equal(noon.Add(-test.from.Truncate(time.Millisecond))) || !pull.To.Equal(noon.Add(-test.want)) || asked != test.span {
			t.Errorf("%s: %v to %v, asked %s, %v; want to %v, %s", name, pull.From, pull.To, asked, err, noon.Add(-test.want), test.span)
		}
	}
}

// One guardrail whose numbers cannot be does not take the others with it, and the log says why,
// once for as long as it stays so.
func TestReasons(t *testing.T) {
	bad, text := true, &bytes.Buffer{}
	s := source(t, Config{Logger: slog.New(slog.NewTextHandler(text, nil))}, func(q url.Values) (int, string) {
		if selectorIn(q) == "c_total" && bad {
			return 200, matrix(counter(`"instance":"a"`, ago{95, 1}, ago{80, 3.5}))
		}
		return 200, matrix(counter(`"instance":"a"`, ago{95, 1}, ago{80, 3}))
	})
	spec := plan
	spec.Guardrails = append(spec.Guardrails, trial.Guardrail{Name: "arrivals", Prometheus: &trial.PromSource{
		Treatment: trial.PromCounters{Total: "t_total"}, Control: trial.PromCounters{Total: "t_total"}}})
	for range 3 {
		pull, err := s.Pull(t.Context(), spec, from, noon)
		if err != nil || len(pull.Treatment) != 1 || len(pull.Control) != 1 || pull.Control[0].Name != "arrivals" {
			t.Fatalf("%+v, %v", pull, err)
		}
	}
	if log := text.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "control: requests_total: the value 3.5 is not a count") {
		t.Errorf("log: %s", log)
	}
	bad = false
	if pull, err := s.Pull(t.Context(), spec, from, noon); err != nil || len(pull.Treatment) != 2 || pull.Treatment[0].Name != "arrivals" {
		t.Errorf("%+v, %v", pull, err)
	}
	if log := text.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "in order again") {
		t.Errorf("log: %s", log)
	}
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	got := ""
	ask := func(cfg Config) error {
		cfg.URL, cfg.Align = "https://example.com/prom/", time.Second
		cfg.Transport = transport(func(r *http.Request) (*http.Response, error) {
			got = r.URL.Path + " " + r.Header.Get("Authorization")
			return reply(200, matrix()), nil
		})
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		one := trial.Spec{Guardrails: []trial.Guardrail{{Name: "errors", Prometheus: &trial.PromSource{Treatment: trial.PromCounters{Total: "t"}}}}}
		_, err = s.Pull(t.Context(), one, noon, noon.Add(time.Second))
		return err
	}
	bearer := Config{BearerTokenFile: file}
	if err := ask(bearer); !errors.Is(err, os.ErrNotExist) || got != "" {
		t.Errorf("without the file: %v, asked %q", err, got)
	}
	for _, token := range []string{"one", "two"} { // it is exchanged while the source runs
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ask(bearer); err != nil || got != "/prom/api/v1/query Bearer "+token {
			t.Errorf("%v, asked %q", err, got)
		}
	}
	if err := ask(Config{BasicUser: "u", BasicPasswordFile: file}); err != nil || got != "/prom/api/v1/query Basic dTp0d28=" {
		t.Errorf("%v, asked %q", err, got)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {URL: "prometheus:9090"}, {URL: "ftp://p"}, {URL: "http://u:p@p"}, {URL: "http://p?x=1"}, {URL: "http://%"},
		{URL: "http://p", BearerTokenFile: "f", BasicUser: "u", BasicPasswordFile: "f"}, {URL: "http://p", BasicUser: "u"}, {URL: "http://p", Lag: -1}} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), "prometheus: ") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestCheck(t *testing.T) {
	answers := map[string]string{"t_total": matrix(counter(`"instance":"a"`, ago{40, 1})), "t_bad": matrix(),
		"c_total": matrix(counter(`"instance":"a"`, ago{40, 1})), "c_bad": matrix(counter(`"instance":"a"`, ago{40, 1}))}
	status := 200
	s := source(t, Config{}, func(q url.Values) (int, string) { return status, answers[selectorIn(q)] })
	warnings, err := s.Check(t.Context(), plan)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], `guardrail errors: treatment bad: "t_bad" selects nothing of the last 5m`) {
		t.Errorf("%q, %v", warnings, err)
	}
	answers["c_bad"] = `{"status":"error","errorType":"bad_data","error":"no"}`
	if _, err = s.Check(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "control bad") {
		t.Errorf("a selector that is refused: %v", err)
	}
	status, answers["t_total"] = 503, "away"
	if warnings, err = s.Check(t.Context(), plan); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "503") {
		t.Errorf("away: %q, %v", warnings, err)
	}
}

// Whatever the answer: an error, or series that can be added up.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(matrix(counter(`"instance":"a"`, ago{95, 1}, ago{80, "NaN"}))), 200)
	f.Add([]byte(`{"status":"error","errorType":"bad_data","error":"x"}`), 400)
	f.Add([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[-1e11,"1e300"],[1e11,"5"]]}]}}`), 200)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		list, err := decode(body, status)
		if err != nil {
			if list != nil || len(err.Error()) > 2000 {
				t.Errorf("%d series with %d bytes of error", len(list), len(err.Error()))
			}
			return
		}
		if !json.Valid(body) || status != 200 {
			t.Errorf("status %d with %q gives series", status, body)
		}
		w := newWindow(noon, noon.Add(time.Minute), time.Minute, map[string][]series{"s": list})
		if n, _, err := w.increase("s"); err == nil && n > maxCount {
			t.Errorf("grew by %d", n)
		}
	})
}
