package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/simulation"
	"github.com/spf13/cobra"
)

// simulated is what simulate prints as JSON.
type simulated struct {
	Reps   int                 `json:"reps"`
	Seed   uint64              `json:"seed"`
	Source string              `json:"source"` // of the reference's figures
	Tables []simulation.Result `json:"tables"`
}

var simulatedColumns = []string{"TABLE", "RULE", "COLUMN", "REPS", "FIRED", "ERROR", "MEDIAN", "REFERENCE FIRED", "REFERENCE MEDIAN", "DIFFERS"}

func newSimulate(a *app) *cobra.Command {
	var o simulation.Options
	cmd := &cobra.Command{
		Use: "simulate [TABLE...]", GroupID: groupLook, Short: "Measure the evidence on traffic whose truth is known", Args: cobra.ArbitraryArgs,
		ValidArgs: simulation.Names(),
		Long: "Draw traffic whose truth is known and measure how often each rule of decision rolls back a canary that is as good as its\n" +
			"control (A/A), and in which minute it finds one that is not: the evidence of Seatrial, whole trials at the default plan, and the\n" +
			"rules of other tools. Each cell is the share of runs that fired and the median minute over all runs, beside what an earlier\n" +
			"study found with programs of its own; cells over three standard errors apart are marked. docs/simulations.md says how to read it.\n\n" +
			"Tables: " + strings.Join(simulation.Names(), ", ") + ". A name may leave out\n" +
			"what follows the dash. Needs no control plane. The same seed gives the same figures on any number of cores.",
		Example: "  seatrial simulate\n  seatrial simulate errors ramp --reps 2000\n  seatrial simulate plan -o json",
	}
	cmd.Flags().IntVar(&o.Reps, "reps", 300, "how often each column is drawn, 1 to 1,000,000; the reference took 2000. Costly tables and rows take a part of it, as the reference did")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the draws")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		tables, err := simulation.Find(names...)
		if err != nil {
			return usage(err)
		}
		if o.Reps < 1 || o.Reps > simulation.MaxReps {
			return usage(fmt.Errorf("--reps %d: use 1 to %d", o.Reps, simulation.MaxReps))
		}
		return a.simulate(cmd.Context(), tables, o)
	}
	return cmd
}

// simulate prints each table as soon as it is drawn; JSON is one document at the end.
func (a *app) simulate(ctx context.Context, tables []simulation.Table, o simulation.Options) error {
	var failed error
	drawn := 0
	a.say("%d of %d tables: drawing %s", drawn, len(tables), tables[0].Name)
	o.Done = func(r simulation.Result) {
		if err := a.printSimulated(r); err != nil && failed == nil {
			failed = err
		}
		if drawn++; drawn < len(tables) {
			a.say("%d of %d tables: drawing %s", drawn, len(tables), tables[drawn].Name)
		}
	}
	results, err := simulation.Run(ctx, tables, o)
	if err != nil {
		return err
	}
	if a.format() == formatJSON {
		return a.printJSON(simulated{Reps: o.Reps, Seed: o.Seed, Source: simulation.Source(), Tables: results})
	}
	return failed
}

func (a *app) printSimulated(r simulation.Result) error {
	switch a.format() {
	case formatJSON:
		return nil
	case formatTSV:
		return writeTSV(a.out, simulatedRows(r))
	}
	_, err := io.WriteString(a.out, a.style.simulated(r))
	return err
}

// simulatedRows has a row for each cell.
func simulatedRows(r simulation.Result) (rows [][]cell) {
	number := func(v float64) cell { return text("%s", strconv.FormatFloat(v, 'f', 4, 64)) }
	for _, row := range r.Rows {
		for i, c := range row.Cells {
			line := []cell{text("%s", r.Name), text("%s", row.Key), text("%s", r.Columns[i]), text("%d", c.Reps), number(c.Share), number(c.Error), text("%d", c.Median)}
			if ref := c.Reference; ref != nil {
				line = append(line, number(ref.Share), text("%d", ref.Median))
			} else {
				line = append(line, text("%s", ""), text("%s", ""))
			}
			rows = append(rows, append(line, text("%t", c.Differs)))
		}
	}
	return rows
}

// simulated lays out a table: what was found, under it what the reference has, then what the
// rules are.
func (s style) simulated(r simulation.Result) string {
	var rows [][]cell
	var legend strings.Builder
	worst, most, compared, differing := 0.0, 0, 0, 0
	for _, row := range r.Rows {
		found, expected := []cell{text("%s", row.Key)}, []cell{text("%s", "")}
		for _, c := range row.Cells {
			shown := text("%s", c.String())
			if c.Differs {
				shown.plain += " *"
				differing++
			}
			found = append(found, shown)
			expected = append(expected, cell{plain: c.Expected(), mark: markQuiet})
			worst, most = max(worst, c.Error), max(most, c.Reps)
			if c.Reference != nil {
				compared++
			}
		}
		rows = append(rows, found)
		if row.Cells[0].Reference != nil {
			rows = append(rows, expected)
		}
		fmt.Fprintf(&legend, "%-10s  %s\n", row.Key, row.Name)
	}
	return fmt.Sprintf("%s\n%s\n%s%s\n", s.bold(r.Name+": "+r.Title), s.table(append([]string{"RULE"}, r.Columns...), rows),
		legend.String(), s.simulatedNote(worst, most, compared, differing))
}

func (s style) simulatedNote(worst float64, reps, compared, differing int) string {
	note := fmt.Sprintf("%d repetitions; standard error of a share at most %.1f points.", reps, 100*worst)
	if compared > 0 {
		note += fmt.Sprintf(" Second lines: the reference. %d of %d cells differ by more than three standard errors (*).", differing, compared)
	}
	return s.paint(markQuiet, note) + "\n"
}
