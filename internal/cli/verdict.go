package cli

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/evidence"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// processes are the tests that a verdict may come from.
type processes string

const (
	// processesPlain are the published formulas: the conditional relative-rate e-process for the
	// relative margin, the e-variable of Turner, Ly and Grünwald for the absolute one.
	processesPlain processes = "plain"
	// processesRollout are those of rollouts, which average each with a companion for sudden change.
	processesRollout processes = "rollout"
)

// weighing says how counts are judged.
type weighing struct {
	Tolerance    string    `json:"tolerance"`
	Alpha        float64   `json:"alpha"`
	PromoteAlpha float64   `json:"promoteAlpha"`
	HoldAlpha    float64   `json:"holdAlpha"`
	Better       string    `json:"better"`
	DesignEffect float64   `json:"designEffect"`
	Processes    processes `json:"processes"`

	relative, absolute float64
}

// verdictOutput is what `seatrial verdict -o json` prints.
type verdictOutput struct {
	weighing
	Verdict trial.Verdict `json:"verdict"`
	Alarm   bool          `json:"alarm"`
	Why     string        `json:"why"`
	Rows    []verdictRow  `json:"rows"`
}

// verdictRow is what the counts up to and including one interval say. Logs are natural ones.
type verdictRow struct {
	Row                int               `json:"row"`
	ControlExposures   uint64            `json:"controlExposures"`
	ControlBad         uint64            `json:"controlBad"`
	TreatmentExposures uint64            `json:"treatmentExposures"`
	TreatmentBad       uint64            `json:"treatmentBad"`
	LogHarm            float64           `json:"logHarm"`
	LogNoWorse         float64           `json:"logNoWorse"`
	LogAnyHarm         float64           `json:"logAnyHarm"`
	Ratio              trial.Estimate    `json:"ratio"`
	Alarm              bool              `json:"alarm"`
	Verdict            trial.Verdict     `json:"verdict"`
	Extra              map[string]string `json:"extra,omitempty"`
}

var verdictColumns = []string{"ROW", "CONTROL", "CONTROL BAD", "TREATMENT", "TREATMENT BAD", "LOG HARM", "LOG NO WORSE", "LOG ANY HARM", "RATIO", "RATIO LOW", "RATIO HIGH", "ALARM", "VERDICT"}

func newVerdict(a *app) *cobra.Command {
	var (
		file string
		w    weighing
	)
	cmd := &cobra.Command{
		GroupID: groupLook,
		Use:     "verdict -f FILE", Short: "Judge counts of your own: harmful, safe or undecided, valid however often you look",
		Long: "Judge counts of your own, without a control plane. The file is CSV with a header and a row for each interval:\n\n" +
			"  controlExposures,controlBad,treatmentExposures,treatmentBad\n\n" +
			"Columns may stand in any order; others, such as a time, are carried through. Count each interval for itself, in order, and\n" +
			"leave none out because of what it shows. Each row tells the natural log of the e-values so far: over ln(1/alpha) for harm it\n" +
			"is harmful, over ln(1/promote-alpha) for no worse it is safe, however often you looked before. Harmful stays harmful.\n\n" +
			"--processes plain follows the published formulas; rollout adds what rollouts have besides: companions that find harm which\n" +
			"begins late and that recover quickly from an incident, and a finer alarm. Exit codes: 0 safe, 3 harmful, 5 undecided, 1 an error.",
		Example: `  seatrial verdict -f intervals.csv
  seatrial verdict -f intervals.csv --tolerance "+20%|+0.1pp" --alpha 0.01 -o json
  seatrial verdict -f signups.csv --better higher --tolerance +5%`,
	}
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "the counts as CSV, - for standard input")
	flags.StringVar(&w.Tolerance, "tolerance", "+20%|+0.1pp", "how much worse the treatment's bad share may be: relative, in percentage points or both; the larger holds")
	flags.Float64Var(&w.Alpha, "alpha", trial.DefaultAlpha, "chance of calling a tolerable treatment harmful")
	flags.Float64Var(&w.PromoteAlpha, "promote-alpha", trial.DefaultPromoteAlpha, "chance of calling a harmful treatment safe; also that of the interval of the ratio missing the truth")
	flags.Float64Var(&w.HoldAlpha, "hold-alpha", trial.DefaultHoldAlpha, "chance of alarming over a treatment that is not worse at all")
	flags.StringVar(&w.Better, "better", string(trial.BetterLower), "lower: the counted events are bad; higher: they are good, such as sign-ups")
	flags.Float64Var(&w.DesignEffect, "design-effect", 1, "divide all counts by this where requests cluster by user; `seatrial rollout aa` measures it")
	flags.StringVar((*string)(&w.Processes), "processes", string(processesPlain), "plain: the published formulas; rollout: those of rollouts")
	completeWords(cmd, "better", string(trial.BetterLower), string(trial.BetterHigher))
	completeWords(cmd, "processes", string(processesPlain), string(processesRollout))
	cmd.RunE = func(*cobra.Command, []string) error {
		if file == "" {
			return usage(errors.New("--file is missing: give the counts as CSV, such as `seatrial verdict -f intervals.csv`, - for standard input"))
		}
		if err := w.check(); err != nil {
			return usage(err)
		}
		return a.verdict(file, w)
	}
	return cmd
}

// check reads the tolerance and refuses what cannot be judged by.
func (w *weighing) check() (err error) {
	if w.relative, w.absolute, err = parseTolerance(w.Tolerance); err != nil {
		return fmt.Errorf("--tolerance: %w", err)
	}
	if w.relative > 10 || w.absolute > evidence.MaxDelta {
		return fmt.Errorf("--tolerance %s: at most +1000%% and +50pp can be tested", w.Tolerance)
	}
	for _, l := range []struct {
		name  string
		value float64
	}{{"alpha", w.Alpha}, {"promote-alpha", w.PromoteAlpha}, {"hold-alpha", w.HoldAlpha}} {
		if !(l.value > 0 && l.value <= 0.5) {
			return fmt.Errorf("--%s %v: a level is over 0 and at most 0.5, such as 0.05", l.name, l.value)
		}
	}
	if !(w.DesignEffect >= 1 && w.DesignEffect <= 1000) {
		return fmt.Errorf("--design-effect %v: it is 1 to 1000", w.DesignEffect)
	}
	if err := oneOf("--better", w.Better, string(trial.BetterLower), string(trial.BetterHigher)); err != nil {
		return err
	}
	if w.Better == string(trial.BetterHigher) {
		if w.relative >= 1 {
			return fmt.Errorf("--tolerance %s: with --better higher a loss of 100%% would be tolerated; write less, such as +5%%", w.Tolerance)
		}
		w.relative /= 1 - w.relative // the arms change places: control over treatment
	}
	return oneOf("--processes", string(w.Processes), string(processesPlain), string(processesRollout))
}

func (a *app) verdict(file string, w weighing) error {
	data, err := a.readInput(file, maxCountBytes)
	if err != nil {
		return err
	}
	counts, err := parseCounts(data)
	if err != nil {
		return fmt.Errorf("%s:%w", shownPath(file), err)
	}
	out := w.judge(counts)
	if err := a.print(verdictTable(counts, out)); err != nil {
		return err
	}
	if a.format() == formatTable {
		last := verdictCell(trial.GuardrailState{Verdict: out.Verdict})
		if _, err := fmt.Fprintln(a.out, a.style.wrap(a.style.marked(last.mark, out.Why))); err != nil {
			return err
		}
	} else {
		a.say("%s", out.Why)
	}
	switch out.Verdict {
	case trial.VerdictSafe:
		return nil
	case trial.VerdictHarmful:
		return &exit{code: exitStopped}
	}
	return &exit{code: exitTimeout}
}

// process is what rows are weighed by.
type process interface {
	Add(evidence.Counts)
	LogHarm() float64
	LogNoWorse() float64
	LogAnyHarm() float64
}

var _ process = (*evidence.Guard)(nil)

// plainProcess tests each margin by one process. Harm must beat both margins (the smaller e-value
// counts, as either of them may be the one that holds), no worse either of them (their mean).
type plainProcess struct {
	anyHarm                           evidence.RelativeRate
	harmRate, noWorseRate             evidence.RelativeRate
	harmDifference, noWorseDifference evidence.Difference
	relative, absolute                bool // whether there is such a margin
}

func newPlain(relative, absolute float64) *plainProcess {
	return &plainProcess{
		anyHarm:  evidence.NewHarmRate(1),
		harmRate: evidence.NewHarmRate(1 + relative), noWorseRate: evidence.NewNoWorseRate(1 + relative),
		harmDifference: evidence.NewHarmDifference(absolute), noWorseDifference: evidence.NewNoWorseDifference(absolute),
		relative: relative > 0 || absolute == 0, absolute: absolute > 0,
	}
}

func (p *plainProcess) Add(c evidence.Counts) {
	p.anyHarm.Add(c)
	p.harmRate.Add(c)
	p.noWorseRate.Add(c)
	p.harmDifference.Add(c)
	p.noWorseDifference.Add(c)
}

func (p *plainProcess) LogAnyHarm() float64 { return p.anyHarm.LogE() }

func (p *plainProcess) LogHarm() float64 {
	return p.combine(p.harmRate.LogE(), p.harmDifference.LogE(), func(a, b float64) float64 { return min(a, b) })
}

func (p *plainProcess) LogNoWorse() float64 {
	return p.combine(p.noWorseRate.LogE(), p.noWorseDifference.LogE(), func(a, b float64) float64 { return evidence.MeanLogE(a, b) })
}

func (p *plainProcess) combine(relative, absolute float64, both func(a, b float64) float64) float64 {
	switch {
	case !p.absolute:
		return relative
	case !p.relative:
		return absolute
	}
	return both(relative, absolute)
}

// judge weighs every row.
func (w weighing) judge(counts countTable) verdictOutput {
	out := verdictOutput{weighing: w, Verdict: trial.VerdictNoData, Rows: []verdictRow{}}
	var guard process = newPlain(w.relative, w.absolute)
	if w.Processes == processesRollout {
		g := evidence.NewGuard(w.relative, w.absolute)
		guard = &g
	}
	var (
		ratio   evidence.RatioSequence
		effect  = deflator{by: w.DesignEffect}
		harmful bool
		sum     evidence.Counts
	)
	for i, in := range counts.rows {
		c := w.oriented(effect.add(in.counts))
		guard.Add(c)
		ratio.Add(c)
		sum = addCounts(sum, in.counts)
		row := verdictRow{Row: i + 1, ControlExposures: in.counts.Mb, ControlBad: in.counts.Y, TreatmentExposures: in.counts.Mc, TreatmentBad: in.counts.X,
			LogHarm: guard.LogHarm(), LogNoWorse: guard.LogNoWorse(), LogAnyHarm: guard.LogAnyHarm(), Extra: extraOf(counts.extra, in.extra)}
		row.Ratio = w.estimate(&ratio)
		harmful = harmful || row.LogHarm >= math.Log(1/w.Alpha)
		row.Verdict = w.verdictOf(row, harmful, sum)
		row.Alarm = row.Verdict != trial.VerdictSafe && (harmful || row.LogAnyHarm >= math.Log(1/w.HoldAlpha))
		out.Rows = append(out.Rows, row)
		out.Verdict, out.Alarm = row.Verdict, row.Alarm
	}
	out.Why = w.sentence(out, sum)
	return out
}

func (w weighing) verdictOf(row verdictRow, harmful bool, sum evidence.Counts) trial.Verdict {
	switch {
	case harmful:
		return trial.VerdictHarmful
	case sum.Mc == 0 || sum.Mb == 0:
		return trial.VerdictNoData
	case row.LogNoWorse >= math.Log(1/w.PromoteAlpha):
		return trial.VerdictSafe
	}
	return trial.VerdictUndecided
}

// oriented lets the arms change places where more is better: fewer events of the treatment are
// then more of the control.
func (w weighing) oriented(c evidence.Counts) evidence.Counts {
	if w.Better == string(trial.BetterHigher) {
		return evidence.Counts{X: c.Y, Mc: c.Mb, Y: c.X, Mb: c.Mc}
	}
	return c
}

// estimate gives the ratio of treatment over control, with its interval; what lies at the edge of
// what the sequence can tell is left out.
func (w weighing) estimate(r *evidence.RatioSequence) trial.Estimate {
	low, high, value := r.Interval(w.PromoteAlpha)
	if w.Better == string(trial.BetterHigher) {
		low, high, value = 1/high, 1/low, 1/value
	}
	const slack = 1.01
	known := func(x float64) float64 {
		if x < evidence.MinRatio*slack || x > evidence.MaxRatio/slack {
			return 0
		}
		return x
	}
	e := trial.Estimate{Low: known(low), High: known(high)}
	if e.Low > 0 || e.High > 0 {
		e.Value = known(value)
	}
	return e
}

func (w weighing) sentence(out verdictOutput, sum evidence.Counts) string {
	after := fmt.Sprintf("after %d of your intervals", len(out.Rows))
	if out.Verdict == trial.VerdictNoData {
		return fmt.Sprintf("No data %s: both arms need exposures.", after)
	}
	last := out.Rows[len(out.Rows)-1]
	times := ""
	if e := last.Ratio.String(); e != "" {
		times = ", that is " + e + " the control's"
	}
	facts := fmt.Sprintf("The treatment shows %s, the control %s%s; tolerance %s.",
		shareOf(sum.X, sum.Mc), shareOf(sum.Y, sum.Mb), times, w.Tolerance)
	switch out.Verdict {
	case trial.VerdictHarmful:
		return fmt.Sprintf("Harmful: beyond the tolerance %s, at level %v. %s", after, w.Alpha, facts)
	case trial.VerdictSafe:
		return fmt.Sprintf("Safe: proven within the tolerance %s, at level %v. %s", after, w.PromoteAlpha, facts)
	}
	verdict := "Undecided %s"
	if out.Alarm {
		verdict = "Undecided %s, but it looks worse"
	}
	return fmt.Sprintf(verdict+": go on counting. %s", after, facts)
}

func shareOf(bad, of uint64) string {
	return showCount(trial.Count{Bad: bad, Of: of})
}

func addCounts(a, b evidence.Counts) evidence.Counts {
	return evidence.Counts{X: a.X + b.X, Mc: a.Mc + b.Mc, Y: a.Y + b.Y, Mb: a.Mb + b.Mb}
}

func extraOf(names, values []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	extra := make(map[string]string, len(names))
	for i, name := range names {
		extra[name] = values[i]
	}
	return extra
}

// deflator divides counts by a design effect, as guardrails do.
type deflator struct {
	by    float64
	total evidence.Counts
}

func (d *deflator) add(c evidence.Counts) evidence.Counts {
	was := d.total
	d.total = addCounts(was, c)
	return evidence.Counts{
		X: evidence.Effective(was.X, c.X, d.by), Mc: evidence.Effective(was.Mc, c.Mc, d.by),
		Y: evidence.Effective(was.Y, c.Y, d.by), Mb: evidence.Effective(was.Mb, c.Mb, d.by),
	}
}

func verdictTable(counts countTable, out verdictOutput) table {
	t := table{json: out, head: append(slices.Clone(verdictColumns), upper(counts.extra)...),
		empty: "There is a header but no row: add one for each interval."}
	for i, r := range out.Rows {
		row := []cell{text("%d", r.Row), text("%d", r.ControlExposures), text("%d", r.ControlBad), text("%d", r.TreatmentExposures), text("%d", r.TreatmentBad),
			logCell(r.LogHarm), logCell(r.LogNoWorse), logCell(r.LogAnyHarm), ratioCell(r.Ratio.Value), ratioCell(r.Ratio.Low), ratioCell(r.Ratio.High),
			{plain: strconv.FormatBool(r.Alarm), shown: map[bool]string{true: "looks worse", false: "-"}[r.Alarm]}, verdictCell(trial.GuardrailState{Verdict: r.Verdict})}
		for _, v := range counts.rows[i].extra {
			row = append(row, cell{plain: v, shown: cmp.Or(v, "-")})
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func upper(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToUpper(name)
	}
	return out
}

// logCell is the log of an e-value: nine digits for programs, two for people.
func logCell(v float64) cell {
	return cell{plain: strconv.FormatFloat(v, 'f', 9, 64), shown: strconv.FormatFloat(v, 'f', 2, 64)}
}

// ratioCell is one number of an estimate; empty if it is not known.
func ratioCell(v float64) cell {
	if v == 0 {
		return cell{shown: "-"}
	}
	return cell{plain: strconv.FormatFloat(v, 'f', 6, 64), shown: strconv.FormatFloat(v, 'f', 2, 64)}
}
