package simulation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
)

func TestCells(t *testing.T) {
	c := newCell([]uint16{3, 0, 1, 2, 0}, 120)
	if c.Fired != 3 || c.Share != 0.6 || c.Median != 3 || c.String() != "60.0% / 3" {
		t.Errorf("got %+v (%s)", c, c)
	}
	if c := newCell([]uint16{0, 0, 1}, 120); c.Median != never || c.String() != "33.3% / >120" {
		t.Errorf("got %+v (%s)", c, c)
	}
	if c := newCell([]uint16{0, 0}, 240); c.Error <= 0 || c.Error > 0.5 || c.MedianLow != never {
		t.Errorf("a share of 0 has the error %v, median from %d", c.Error, c.MedianLow)
	}
}

func TestCellsAreComparedWithTheReference(t *testing.T) {
	fired := make([]uint16, 1000)
	for i := range fired {
		if i < 500 {
			fired[i] = uint16(1 + i%20)
		}
	}
	for _, c := range []struct {
		name      string
		reference *Reference
		differs   bool
	}{
		{"no reference", nil, false},
		{"the same", &Reference{0.5, 20, 2000}, false},
		{"within the error", &Reference{0.55, 0, 2000}, false},
		{"another share", &Reference{0.57, 20, 2000}, true},
		{"other share, few repetitions", &Reference{0.57, -1, 100}, false},
		{"earlier median", &Reference{0.5, 5, 2000}, true},
	} {
		cell := newCell(fired, 120)
		cell.compare(c.reference)
		if cell.Differs != c.differs || (cell.Expected() == "") != (c.reference == nil) {
			t.Errorf("%s: differs %t, want %t (%s against %s)", c.name, cell.Differs, c.differs, cell, cell.Expected())
		}
	}
}

// Every figure of the reference has its cell, and every column of a table its figure.
func TestReferenceFitsTheTables(t *testing.T) {
	if Source() == "" {
		t.Error("the reference does not say where its figures are from")
	}
	tables := map[string]Table{}
	for _, table := range Tables() {
		tables[table.Name] = table
	}
	for name, r := range references().Tables {
		table, ok := tables[name]
		if !ok || table.Reps != r.Reps {
			t.Errorf("reference of %s with %d repetitions has no table, or one of %d", name, r.Reps, table.Reps)
		}
		rows := map[string]row{}
		for _, row := range table.rows {
			if _, twice := rows[row.key]; twice {
				t.Errorf("%s: row %s is there twice", name, row.key)
			}
			rows[row.key] = row
		}
		for key, line := range r.Rows {
			if row, ok := rows[key]; !ok || len(line.Cells) != len(table.columns) || row.reps != line.Reps {
				t.Errorf("%s: row %s of the reference does not fit", name, key)
			}
		}
	}
}

func TestFiguresDependOnTheSeedOnly(t *testing.T) {
	run := func(workers int, seed uint64, names ...string) []Result {
		tables, err := Find(names...)
		if err != nil {
			t.Fatal(err)
		}
		results, err := Run(context.Background(), tables, Options{Reps: 20, Seed: seed, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	one, several := run(1, 5, "guardrails", "extra-5"), run(7, 5, "extra-5", "guardrails")
	if !reflect.DeepEqual(one[0], several[1]) || !reflect.DeepEqual(one[1], several[0]) {
		t.Error("workers or tables change the figures")
	}
	if reflect.DeepEqual(one, run(3, 6, "guardrails", "extra-5")) {
		t.Error("another seed gives the same figures")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(stop)
	if _, err := Run(ctx, Tables(), Options{Reps: MaxReps}); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestFind(t *testing.T) {
	for names, want := range map[string]int{"errors": 2, "errors-5": 1, "ramp": 2, "plan": 1, "low-traffic": 1, "extra": 2} {
		if tables, err := Find(names); err != nil || len(tables) != want {
			t.Errorf("%s: %d tables, %v; want %d", names, len(tables), err, want)
		}
	}
	if all, err := Find(); err != nil || len(all) != len(Names()) {
		t.Errorf("without names: %d tables, %v", len(all), err)
	}
	if _, err := Find("error"); err == nil {
		t.Error("found a table by a part of a word")
	}
}

// draw runs columns of a table with rows of its own.
func draw(t *testing.T, table Table, columns []string, rows []row, reps int) map[string]map[string]Cell {
	t.Helper()
	if testing.Short() {
		reps = max(reps/4, 1)
	}
	var kept []column
	for _, c := range table.columns {
		for _, name := range columns {
			if c.name == name {
				kept = append(kept, c)
			}
		}
	}
	if len(kept) != len(columns) {
		t.Fatalf("%s has not all of the columns %v", table.Name, columns)
	}
	table.columns, table.rows, table.Reps = kept, rows, referenceReps
	results, err := Run(context.Background(), []Table{table}, Options{Reps: reps, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]map[string]Cell{}
	for _, r := range results[0].Rows {
		cells[r.Key] = map[string]Cell{}
		for i, c := range r.Cells {
			cells[r.Key][columns[i]] = c
		}
	}
	return cells
}

func table(t *testing.T, name string) Table {
	t.Helper()
	for _, table := range Tables() {
		if table.Name == name {
			return table
		}
	}
	t.Fatalf("no table %s", name)
	return Table{}
}

// pick gives the rows of a table by key.
func pick(t *testing.T, from Table, keys ...string) (rows []row) {
	t.Helper()
	for _, r := range from.rows {
		for _, key := range keys {
			if r.key == key {
				r.reps = 0
				rows = append(rows, r)
			}
		}
	}
	if len(rows) != len(keys) {
		t.Fatalf("%s has not all of the rows %v", from.Name, keys)
	}
	return rows
}

// quiet checks that false alarms are at most alpha, by three standard errors of a share of alpha.
func quiet(t *testing.T, what string, c Cell, alpha float64) {
	t.Helper()
	if limit := alpha + 3*math.Sqrt(alpha*(1-alpha)/float64(c.Reps)); c.Share > limit {
		t.Errorf("%s: %s of %d healthy runs alarmed, want at most %.1f%% + 3 standard errors", what, c, c.Reps, 100*alpha)
	}
}

func describe(table, column, row string) string { return fmt.Sprintf("%s, %s, %s", table, column, row) }
