package prometheus

import (
	"fmt"
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// maxCount is where float64, in which Prometheus counts, stops to hold every integer.
const maxCount = 1 << 53

// sample is the value of a counter at a time, in Unix milliseconds.
type sample struct {
	ms    int64
	value float64
}

// series is one counter. Target is what was scraped for it, "" if that is not known.
type series struct {
	name, target string
	samples      []sample // in the order of time
}

// window is the time of a pull with all samples that were found for it.
type window struct {
	oldest, from, until int64 // samples count from after from to until; older ones down to after oldest
	answers             map[string][]series
	scraped             map[string]int64 // first scrape of each target
}

func newWindow(from, until time.Time, lookback time.Duration, answers map[string][]series) *window {
	w := &window{oldest: from.Add(-lookback).UnixMilli(), from: from.UnixMilli(), until: until.UnixMilli(), answers: answers, scraped: map[string]int64{}}
	for _, list := range answers {
		for i := range list {
			s := &list[i]
			for len(s.samples) > 0 && s.samples[0].ms <= w.oldest {
				s.samples = s.samples[1:]
			}
			if len(s.samples) == 0 || s.target == "" {
				continue
			}
			if first, known := w.scraped[s.target]; !known || s.samples[0].ms < first {
				w.scraped[s.target] = s.samples[0].ms
			}
		}
	}
	return w
}

// measures gives what the counters of a guardrail say of both arms; nil where nothing was sampled.
// The error tells why they cannot be used.
func (w *window) measures(g *trial.Guardrail) (treatment, control *outcome.Measure, err error) {
	if treatment, err = w.measure(g.Name, &g.Prometheus.Treatment); err != nil {
		return nil, nil, fmt.Errorf("treatment: %w", err)
	}
	if control, err = w.measure(g.Name, &g.Prometheus.Control); err != nil {
		return nil, nil, fmt.Errorf("control: %w", err)
	}
	return treatment, control, nil
}

func (w *window) measure(name string, c *trial.PromCounters) (*outcome.Measure, error) {
	of, sampled, err := w.increase(c.Total)
	if err != nil || !sampled {
		return nil, err
	}
	bad, _, err := w.increase(c.Bad)
	if err != nil {
		return nil, err
	}
	if c.Good != "" {
		good, _, err := w.increase(c.Good)
		if err != nil {
			return nil, err
		}
		if good > of {
			return nil, fmt.Errorf("good grew by %d and total by %d; good must select a part of what total selects", good, of)
		}
		bad = of - good
	}
	if bad > of {
		return nil, fmt.Errorf("bad grew by %d and total by %d; bad must select a part of what total selects", bad, of)
	}
	return &outcome.Measure{Name: name, Of: of, Bad: bad}, nil
}

// increase gives by how much all counters of a selector grew within the window, and whether any
// was sampled in it.
func (w *window) increase(selector string) (sum uint64, sampled bool, err error) {
	list := w.answers[selector]
	for i := range list {
		n, some, err := w.grew(&list[i])
		if err != nil {
			return 0, false, fmt.Errorf("%s: %w", list[i].name, err)
		}
		if sum += n; sum > maxCount {
			return 0, false, fmt.Errorf("%s grew by more than 2^53", selector)
		}
		sampled = sampled || some
	}
	return sum, sampled, nil
}

// grew gives by how much one counter grew. It goes on from the last sample before the window, if
// there is one within the lookback. A value smaller than the one before says that the counter began
// again from 0, as it does with its process.
//
// Without a sample before, it counts from 0 only if it is certain that it began there: its target
// was scraped before without it. That is how the first error of a process shows. Otherwise what
// it had when it was first seen may be old, and only what comes after is counted.
func (w *window) grew(s *series) (sum uint64, sampled bool, err error) {
	first, scraped := w.scraped[s.target]
	last, known := 0.0, false
	for _, at := range s.samples {
		if at.ms > w.until {
			break
		}
		if !(at.value >= 0 && at.value <= maxCount && at.value == math.Trunc(at.value)) {
			return 0, false, fmt.Errorf("the value %v is not a count: select counters of whole things, such as _total, _count or _bucket", at.value)
		}
		if at.ms > w.from {
			sampled = true
			switch {
			case known && at.value >= last:
				sum += uint64(at.value - last)
			case known, scraped && first < at.ms:
				sum += uint64(at.value)
			}
		}
		if last, known = at.value, true; sum > maxCount {
			return 0, false, fmt.Errorf("it grew by more than 2^53")
		}
	}
	return sum, sampled, nil
}
