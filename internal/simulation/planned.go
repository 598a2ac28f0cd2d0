package simulation

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// The table of whole trials: the default plan, as it is without any setting.
const (
	planTableName = "plan"
	planInterval  = time.Duration(trial.DefaultInterval)
	planMinutes   = 240
)

// planned is a trial under way.
type planned struct {
	spec  trial.Spec
	state trial.State
}

func newPlanned() *planned {
	spec := trial.Normalize(trial.Spec{Name: "simulated", Flag: "simulated", Treatment: "on", Control: "off"})
	return &planned{spec: spec, state: trial.Start(spec, 1, time.Unix(0, 0).UTC())}
}

// over reports whether nothing will be decided any more; the watch after a promotion is left out.
func (p *planned) over() bool { return p.state.Ended() || !p.state.PromotedAt.IsZero() }

func (p *planned) rolledBack() bool { return p.state.Result == trial.ResultRolledBack }

func planTable() Table {
	healthy := constant(baseErrors)
	t := Table{Name: planTableName, Minutes: planMinutes, Reps: 400,
		Title: "Whole trials at the default plan (1% 5 min, 5% 10 min, 25% 15 min, 50% until safe) with errors and latency, 6000 requests a minute, each of another user"}
	t.columns = []column{
		plannedColumn("A/A 0.5%", healthy, healthy, healthyLatencies),
		plannedColumn("A/A 2%", constant(0.02), constant(0.02), healthyLatencies),
		plannedColumn("A/A incident", incident(baseErrors, 0.02), incident(baseErrors, 0.02), healthyLatencies),
		plannedColumn("0.7%", constant(0.007), healthy, healthyLatencies),
		plannedColumn("1%", constant(0.01), healthy, healthyLatencies),
		plannedColumn("2%", constant(0.02), healthy, healthyLatencies),
		plannedColumn("5%", constant(0.05), healthy, healthyLatencies),
		plannedColumn("tail 1.2x", healthy, healthy, slowTail),
		plannedColumn("all 1.2x", healthy, healthy, allSlower),
	}
	t.rows = []row{
		plannedRow("S-back", "rolled back", (*planned).rolledBack),
		plannedRow("S-held", "held at least once", func(p *planned) bool { return p.state.Phase == trial.PhaseHolding }),
		plannedRow("S-promoted", "promoted", func(p *planned) bool { return !p.state.PromotedAt.IsZero() }),
	}
	return t
}

func plannedRow(key, name string, happened func(*planned) bool) row {
	return row{key: key, name: name, start: func() rule {
		return func(rep *repetition, _ *observation) bool { return happened(rep.planned) }
	}}
}

// plannedColumn draws a trial's intervals under the share that it has come to, and lets it decide.
func plannedColumn(name string, treatment, control function, treated func() *latencies) column {
	return column{name, func(*rand.Rand) world {
		return func(rep *repetition) (o observation) {
			if rep.planned == nil {
				rep.planned = newPlanned()
			}
			p := rep.planned
			if p.over() {
				return o
			}
			iv := outcome.Interval{Seq: p.state.Seq + 1, Step: p.state.Step, From: rep.at().Add(-planInterval), To: rep.at()}
			share := float64(p.spec.Steps[p.state.Step].Share) / flag.TotalWeight
			requests := uint64(requestsMinute * planInterval / time.Minute)
			n := binomial(rep.r, requests, share)
			m := binomial(rep.r, requests-n, min(share/(1-share), 1))
			iv.Treatment = arm(rep.r, n, treatment(rep.minute()), treated())
			iv.Control = arm(rep.r, m, control(rep.minute()), healthyLatencies())
			p.state, _ = trial.Next(p.spec, p.state, trial.IntervalClosed{Interval: iv})
			return o
		}
	}}
}

// arm draws the outcomes of n requests, each of a user who was not there before.
func arm(r *rand.Rand, n uint64, errors float64, l *latencies) outcome.Arm {
	bad := binomial(r, n, errors)
	t := l.draw(r, n)
	return outcome.Arm{Requests: n, Bad: bad, NewUnits: n, AtRiskUnits: n, BadUnits: bad, Latency: t.histogram()}
}

// histogram puts each bucket's values into the fine bucket at its middle. Whoever counts above an
// edge then counts whole buckets.
func (t *timings) histogram() outcome.Histogram {
	var h outcome.Histogram
	for k, c := range t.buckets {
		if c > 0 {
			middle := math.Log2(edge(k)) - 0.5/bucketsOctave
			fine := int32(math.Ceil(middle*(1<<outcome.Scale))) - 1
			if h.Counts == nil {
				h.Offset = fine
			}
			h.Counts = append(h.Counts, make([]uint64, int(fine-h.Offset)-len(h.Counts)+1)...)
			h.Counts[fine-h.Offset] = c
		}
	}
	h.Sum = t.sum
	return h
}
