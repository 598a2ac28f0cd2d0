package simulation

import (
	"math/rand/v2"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

// The truth of most columns: requests that fail independently.
const (
	requestsMinute = 6000
	lowRequests    = 600
	watchMinutes   = 120
	baseErrors     = 0.005
)

// function of the minute, from 1.
type function func(minute int) float64

func constant(v float64) function { return func(int) float64 { return v } }

// incident is what both arms suffer in minutes 31 to 60.
func incident(healthy, broken float64) function {
	return func(minute int) float64 {
		if minute > 30 && minute <= 60 {
			return broken
		}
		return healthy
	}
}

// ramp is a share that rises to the next step every half hour.
func ramp(minute int) float64 {
	steps := []float64{0.05, 0.1, 0.25, 0.5}
	return steps[min((minute-1)/30, len(steps)-1)]
}

// drift rises evenly from first, before it is watched, to last in its last minute.
func drift(first, last float64) function {
	return func(minute int) float64 {
		return first + (last-first)*float64(minute)/watchMinutes
	}
}

// traffic describes the requests of a column: how many a minute, which share of them the treatment
// gets, and how many fail in each arm.
type traffic struct {
	requests           uint64
	share              function
	treatment, control function
}

// column draws traffic; request by request it falls on an arm by chance.
func (t traffic) column(name string) column {
	return column{name, func(*rand.Rand) world {
		return func(rep *repetition) observation {
			m := rep.minute()
			o := observation{share: t.share(m)}
			o.counts = drawCounts(rep.r, t.requests, o.share, t.treatment(m), t.control(m))
			o.seconds = sumOf(rep.r, o.counts.Mc)
			return o
		}
	}}
}

func drawCounts(r *rand.Rand, requests uint64, share, treatment, control float64) (c evidence.Counts) {
	c.Mc = binomial(r, requests, share)
	c.Mb = requests - c.Mc
	c.X, c.Y = binomial(r, c.Mc, treatment), binomial(r, c.Mb, control)
	return c
}

// same is traffic whose arms fail alike.
func same(requests uint64, share, errors function) traffic {
	return traffic{requests, share, errors, errors}
}

// worse is traffic whose treatment fails at a rate of its own.
func worse(requests uint64, share function, errors float64) traffic {
	return traffic{requests, share, constant(errors), constant(baseErrors)}
}

func errorColumns(share function) []column {
	return []column{
		same(requestsMinute, share, constant(baseErrors)).column("A/A 0.5%"),
		same(requestsMinute, share, constant(0.02)).column("A/A 2%"),
		same(requestsMinute, share, incident(baseErrors, 0.02)).column("A/A incident"),
		worse(requestsMinute, share, 0.007).column("0.7%"),
		worse(requestsMinute, share, 0.01).column("1%"),
		worse(requestsMinute, share, 0.02).column("2%"),
		worse(requestsMinute, share, 0.05).column("5%"),
	}
}

// latencyColumn draws latencies; the treatment has some of its own.
func latencyColumn(name string, share float64, treatment func() *latencies) column {
	return column{name, func(*rand.Rand) world {
		return func(rep *repetition) observation {
			n := binomial(rep.r, requestsMinute, share)
			o := observation{share: share, counts: evidence.Counts{Mc: n, Mb: requestsMinute - n}}
			o.timings[0] = treatment().draw(rep.r, n)
			o.timings[1] = healthyLatencies().draw(rep.r, requestsMinute-n)
			o.seconds = o.timings[0].sum
			return o
		}
	}}
}

// severalColumn draws the errors of several guardrails, independent of each other.
func severalColumn(name string, treatment [6]float64) column {
	return column{name, func(*rand.Rand) world {
		return func(rep *repetition) (o observation) {
			for i, errors := range treatment {
				o.several[i] = drawCounts(rep.r, requestsMinute, 0.5, errors, baseErrors)
			}
			return o
		}
	}}
}

// Users of the clustered columns: one in a hundred causes half of all errors.
const (
	users       = 20_000
	heavyUsers  = users / 100
	heavyErrors = baseErrors / 2 * users / heavyUsers
	lightErrors = baseErrors / 2 * users / (users - heavyUsers)
)

// userColumn draws requests of users who keep their arm and their proneness to errors.
func userColumn(name string, share float64) column {
	return column{name, func(r *rand.Rand) world {
		p := newPopulation(r, share)
		return func(rep *repetition) observation {
			o := observation{share: share}
			for range requestsMinute {
				p.request(rep, &o)
			}
			return o
		}
	}}
}

// population remembers of each user what the counts by user need.
type population struct {
	treated, seen, spoilt [users]bool
	active                [users]int32 // the last interval
}

func newPopulation(r *rand.Rand, share float64) *population {
	p := &population{}
	for i := range p.treated {
		p.treated[i] = r.Float64() < share
	}
	return p
}

// request counts one request of a random user, as requests and as users are counted.
func (p *population) request(rep *repetition, o *observation) {
	user := rep.r.IntN(users)
	errors := lightErrors
	if user < heavyUsers {
		errors = heavyErrors
	}
	var bad uint64
	if rep.r.Float64() < errors {
		bad = 1
	}
	arm, of, failed, atRisk, first := 1, &o.counts.Mb, &o.counts.Y, &o.first.Mb, &o.first.Y
	if p.treated[user] {
		arm, of, failed, atRisk, first = 0, &o.counts.Mc, &o.counts.X, &o.first.Mc, &o.first.X
	}
	*of++
	*failed += bad
	if !p.seen[user] {
		p.seen[user] = true
		o.newUnits[arm]++
	}
	if p.active[user] != int32(rep.interval) && !p.spoilt[user] {
		p.active[user] = int32(rep.interval)
		*atRisk++
	}
	if bad > 0 && !p.spoilt[user] {
		p.spoilt[user] = true
		*first++
	}
}
