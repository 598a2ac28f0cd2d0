// Package simulation measures rules of decision on traffic whose truth is known: how often each
// rolls back a treatment that is as good as the control, and how long each takes to find one that
// is not. It draws the traffic of the tables in docs/simulations.md and runs the evidence of
// Seatrial, and other tools' rules, side by side over the same draws.
//
// A run is a function of its seed: the number of workers and of tables asked for changes nothing.
package simulation

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

// Options of a run.
type Options struct {
	// Reps is how many times each column is drawn; 1 to MaxReps. Tables that are costly, and rows
	// with rank tests, take the part of it that the reference took.
	Reps int
	Seed uint64
	// Workers, 0: one per core.
	Workers int
	// Done, if given, is called after each table.
	Done func(Result)
}

// MaxReps bounds the repetitions of a run.
const MaxReps = 1_000_000

// referenceReps is how many the largest tables of the reference took.
const referenceReps = 2000

// Table is one table: columns are truths, rows are rules.
type Table struct {
	Name, Title string
	// Reps of the reference, of which a run takes Reps/2000.
	Reps    int
	Minutes int // how long is watched
	columns []column
	rows    []row
}

// column is one truth.
type column struct {
	name  string
	world func(r *rand.Rand) world
}

// world draws what one interval shows; share and such may depend on what was decided.
type world func(rep *repetition) observation

// row is one rule.
type row struct {
	// key names the row among the reference's; rows that are not among them have one too.
	key, name string
	reps      int // of the reference, if less than the table's
	start     func() rule
}

// rule looks at one interval and reports whether it fires.
type rule func(rep *repetition, o *observation) bool

// observation is what one interval showed.
type observation struct {
	counts   evidence.Counts     // bad events of exposures
	share    float64             // of the treatment by assignment
	seconds  float64             // sum of the treatment's latencies
	timings  [2]timings          // treatment, control
	first    evidence.Counts     // first bad event of each unit, of units at risk
	newUnits [2]uint64           // treatment, control
	several  [6]evidence.Counts  // of several guardrails
	values   [2]evidence.Moments // treatment, control
}

// repetition is one draw of a column, with what rows share.
type repetition struct {
	r        *rand.Rand
	interval int           // from 1
	each     time.Duration // length of an interval
	guard    *evidence.Guard
	guarded  int // interval up to which guard was fed
	planned  *planned
}

// at is the end of the interval of a repetition, from an arbitrary start.
func (rep *repetition) at() time.Time {
	return time.Unix(0, 0).UTC().Add(time.Duration(rep.interval) * rep.each)
}

func (rep *repetition) minute() int {
	return int((time.Duration(rep.interval)*rep.each + time.Minute - 1) / time.Minute)
}

// Run draws the tables, one after the other, and gives a result for each. It ends early, with the
// context's error, when ctx does.
func Run(ctx context.Context, tables []Table, o Options) ([]Result, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	var results []Result
	for _, t := range tables {
		result, err := t.run(ctx, o)
		if err != nil {
			return results, err
		}
		results = append(results, result)
		if o.Done != nil {
			o.Done(result)
		}
	}
	return results, nil
}

// scaled is the part of reps that a table or row takes.
func scaled(reps, reference int) int {
	return max(1, min(reps, (reps*reference+referenceReps-1)/referenceReps))
}

const never = 0 // in a list of minutes in which a row fired

// run shares the repetitions among the workers. Each writes to places of its own.
func (t *Table) run(ctx context.Context, o Options) (Result, error) {
	reps := scaled(min(o.Reps, MaxReps), t.Reps)
	fired := make([][][]uint16, len(t.columns)) // column, row, repetition: minute
	for c := range fired {
		fired[c] = make([][]uint16, len(t.rows))
		for i, row := range t.rows {
			n := reps
			if row.reps > 0 {
				n = min(reps, scaled(min(o.Reps, MaxReps), row.reps))
			}
			fired[c][i] = make([]uint16, n)
		}
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range o.Workers {
		workers.Go(func() {
			for ctx.Err() == nil {
				job := int(next.Add(1)) - 1
				if job >= reps*len(t.columns) {
					return
				}
				t.repeat(o.Seed, job%len(t.columns), job/len(t.columns), fired[job%len(t.columns)])
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return Result{}, context.Cause(ctx)
	}
	return t.result(fired), nil
}

// repeat draws one repetition of one column.
func (t *Table) repeat(seed uint64, c, n int, fired [][]uint16) {
	rep := &repetition{r: t.random(seed, c, n), each: time.Minute}
	world := t.columns[c].world(rep.r)
	rules := make([]rule, len(t.rows))
	open := 0
	for i, row := range t.rows {
		if n < len(fired[i]) {
			rules[i] = row.start()
			open++
		}
	}
	if t.Name == planTableName {
		rep.each = planInterval
	}
	for rep.interval = 1; rep.minute() <= t.Minutes && open > 0; rep.interval++ {
		o := world(rep)
		for i, rule := range rules {
			if rule != nil && rule(rep, &o) {
				fired[i][n] = uint16(rep.minute())
				rules[i] = nil
				open--
			}
		}
	}
}

// random is the source of one repetition, which depends on nothing but its place.
func (t *Table) random(seed uint64, column, n int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(t.Name + "/" + t.columns[column].name))
	return rand.New(rand.NewPCG(seed^h.Sum64(), uint64(n)))
}

// result counts how often and when each row fired.
func (t *Table) result(fired [][][]uint16) Result {
	result := Result{Name: t.Name, Title: t.Title, Minutes: t.Minutes}
	for _, c := range t.columns {
		result.Columns = append(result.Columns, c.name)
	}
	for i, row := range t.rows {
		line := Row{Key: row.key, Name: row.name}
		for c := range t.columns {
			cell := newCell(fired[c][i], t.Minutes)
			cell.compare(reference(t.Name, row.key, c))
			line.Cells = append(line.Cells, cell)
		}
		result.Rows = append(result.Rows, line)
	}
	return result
}

// Tables are all tables that can be drawn, in the order of the reference.
func Tables() []Table {
	return slices.Concat(errorTables(), latencyTables(), rampTables(), []Table{lowTraffic()}, userTables(), []Table{severalTable(), throughputTable(), valueTable(), limitTable(), planTable()})
}
