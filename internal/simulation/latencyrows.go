package simulation

import (
	"math"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/rules"
)

// The quantiles near which latency is watched, as a trial does.
var watched = []float64{0.5, 0.75, 0.9, 0.95, 0.99}

// The tolerances of Seatrial's default guardrail of latency.
const (
	latencyRelative = 0.2
	latencyAbsolute = 0.005
)

func latencyRows() []row {
	return []row{
		{key: "L-i", name: "fixed limit: mean < 100 ms in each minute", start: func() rule {
			return func(_ *repetition, o *observation) bool { return o.timings[0].sum >= 0.1*float64(o.timings[0].count) }
		}},
		{key: "L-ii", name: "z-test on the mean, repeated at one-sided 5%", start: startMeanTest},
		{key: "L-iii", name: "p99 of 5 min <= 353 ms (+10%), failureLimit 3", start: startQuantileLimit},
		{key: "L-iv", name: "Mann-Whitney on each minute's p99, each 10 min", reps: 200, start: startQuantileRanks},
		{key: "L-v1", name: "mean of e over p50, p75 (Turner), p90, p95, p99 (relative rate)", start: startBounds},
		{key: "L-v2", name: "relative rate over p99 only", start: startLastBound},
		{key: "L-v3", name: "uniform bands of both arms", start: startBands},
		{key: "L-v4", name: "asymptotic sequence on the mean", start: startPooledLatency},
		latencyGuardRow("S-hold", "Seatrial, alarm that holds: any harm at a bound", (*evidence.Guard).LogAnyHarm, mean, alpha),
		latencyGuardRow("S-harm", "Seatrial, harm beyond 1.2x and +0.5 pp, level .01: roll-back", (*evidence.Guard).LogHarm, mean, rollBackAlpha),
		latencyGuardRow("S-safe", "Seatrial, safe at every bound", (*evidence.Guard).LogNoWorse, least, alpha),
	}
}

// startMeanTest is the z-test with the arms' own variances, on everything so far.
func startMeanTest() rule {
	var treatment, control moments
	return func(_ *repetition, o *observation) bool {
		t, c := &o.timings[0], &o.timings[1]
		treatment.add(t.count, t.sum, t.squares)
		control.add(c.count, c.sum, c.squares)
		deviation := math.Sqrt(treatment.variance() + control.variance())
		return treatment.sum/treatment.n-control.sum/control.n >= normalQuantile(1-alpha)*deviation
	}
}

func startQuantileLimit() rule {
	var window timings
	bad := 0
	return func(rep *repetition, o *observation) bool {
		window.add(&o.timings[0])
		if rep.interval%5 != 0 {
			return false
		}
		if window.quantile(0.99) > 0.353 {
			bad++
		}
		window = timings{}
		return bad > 3
	}
}

func startQuantileRanks() rule {
	var treatment, control []float64
	return func(rep *repetition, o *observation) bool {
		treatment = append(treatment, o.timings[0].quantile(0.99))
		control = append(control, o.timings[1].quantile(0.99))
		return rep.interval%10 == 0 && rules.MannWhitney(treatment, control, 0.98).Harmful()
	}
}

// slower counts the latencies over the edge nearest to a quantile of the control's distribution.
func (o *observation) slower(edge int) evidence.Counts {
	t, c := &o.timings[0], &o.timings[1]
	return evidence.Counts{X: t.above(edge), Mc: t.count, Y: c.above(edge), Mb: c.count}
}

func watchedEdges() (edges []int) {
	for _, q := range watched {
		edges = append(edges, nearestEdge(q))
	}
	return edges
}

func startBounds() rule {
	edges := watchedEdges()
	var processes []process
	for _, q := range watched {
		if q <= 0.75 {
			processes = append(processes, difference(evidence.NewHarmDifference(0)))
		} else {
			processes = append(processes, rate(evidence.NewHarmRate(1)))
		}
	}
	logs := make([]float64, len(edges))
	return func(_ *repetition, o *observation) bool {
		for i, e := range edges {
			logs[i] = processes[i](o.slower(e))
		}
		return evidence.MeanLogE(logs...) >= math.Log(1/alpha)
	}
}

func startLastBound() rule {
	p, e := rate(evidence.NewHarmRate(1)), nearestEdge(watched[len(watched)-1])
	return func(_ *repetition, o *observation) bool { return p(o.slower(e)) >= math.Log(1/alpha) }
}

// startBands compares the arms' distribution functions, each within its band at half the level.
func startBands() rule {
	var treatment, control timings
	return func(_ *repetition, o *observation) bool {
		treatment.add(&o.timings[0])
		control.add(&o.timings[1])
		n, m := float64(treatment.count), float64(control.count)
		width := evidence.BandHalfWidth(treatment.count, alpha/2) + evidence.BandHalfWidth(control.count, alpha/2)
		var above, aboveControl uint64
		for k := buckets - 1; k > 0; k-- {
			above, aboveControl = above+treatment.buckets[k], aboveControl+control.buckets[k]
			if float64(above)/n-float64(aboveControl)/m > width {
				return true
			}
		}
		return false
	}
}

// latencyGuardRow combines what guards with Seatrial's default tolerance say of each bound.
func latencyGuardRow(key, name string, logE func(*evidence.Guard) float64, combine func([]float64) float64, level float64) row {
	return row{key: key, name: name, start: func() rule {
		edges := watchedEdges()
		guards := make([]evidence.Guard, len(edges))
		for i := range guards {
			guards[i] = evidence.NewGuard(latencyRelative, latencyAbsolute)
		}
		logs := make([]float64, len(edges))
		return func(_ *repetition, o *observation) bool {
			for i, e := range edges {
				guards[i].Add(o.slower(e))
				logs[i] = logE(&guards[i])
			}
			return combine(logs) >= math.Log(1/level)
		}
	}}
}

func mean(logs []float64) float64 { return evidence.MeanLogE(logs...) }

func least(logs []float64) float64 {
	v := math.Inf(1)
	for _, l := range logs {
		v = min(v, l)
	}
	return v
}
