package simulation

import (
	"fmt"
	"math"
	"strings"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

func errorTables() []Table {
	var tables []Table
	for _, percent := range []int{5, 50} {
		columns := errorColumns(constant(float64(percent) / 100))
		tables = append(tables, Table{
			Name: fmt.Sprintf("errors-%d", percent), Reps: referenceReps, Minutes: watchMinutes,
			Title:   fmt.Sprintf("Errors, canary share %d%%, 6000 requests a minute, base rate 0.5%%; incident: 2%% in both arms in minutes 31 to 60", percent),
			columns: columns, rows: errorRows(),
		}, Table{
			Name: fmt.Sprintf("extra-%d", percent), Reps: 1000, Minutes: watchMinutes,
			Title:   fmt.Sprintf("Errors, canary share %d%%: stratified score test and finer prior", percent),
			columns: []column{columns[0], columns[2], columns[3], columns[4], columns[5]},
			rows:    extraRows("v-a", "v-g", "v-h"),
		})
	}
	return tables
}

func latencyTables() []Table {
	var tables []Table
	for _, percent := range []int{5, 50} {
		share := float64(percent) / 100
		tables = append(tables, Table{
			Name: fmt.Sprintf("latency-%d", percent), Reps: 600, Minutes: watchMinutes,
			Title: fmt.Sprintf("Latency, canary share %d%%, 6000 requests a minute; tail: over p95 1.2 times as slow, so p99 +20%%", percent),
			columns: []column{
				latencyColumn("A/A", share, healthyLatencies),
				latencyColumn("tail 1.2x", share, slowTail),
				latencyColumn("all 1.2x", share, allSlower),
			},
			rows: latencyRows(),
		})
	}
	return tables
}

func rampTables() []Table {
	drifting := same(requestsMinute, ramp, drift(0.003, 0.012)).column("A/A drift")
	slightly := worse(requestsMinute, ramp, 0.007).column("0.7%")
	double := worse(requestsMinute, ramp, 0.01).column("1%")
	return []Table{
		{
			Name: "ramp", Reps: referenceReps, Minutes: watchMinutes,
			Title:   "Ramp 5-10-25-50%, half an hour each, 6000 requests a minute; drift: base rate rises from 0.3% to 1.2%",
			columns: []column{drifting, same(requestsMinute, ramp, constant(baseErrors)).column("A/A 0.5%"), slightly, double},
			rows:    errorRows(),
		},
		{
			Name: "ramp-extra", Reps: 1000, Minutes: watchMinutes,
			Title:   "Ramp: pooled against stratified",
			columns: []column{drifting, slightly, double},
			rows:    extraRows("v-a", "v-f", "v-g", "v-h"),
		},
	}
}

func lowTraffic() Table {
	few, balanced := constant(0.05), constant(0.5)
	return Table{
		Name: "low-traffic", Reps: referenceReps, Minutes: watchMinutes,
		Title: "Low traffic, 600 requests a minute, base rate 0.5%; errors of the canary at its share",
		columns: []column{
			same(lowRequests, few, constant(baseErrors)).column("A/A at 5%"),
			worse(lowRequests, few, 0.01).column("1% at 5%"),
			worse(lowRequests, few, 0.05).column("5% at 5%"),
			same(lowRequests, balanced, constant(baseErrors)).column("A/A at 50%"),
			worse(lowRequests, balanced, 0.01).column("1% at 50%"),
		},
		rows: errorRows(),
	}
}

// userTables has the table of users whose requests cluster.
func userTables() []Table {
	rows := []row{extraRows("ii")[0],
		{key: "request", name: "relative rate, by request", start: func() rule {
			p := rate(evidence.NewHarmRate(1))
			return func(_ *repetition, o *observation) bool { return p(o.counts) >= math.Log(1/alpha) }
		}},
		extraRows("v-f")[0],
		{key: "unit", name: "relative rate, by user: first bad event, share of assignment", start: startAssigned},
		{key: "srm", name: "sample ratio (Dirichlet 100), level .01", start: startDirichlet},
		byUserRow("S-hold", "Seatrial, by user, alarm that holds: any harm", (*evidence.Guard).LogAnyHarm, alpha),
		byUserRow("S-harm", "Seatrial, by user, harm beyond 1.2x and +0.1 pp, level .01", (*evidence.Guard).LogHarm, rollBackAlpha),
		{key: "S-sample", name: "Seatrial, sample ratio, level .001", start: startSample},
	}
	return []Table{{
		Name: "clustered", Reps: 1000, Minutes: watchMinutes,
		Title:   "Clustered A/A: 20000 sticky users, 1% of them cause half of all errors (mean 0.5%), 6000 requests a minute",
		columns: []column{userColumn("5% share", 0.05), userColumn("50% share", 0.5)},
		rows:    rows,
	}}
}

// startAssigned weighs first bad events by the share of assignment, whoever was active.
func startAssigned() rule {
	const precision = 1_000_000
	p := rate(evidence.NewHarmRate(1))
	return func(_ *repetition, o *observation) bool {
		mc := uint64(math.Round(o.share * precision))
		return p(evidence.Counts{X: o.first.X, Mc: mc, Y: o.first.Y, Mb: precision - mc}) >= math.Log(1/alpha)
	}
}

// byUserRow is a guard that counts as a trial counts units.
func byUserRow(key, name string, logE func(*evidence.Guard) float64, level float64) row {
	return row{key: key, name: name, start: func() rule {
		return func(rep *repetition, o *observation) bool { return logE(rep.weigh(o.first)) >= math.Log(1/level) }
	}}
}

func startDirichlet() rule {
	counts := make([]float64, 2)
	return func(_ *repetition, o *observation) bool {
		counts[0] += float64(o.newUnits[0])
		counts[1] += float64(o.newUnits[1])
		return evidence.DirichletLogBF(counts, []float64{o.share, 1 - o.share}, 100) >= math.Log(1/0.01)
	}
}

func startSample() rule {
	var s evidence.SampleRatio
	return func(_ *repetition, o *observation) bool {
		s.Add(o.newUnits[0], o.newUnits[1], o.share)
		return s.LogE() >= math.Log(1/0.001)
	}
}

// severalTable has the table of six guardrails.
func severalTable() Table {
	all := func(v float64) (list [6]float64) {
		for i := range list {
			list[i] = v
		}
		return list
	}
	one := all(baseErrors)
	one[0] = 0.007
	greatest := func(logs []float64) float64 { return -least(negated(logs)) }
	return Table{
		Name: "guardrails", Reps: 1000, Minutes: watchMinutes,
		Title: "Six guardrails, canary share 50%, 6000 requests a minute, base rate 0.5%",
		columns: []column{
			severalColumn("A/A", all(baseErrors)),
			severalColumn("one of six 0.7%", one),
			severalColumn("all six 0.55%", all(0.0055)),
		},
		rows: []row{
			severalRow("each", "each at .05, no correction", greatest, 1),
			severalRow("bonferroni", "Bonferroni: any E >= 6/.05", greatest, 6),
			severalRow("mean", "mean of E >= 1/.05 (Seatrial's rule)", mean, 1),
		},
	}
}

func negated(logs []float64) []float64 {
	list := make([]float64, len(logs))
	for i, v := range logs {
		list[i] = -v
	}
	return list
}

// severalRow combines the evidence of any harm of each guardrail; it fires at times/alpha.
func severalRow(key, name string, combine func([]float64) float64, times float64) row {
	return row{key: key, name: name, start: func() rule {
		var processes [6]evidence.RelativeRate
		for i := range processes {
			processes[i] = evidence.NewHarmRate(1)
		}
		logs := make([]float64, len(processes))
		return func(_ *repetition, o *observation) bool {
			for i := range processes {
				processes[i].Add(o.several[i])
				logs[i] = processes[i].LogE()
			}
			return combine(logs) >= math.Log(times/alpha)
		}
	}}
}

// Find gives the tables of the names, in that order; without names all. A name may be the first
// part of several, such as errors.
func Find(names ...string) ([]Table, error) {
	all := Tables()
	if len(names) == 0 {
		return all, nil
	}
	var found []Table
	for _, name := range names {
		before := len(found)
		for _, t := range all {
			if t.Name == name || strings.HasPrefix(t.Name, name+"-") {
				found = append(found, t)
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("table %q is not known: use %s", name, strings.Join(Names(), ", "))
		}
	}
	return found, nil
}

// Names are the names of all tables.
func Names() (names []string) {
	for _, t := range Tables() {
		names = append(names, t.Name)
	}
	return names
}
