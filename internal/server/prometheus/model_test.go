package prometheus

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// past is a sample in the model's Prometheus, which can be asked for from arrived on.
type past struct {
	at, arrived int64 // milliseconds since the model began
	value       uint64
}

// world is what happened, and what Prometheus has of it: one process that is scraped at about
// every 15 s, with a counter that is there from the first scrape on, and one that comes later.
type world struct {
	now    int64
	series [2][]past
	late   bool // some scrape arrived after its watermark
}

const modelLag, modelLookback = 30_000, 300_000

// drawWorld lets a process live: it counts, is scraped, is missed by scrapes for less than the
// lookback, and begins again from 0.
func drawWorld(t *rapid.T, late bool) *world {
	w := &world{}
	at, value, born := int64(0), [2]uint64{rapid.Uint64Range(0, 1000).Draw(t, "old"), 0}, false
	for range rapid.IntRange(2, 60).Draw(t, "scrapes") {
		at += rapid.OneOf(rapid.Int64Range(1_000, 20_000), rapid.Int64Range(1_000, modelLookback-1)).Draw(t, "pause")
		if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
			value = [2]uint64{}
		}
		for i := range value {
			value[i] += rapid.Uint64Range(0, 5).Draw(t, "events")
		}
		born = born || rapid.Bool().Draw(t, "born")
		arrived := at + rapid.Int64Range(0, modelLag).Draw(t, "takes")
		if late && rapid.IntRange(0, 5).Draw(t, "late") == 0 {
			arrived = at + rapid.Int64Range(modelLag, 4*modelLag).Draw(t, "how late")
			w.late = true
		}
		if n := len(w.series[0]); n > 0 { // the scrapes of a target arrive in their order
			arrived = max(arrived, w.series[0][n-1].arrived)
			w.late = w.late || arrived > at+modelLag
		}
		w.series[0] = append(w.series[0], past{at, arrived, value[0]})
		if born {
			w.series[1] = append(w.series[1], past{at, arrived, value[1]})
		} else {
			value[1] = 0 // what it had is not known to anybody
		}
	}
	return w
}

// answer is what Prometheus would say now.
func (w *world) answer(which int, until, span int64) string {
	var samples []string
	for _, s := range w.series[which] {
		if s.arrived <= w.now && s.at <= until && s.at >= until-span {
			samples = append(samples, fmt.Sprintf(`[%.3f,"%d"]`, float64(noon.UnixMilli()+s.at)/1000, s.value))
		}
	}
	if len(samples) == 0 {
		return matrix()
	}
	return matrix(fmt.Sprintf(`{"metric":{"instance":"a","code":"%d"},"values":[%s]}`, which, strings.Join(samples, ",")))
}

// recorded is by how much a counter grew after the time since, as anybody would count it who sees
// all samples at once, from 0 if it came after the first scrape.
func (w *world) recorded(which int, since int64) (sum uint64) {
	last, known := uint64(0), w.series[which][0].at > w.series[0][0].at
	for _, s := range w.series[which] {
		grew := s.value
		if known && s.value >= last {
			grew -= last
		}
		if known && s.at > since {
			sum += grew
		}
		last, known = s.value, true
	}
	return sum
}

// pullAll lets the time pass and pulls every now and then, from where the last pull ended.
func (w *world) pullAll(t *rapid.T) (got [2]uint64, since int64) {
	s := source(t, Config{Now: func() time.Time { return noon.Add(time.Duration(w.now) * time.Millisecond) }}, func(q url.Values) (int, string) {
		var at float64
		var span int64
		_, _ = fmt.Sscan(q.Get("time"), &at)
		_, after, _ := strings.Cut(q.Get("query"), "\n")
		_, _ = fmt.Sscanf(after, "[%dms]", &span)
		return 200, w.answer(map[string]int{"t_total": 0, "t_bad": 1}[selectorIn(q)], int64(at*1000+0.5)-noon.UnixMilli(), span)
	})
	spec := trial.Spec{Guardrails: []trial.Guardrail{
		{Name: "a", Prometheus: &trial.PromSource{Treatment: trial.PromCounters{Total: "t_total"}, Control: trial.PromCounters{Total: "t_bad"}}}}}
	since = rapid.Int64Range(0, w.series[0][0].at+60_000).Draw(t, "start")
	begin, end := noon.Add(time.Duration(since)*time.Millisecond), w.series[0][len(w.series[0])-1].at+6*modelLag
	for w.now = since; ; {
		pull, err := s.Pull(t.Context(), spec, begin, noon.Add(time.Duration(w.now)*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pull.Treatment {
			got[0] += m.Of
		}
		for _, m := range pull.Control {
			got[1] += m.Of
		}
		begin = pull.To
		if w.now > end && pull.To.Sub(noon).Milliseconds() >= end-2*modelLag {
			return got, since
		}
		w.now += rapid.OneOf(rapid.Int64Range(1, 30_000), rapid.Int64Range(1, 1_500_000)).Draw(t, "interval")
	}
}

// Pulls one after the other count what one look at everything counts, as long as scrapes come
// within the lag: through resets, gaps, births and pulls that have to catch up.
func TestPullsAddUpToWhatHappened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		got, since := w.pullAll(t)
		for which := range got {
			if len(w.series[which]) == 0 {
				continue
			}
			if want := w.recorded(which, since); got[which] != want {
				t.Fatalf("counter %d: pulled %d, grew by %d after %d: %+v", which, got[which], want, since, w.series)
			}
		}
	})
}

// Late scrapes can be lost; nothing is ever counted twice.
func TestLateScrapesCountAtMostOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		got, since := w.pullAll(t)
		for which := range got {
			if len(w.series[which]) == 0 {
				continue
			}
			if want := w.recorded(which, since); got[which] > want || got[which] < want && !w.late {
				t.Fatalf("counter %d: pulled %d, grew by %d after %d: %+v", which, got[which], want, since, w.series)
			}
		}
	})
}
