package prometheus

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// Whenever the pulls are asked for, and however the scrapes of the targets lie to each other:
// arms with the same traffic have the same counts in every pull, though each target is seen only
// every now and then.
func TestEveryTargetCountsAlikeInEveryPull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := rapid.SampledFrom([]int{5, 10, 15, 20, 30, 60}).Draw(t, "scrape interval")
		phases := rapid.SliceOfN(rapid.Float64Range(0, float64(every)), 4, 4).Draw(t, "phases")
		now := noon
		scrapes := func(instance string, phase float64) string {
			var list []ago
			for at := -3600; at <= 3600; at += every { // one request each second
				when := noon.Add(time.Duration((float64(at) + phase) * 1e9))
				if when.Before(now) && now.Sub(when) < 18*time.Minute {
					list = append(list, ago{-float64(at) - phase, at + 3600})
				}
			}
			return counter(`"instance":"`+instance+`"`, list...)
		}
		s := source(t, Config{Align: time.Minute, Now: func() time.Time { return now }}, func(q url.Values) (int, string) {
			if selectorIn(q) == "t" {
				return 200, matrix(scrapes("a", phases[0]), scrapes("b", phases[1]))
			}
			return 200, matrix(scrapes("c", phases[2]), scrapes("d", phases[3]))
		})
		spec := trial.Spec{Guardrails: []trial.Guardrail{{Name: "throughput", Metric: trial.MetricThroughput,
			Prometheus: &trial.PromSource{Treatment: trial.PromCounters{Total: "t"}, Control: trial.PromCounters{Total: "c"}}}}}
		begin := noon.Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "start")))
		end := begin.Add(10 * time.Minute)
		for now = begin; now.Before(end); now = now.Add(time.Duration(rapid.Int64Range(1e10, 2e11).Draw(t, "interval"))) {
			pull, err := s.Pull(t.Context(), spec, begin, now)
			if err != nil {
				t.Fatal(err)
			}
			minutes := pull.To.Sub(pull.From)
			if minutes == 0 {
				continue
			}
			want := []outcome.Measure{{Name: "throughput", Of: 2 * uint64(minutes/time.Second)}}
			if !slices.Equal(pull.Treatment, want) || !slices.Equal(pull.Control, want) {
				t.Fatalf("%s: treatment %+v, control %+v, want %+v", minutes, pull.Treatment, pull.Control, want)
			}
			begin = pull.To
		}
	})
}
