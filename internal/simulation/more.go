package simulation

import (
	"math"
	"math/rand/v2"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

// Tables of what the reference did not draw: throughput, values and the service level.

// throughputTable has new users of whom the treatment loses a part.
func throughputTable() Table {
	const unitsMinute = 600
	lost := func(name string, share, part float64) column {
		return column{name, func(*rand.Rand) world {
			return func(rep *repetition) observation {
				n := binomial(rep.r, unitsMinute, share)
				return observation{share: share, newUnits: [2]uint64{binomial(rep.r, n, 1-part), unitsMinute - n}}
			}
		}}
	}
	return Table{
		Name: "throughput", Reps: referenceReps, Minutes: watchMinutes,
		Title: "Throughput, 600 new users a minute at a share, of whom the canary loses a part",
		columns: []column{
			lost("A/A at 5%", 0.05, 0), lost("20% at 5%", 0.05, 0.2),
			lost("A/A at 50%", 0.5, 0), lost("3% at 50%", 0.5, 0.03), lost("5% at 50%", 0.5, 0.05), lost("10% at 50%", 0.5, 0.1), lost("20% at 50%", 0.5, 0.2),
		},
		rows: []row{
			flowRow("S-hold", "Seatrial, alarm that holds: any loss", (*evidence.Flow).LogAnyHarm, alpha),
			flowRow("S-harm", "Seatrial, loss beyond 5%, level .01: roll-back", (*evidence.Flow).LogHarm, rollBackAlpha),
			flowRow("S-safe", "Seatrial, safe: at most 5% lost", (*evidence.Flow).LogNoWorse, alpha),
			{key: "S-sample", name: "Seatrial, sample ratio, level .001", start: startSample},
		},
	}
}

func flowRow(key, name string, logE func(*evidence.Flow) float64, level float64) row {
	return row{key: key, name: name, start: func() rule {
		f := evidence.NewFlow(evidence.DefaultFlowTolerance)
		return func(_ *repetition, o *observation) bool {
			f.Add(o.newUnits[0], o.newUnits[1], o.share)
			return logE(&f) >= math.Log(1/level)
		}
	}}
}

// valueTolerance is the relative tolerance of the rows that judge values.
const valueTolerance = 0.05

// valueTable has values of a heavy tail whose mean is higher, which is worse, in the treatment.
func valueTable() Table {
	higher := func(name string, share, level function, factor float64) column {
		return column{name, func(*rand.Rand) world {
			return func(rep *repetition) observation {
				m := rep.minute()
				n := binomial(rep.r, lowRequests, share(m))
				o := observation{share: share(m)}
				o.values[0] = drawValues(rep.r, n, level(m)*factor)
				o.values[1] = drawValues(rep.r, lowRequests-n, level(m))
				return o
			}
		}}
	}
	few, balanced, one := constant(0.05), constant(0.5), constant(1)
	return Table{
		Name: "values", Reps: 1000, Minutes: watchMinutes,
		Title: "Values, 600 a minute, lognormal of sigma 1, whose mean is higher in the canary; drift: ramp 5-10-25-50% while the mean doubles",
		columns: []column{
			higher("A/A at 5%", few, one, 1), higher("A/A at 50%", balanced, one, 1), higher("A/A drift", ramp, drift(1, 2), 1),
			higher("3% at 50%", balanced, one, 1.03), higher("5% at 50%", balanced, one, 1.05), higher("20% at 50%", balanced, one, 1.2), higher("50% at 5%", few, one, 1.5),
		},
		rows: []row{
			{key: "v-f", name: "asymptotic sequence, pooled difference > 0", start: startPooledValues},
			meansRow("S-hold", "Seatrial, alarm that holds: any harm", (*evidence.Means).LogAnyHarm, alpha),
			meansRow("S-harm", "Seatrial, harm beyond 5%, level .01: roll-back", (*evidence.Means).LogHarm, rollBackAlpha),
			meansRow("S-safe", "Seatrial, safe: at most 5% higher", (*evidence.Means).LogNoWorse, alpha),
		},
	}
}

// drawValues draws n lognormal values of sigma 1 with a mean.
func drawValues(r *rand.Rand, n uint64, mean float64) (m evidence.Moments) {
	m.N = n
	for range n {
		v := mean * math.Exp(r.NormFloat64()-0.5)
		m.Sum += v
		m.SumSquares += v * v
	}
	return m
}

func meansRow(key, name string, logE func(*evidence.Means) float64, level float64) row {
	return row{key: key, name: name, start: func() rule {
		m := evidence.NewMeans(valueTolerance, 0)
		return func(_ *repetition, o *observation) bool {
			m.Add(o.values[0], o.values[1])
			return logE(&m) >= math.Log(1/level)
		}
	}}
}

// limit is the service level of the rows that watch one: a share of bad requests.
const limit = 0.01

// limitTable has one arm against a limit.
func limitTable() Table {
	at := func(name string, errors function) column {
		return same(lowRequests, constant(0.5), errors).column(name)
	}
	return Table{
		Name: "limit", Reps: referenceReps, Minutes: watchMinutes,
		Title: "One arm of 300 requests a minute against a service level of 1%; incident: 0.5%, but 3% in minutes 31 to 60",
		columns: []column{
			at("0.5%", constant(0.005)), at("1%", constant(limit)), at("1.5%", constant(0.015)), at("2%", constant(0.02)), at("incident", incident(0.005, 0.03)),
		},
		rows: []row{
			{key: "v-e", name: "one arm against a limit of 1%, which never forgets", start: startOneSample},
			{key: "S-breach", name: "Seatrial, service level broken, level .05", start: func() rule { return startBackstop(false) }},
			{key: "S-healed", name: "Seatrial, broken and back within the limit", start: func() rule { return startBackstop(true) }},
		},
	}
}

func startOneSample() rule {
	p := evidence.NewProportion(limit)
	return func(_ *repetition, o *observation) bool {
		p.Add(o.counts.X, o.counts.Mc)
		return p.LogAbove(limit) >= math.Log(1/alpha)
	}
}

// startBackstop fires when the limit is broken, or when it is no longer after it was.
func startBackstop(healed bool) rule {
	b, broken := evidence.NewBackstop(limit), false
	return func(_ *repetition, o *observation) bool {
		b.Add(o.counts.X, o.counts.Mc)
		now := b.Breached(alpha)
		broken = broken || now
		return broken && now != healed
	}
}
