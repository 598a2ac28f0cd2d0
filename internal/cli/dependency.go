package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

func newDependency(a *app) *cobra.Command {
	return group(groupLook, "dependency", "Called services: breakers, retry budgets and limits, as their callers report them",
		newDependencyList(a), newDependencyGet(a))
}

func dependencyNames(ctx context.Context, c *api.Client) ([]string, error) {
	list, err := c.Dependencies(ctx, "")
	return slices.Compact(namesOf(list, func(d api.Dependency) string { return d.Name })), err
}

// serviceNames offers the services that report dependencies or points.
func serviceNames(ctx context.Context, c *api.Client) ([]string, error) {
	list, err := c.Dependencies(ctx, "")
	names := namesOf(list, func(d api.Dependency) string { return d.Service })
	points, failed := c.Points(ctx, "")
	for _, p := range points {
		names = append(names, namesOf(p.Services, func(s api.PointService) string { return s.Name })...)
	}
	if err == nil {
		err = failed
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

var dependencyColumns = []string{"NAME", "SERVICE", "STATE", "SINCE", "POLICY", "BUDGET", "IN-FLIGHT", "LIMIT", "REFUSED/MIN", "RETRIES/MIN"}

func newDependencyList(a *app) *cobra.Command {
	var (
		service string
		watch   bool
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List called services, with the state of their circuit breakers", Args: cobra.NoArgs,
		Long: "List called services: a line for each calling service and each variant of the policy that it uses. STATE is the worst of its\n" +
			"processes, and says in how many of them; BUDGET is the lowest level of the retry budget; the rates are of the last minute.\n\n" +
			"With -w the list is redrawn on a terminal until you interrupt it; elsewhere a line is printed for each change of a breaker.",
		Example: "  seatrial dependency list -w\n  seatrial dependency list --service checkout -o json",
	}
	cmd.Flags().StringVar(&service, "service", "", "only what this service calls")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on until interrupted")
	a.completeFlag(cmd, "service", serviceNames)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if watch {
			return a.watchDependencies(cmd.Context(), c, service)
		}
		list, err := c.Dependencies(cmd.Context(), service)
		if err != nil {
			return err
		}
		return a.print(dependencyTable(list))
	})
	return cmd
}

const noDependencies = "No dependencies. Services report theirs as soon as they call one through the client; do they have an SDK key of this environment?"

func dependencyTable(list []api.Dependency) table {
	t := table{json: list, head: dependencyColumns, empty: noDependencies}
	for _, d := range list {
		t.rows = append(t.rows, slices.Concat([]cell{text("%s", d.Name), text("%s", d.Service), dependencyState(d), ago(d.Since), policyOf(d.Policy)}, numberCells(d.DependencyNumbers)))
	}
	return t
}

// dependencyState says in how many processes it is the state, unless it is in all.
func dependencyState(d api.Dependency) cell {
	if d.Instances == 0 {
		return marked(markUnknown, "gone")
	}
	c := breakerState(d.State, false)
	if d.InState < d.Instances {
		c.shown = fmt.Sprintf("%s in %d of %d", d.State, d.InState, d.Instances)
	}
	return c
}

func breakerState(state string, gone bool) cell {
	switch {
	case gone:
		return cell{plain: "gone", shown: "gone, was " + state, mark: markUnknown}
	case state == "open":
		return marked(markBad, state)
	case state == "closed":
		return marked(markGood, state)
	}
	return marked(markWarn, state)
}

func policyOf(variant string) cell { return cell{plain: variant, shown: orElse(variant, "-")} }

// numberCells are the columns from BUDGET on.
func numberCells(n api.DependencyNumbers) []cell {
	return []cell{budget(n.Budget), number(n.InFlight), number(n.Limit), rate(n.PerMinute.Refused(), markBad), rate(n.PerMinute.Retry, markWarn)}
}

// budget shows percent; TSV has the share.
func budget(level *float64) cell {
	if level == nil {
		return cell{shown: "-"}
	}
	c := cell{plain: strconv.FormatFloat(*level, 'g', 4, 64), shown: fmt.Sprintf("%.0f%%", 100**level)}
	if *level < 0.2 {
		c.mark = markWarn
	}
	return c
}

func number(n *float64) cell {
	if n == nil {
		return cell{shown: "-"}
	}
	return text("%s", strconv.FormatFloat(*n, 'f', -1, 64))
}

// rate shows how often something bad happens; nothing is less important.
func rate(n float64, m mark) cell {
	c := cell{plain: strconv.FormatFloat(n, 'g', 4, 64), mark: m}
	switch {
	case n == 0:
		c.mark = markNone
	case n < 10:
		c.shown = fmt.Sprintf("%.1f", n)
	default:
		c.shown = fmt.Sprintf("%.0f", n)
	}
	return c
}

// watchDependencies shows them until ctx ends or the control plane is away for too long.
func (a *app) watchDependencies(ctx context.Context, c *api.Client, service string) error {
	if a.format() != formatTable || !a.style.terminal {
		return a.followTransitions(ctx, func(ctx context.Context, after int64) ([]api.Transition, error) {
			return c.Transitions(ctx, service, after)
		})
	}
	s := screen{out: a.out}
	return again(ctx, func(ctx context.Context) (bool, error) {
		list, err := c.Dependencies(ctx, service)
		if err != nil {
			return false, err
		}
		return false, s.draw(a.style.dependencies(list, time.Now()), a.style.width(), a.style.height())
	}, a.tellAway)
}

// dependencies is what is redrawn: the moment and how many are open, then the list.
func (s style) dependencies(list []api.Dependency, now time.Time) string {
	if len(list) == 0 {
		return s.paint(markQuiet, now.Format(time.TimeOnly)) + "  " + noDependencies
	}
	open := 0
	for _, d := range list {
		if d.Instances > 0 && d.State != "closed" {
			open++
		}
	}
	state := s.marked(markGood, "all breakers are closed")
	if open > 0 {
		state = s.marked(markBad, fmt.Sprintf("%d of %d not closed", open, len(list)))
	}
	return fmt.Sprintf("%s  %s\n\n", s.paint(markQuiet, now.Format(time.TimeOnly)), state) + s.table(dependencyColumns, dependencyTable(list).rows)
}

var transitionColumns = []string{"TIME", "NAME", "SERVICE", "INSTANCE", "POLICY", "FROM", "TO"}

// followTransitions prints a line for each change of a breaker that comes from now on; fetch gives
// those after a number.
func (a *app) followTransitions(ctx context.Context, fetch func(ctx context.Context, after int64) ([]api.Transition, error)) error {
	after, begun := int64(0), false
	return again(ctx, func(ctx context.Context) (bool, error) {
		list, err := fetch(ctx, after)
		if err != nil {
			return false, err
		}
		if len(list) > 0 {
			after = list[len(list)-1].Seq
		}
		if begun {
			return false, a.printTransitions(list)
		}
		begun = true
		a.say("Waiting for changes of breakers; `seatrial dependency list` shows how they are now.")
		return false, nil
	}, a.tellAway)
}

func (a *app) printTransitions(list []api.Transition) error {
	for _, t := range list {
		var err error
		switch a.format() {
		case formatJSON:
			err = a.printLine(t)
		case formatTSV:
			err = writeTSV(a.out, [][]cell{transitionRow(t)})
		default:
			_, err = fmt.Fprintln(a.out, a.style.transition(t))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func transitionRow(t api.Transition) []cell {
	return []cell{text("%s", t.At.UTC().Format(time.RFC3339)), text("%s", t.Dependency), text("%s", t.Service), text("%s", t.Instance), text("%s", t.Policy), text("%s", t.From), text("%s", t.To)}
}

func (s style) transition(t api.Transition) string {
	who := t.Service + " " + t.Instance
	if t.Policy != "" {
		who += " (" + t.Policy + ")"
	}
	to := breakerState(t.To, false)
	return fmt.Sprintf("%s  %s  %s %s %s  %s", t.At.Local().Format(time.TimeOnly), t.Dependency, t.From, s.choose("→", "->"), s.paint(to.mark, s.display(to)), s.paint(markQuiet, who))
}

var instanceColumns = []string{"SERVICE", "INSTANCE", "STATE", "SINCE", "POLICY", "BUDGET", "IN-FLIGHT", "LIMIT", "REFUSED/MIN", "RETRIES/MIN", "LAST SEEN"}

func newDependencyGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show a called service in each process that calls it, and the last changes of their breakers", Args: cobra.ExactArgs(1),
		Example: "  seatrial dependency get payment", ValidArgsFunction: a.complete(dependencyNames),
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		d, err := c.Dependency(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "dependency", args[0], known(cmd.Context(), c, dependencyNames))
		}
		return a.printDependency(d)
	})
	return cmd
}

func (a *app) printDependency(d api.DependencyDetail) error {
	var rows [][]cell
	for _, i := range d.Instances {
		rows = append(rows, slices.Concat([]cell{text("%s", i.Service), text("%s", i.Instance), breakerState(i.State, i.Gone), ago(i.Since), policyOf(i.Policy)},
			numberCells(i.DependencyNumbers), []cell{ago(i.LastSeen)}))
	}
	switch a.format() {
	case formatJSON:
		return a.printJSON(d)
	case formatTSV:
		return writeTSV(a.out, rows)
	}
	_, err := io.WriteString(a.out, a.style.dependencyDetail(d, rows))
	a.adviseOn(d)
	return err
}

// dependencyDetail tells first how it is, then of each process, then what has changed.
func (s style) dependencyDetail(d api.DependencyDetail, rows [][]cell) string {
	var b strings.Builder
	for _, one := range d.Dependencies {
		state := dependencyState(one)
		fmt.Fprintf(&b, "%s  %s, called by %s%s, since %s\n", s.bold(d.Name), s.paint(state.mark, s.display(state)), one.Service, underPolicy(one.Policy), since(time.Since(one.Since)))
		if happened := inWords(one.Totals); happened != "" {
			fmt.Fprintf(&b, "%s\n", s.paint(markQuiet, happened))
		}
	}
	b.WriteString("\n" + s.table(instanceColumns, rows))
	if len(d.Transitions) > 0 {
		b.WriteString("\n" + s.bold("Last changes") + "\n")
	}
	for _, t := range d.Transitions[max(0, len(d.Transitions)-shownTransitions):] {
		b.WriteString(s.transition(t) + "\n")
	}
	return b.String()
}

// shownTransitions bounds the changes that a person is shown; JSON has all that are remembered.
const shownTransitions = 10

func underPolicy(variant string) string {
	if variant == "" {
		return ""
	}
	return " under policy " + variant
}

// inWords lists what has happened, in the order in which it matters.
func inWords(e api.EventCounts) string {
	var parts []string
	for _, one := range []struct {
		n    float64
		what string
	}{
		{e.Failure, "attempts failed"}, {e.Timeout, "timeouts"}, {e.Retry, "retries"}, {e.RetryBudget, "retries over budget"}, {e.RefusedOpen, "refused by the breaker"},
		{e.RefusedFull, "refused as too many were under way"}, {e.RefusedLimited, "refused by the rate limit"}, {e.Hedge, "hedges"}, {e.Fallback, "fallbacks"}, {e.Opened, "times opened"},
	} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", one.n, one.what))
		}
	}
	return strings.Join(parts, ", ")
}

// adviseOn says where to look on, if something is wrong.
func (a *app) adviseOn(d api.DependencyDetail) {
	for _, one := range d.Dependencies {
		if one.Instances > 0 && one.State != "closed" {
			a.say("See what fails: seatrial trace list --service %s --errors", one.Service)
			return
		}
	}
}
