package simulation

import (
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/rules"
)

// alpha of every row that is valid at any time, unless its name tells another.
const alpha = 0.05

// The tolerances of Seatrial's default guardrail of errors, and its level of a roll-back.
const (
	relativeTolerance = 0.2
	absoluteTolerance = 0.001
	rollBackAlpha     = 0.01
)

func errorRows() []row {
	return []row{
		ruleRow("i", "fixed limits: 1-min window, errors < 1%, mean < 100 ms", rules.Founding, 0),
		ruleRow("i'", "fixed limits, 1-hour window", rules.FoundingHour, 0),
		ruleRow("ii", "z-test, pooled, repeated at one-sided 5%", rules.ZTest, 0),
		ruleRow("iii", "Argo: 5-min window, errors <= 1%, failureLimit 3", rules.Argo, 0),
		ruleRow("iii'", "Flagger: 1-min window, errors <= 1%, threshold 10", rules.Flagger, 0),
		ruleRow("iv", "Kayenta: Mann-Whitney 98%, tolerance .25, each 10 min", rules.Kayenta, 400),
		processRow("v-a", "relative rate, H0 ratio <= 1", func() process { return rate(evidence.NewHarmRate(1)) }),
		processRow("v-b", "relative rate, H0 ratio <= 1.2", func() process { return rate(evidence.NewHarmRate(1.2)) }),
		processRow("v-c", "Turner, H0 difference <= 0", func() process { return difference(evidence.NewHarmDifference(0)) }),
		processRow("v-d", "Turner, H0 difference <= 0.1 pp", func() process { return difference(evidence.NewHarmDifference(0.001)) }),
		{key: "v-e", name: "one arm against a limit of 1%", start: startOneSample},
		{key: "v-f", name: "asymptotic sequence, pooled difference > 0", start: startPooled},
		processRow("P1", "promote: ratio < 1.2 proven", func() process { return rate(evidence.NewNoWorseRate(1.2)) }),
		processRow("P2", "promote: ratio < 1.5 proven", func() process { return rate(evidence.NewNoWorseRate(1.5)) }),
		processRow("P3", "promote: difference < 0.5 pp proven", func() process { return difference(evidence.NewNoWorseDifference(0.005)) }),
		processRow("P4", "promote: ratio < 1.2 or difference < 0.1 pp proven", startEither),
		guardRow("S-hold", "Seatrial, alarm that holds: any harm", (*evidence.Guard).LogAnyHarm, alpha),
		guardRow("S-harm-5", "Seatrial, harm beyond 1.2x and +0.1 pp, level .05", (*evidence.Guard).LogHarm, alpha),
		guardRow("S-harm", "Seatrial, the same at its default level .01: roll-back", (*evidence.Guard).LogHarm, rollBackAlpha),
		guardRow("S-safe", "Seatrial, safe: within 1.2x or +0.1 pp", (*evidence.Guard).LogNoWorse, alpha),
	}
}

// extraRows are the rows of the smaller runs.
func extraRows(keys ...string) []row {
	all := append(errorRows(),
		row{key: "v-g", name: "score (log-rank) with normal mixture, by interval", start: startScore},
		row{key: "v-h", name: "relative rate, finer prior", start: startFine})
	var rows []row
	for _, key := range keys {
		for _, r := range all {
			if r.key == key {
				rows = append(rows, r)
			}
		}
	}
	return rows
}

// ruleRow runs a rule of another tool.
func ruleRow(key, name, other string, reps int) row {
	return row{key, name, reps, func() rule {
		r, err := rules.New(other)
		if err != nil {
			panic(err) // a name of this file
		}
		timed := []uint64{0}
		return func(rep *repetition, o *observation) bool {
			timed[0] = o.counts.Mc
			r.Add(outcome.Interval{
				Seq: rep.interval, From: rep.at().Add(-time.Minute), To: rep.at(),
				Treatment: outcome.Arm{Requests: o.counts.Mc, Bad: o.counts.X, Latency: outcome.Histogram{Counts: timed, Sum: o.seconds}},
				Control:   outcome.Arm{Requests: o.counts.Mb, Bad: o.counts.Y},
			})
			return r.Decision().Action == rules.RollBack
		}
	}}
}

// process is an e-process over counts; it gives ln E after an interval.
type process func(evidence.Counts) float64

func rate(e evidence.RelativeRate) process {
	return func(c evidence.Counts) float64 {
		e.Add(c)
		return e.LogE()
	}
}

func difference(e evidence.Difference) process {
	return func(c evidence.Counts) float64 {
		e.Add(c)
		return e.LogE()
	}
}

// startEither is the mean of proofs in either margin.
func startEither() process {
	relative, absolute := rate(evidence.NewNoWorseRate(1.2)), difference(evidence.NewNoWorseDifference(0.001))
	return func(c evidence.Counts) float64 { return evidence.MeanLogE(relative(c), absolute(c)) }
}

func processRow(key, name string, start func() process) row {
	return row{key: key, name: name, start: func() rule {
		p := start()
		return func(_ *repetition, o *observation) bool { return p(o.counts) >= math.Log(1/alpha) }
	}}
}

// guardRow reads one of the processes of a guard with Seatrial's default tolerance, which the rows
// of a repetition share.
func guardRow(key, name string, logE func(*evidence.Guard) float64, level float64) row {
	return row{key: key, name: name, start: func() rule {
		return func(rep *repetition, o *observation) bool { return logE(rep.weigh(o.counts)) >= math.Log(1/level) }
	}}
}

// weigh feeds the guard of a repetition, once an interval.
func (rep *repetition) weigh(c evidence.Counts) *evidence.Guard {
	if rep.guard == nil {
		g := evidence.NewGuard(relativeTolerance, absoluteTolerance)
		rep.guard = &g
	}
	if rep.guarded < rep.interval {
		rep.guard.Add(c)
		rep.guarded = rep.interval
	}
	return rep.guard
}

// startFine is the relative rate over the finer grid exp(0.05·k), k = 1..40.
func startFine() rule {
	var logS [40]float64
	return func(_ *repetition, o *observation) bool {
		c := o.counts
		x, n, share := float64(c.X), float64(c.X+c.Y), float64(c.Mc)/float64(c.Mc+c.Mb)
		for k := range logS {
			u := 0.05 * float64(k+1)
			logS[k] += x*u - n*math.Log1p(share*math.Expm1(u))
		}
		return evidence.MeanLogE(logS[:]...) >= math.Log(1/alpha)
	}
}
