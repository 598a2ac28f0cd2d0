package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/forecast"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

// planOutput is what a plan will take.
type planOutput struct {
	Trial    string        `json:"trial"`
	Traffic  trafficOutput `json:"traffic"`
	Steps    []planStep    `json:"steps"`
	Warnings []string      `json:"warnings"`
}

// trafficOutput is what the forecast is made from, for the whole audience.
type trafficOutput struct {
	Source            string  `json:"source"`
	Minutes           float64 `json:"minutes,omitempty"` // measured over
	RequestsPerMinute float64 `json:"requestsPerMinute"`
	UsersPerMinute    float64 `json:"usersPerMinute"`
	ErrorRate         float64 `json:"errorRate"`
}

// planStep is the forecast of one guardrail at one step, in minutes; absent: never, or not known.
type planStep struct {
	Step            int      `json:"step"` // from 1
	Share           string   `json:"share"`
	Guardrail       string   `json:"guardrail"`
	Safe            *float64 `json:"safeMinutes,omitempty"`
	Detect150       *float64 `json:"detect1_5xMinutes,omitempty"`
	Detect200       *float64 `json:"detect2xMinutes,omitempty"`
	Detect500       *float64 `json:"detect5xMinutes,omitempty"`
	EventsPerMinute float64  `json:"eventsPerMinute"`
	Note            string   `json:"note,omitempty"`
}

var planColumns = []string{"STEP", "SHARE", "GUARDRAIL", "SAFE", "1.5X", "2X", "5X", "EVENTS/MIN", "NOTE"}

// stated is the traffic that the command line states.
type stated struct {
	requests, users float64
	errorRate       string
}

func newRolloutPlan(a *app) *cobra.Command {
	var (
		r ramp
		s stated
	)
	cmd := &cobra.Command{
		Use: "plan [NAME]", Short: "Forecast how long the evidence of a rollout will take", Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.complete(rolloutNoun.names),
		Long: "Forecast, for each step and guardrail, the minutes until a harmless treatment is proven safe and until one that is 1.5, 2 or\n" +
			"5 times as bad is found, as if the rollout were at that step from its start. It warns when a guardrail cannot be decided\n" +
			"before the deadline, and says what to change. The forecast is a rule of thumb, mostly right within a fifth.\n\n" +
			"The plan is that of a file, of the same flags as for start, or of the rollout NAME. The traffic is stated, or else that of the\n" +
			"newest attempt of this rollout, or of the newest one on the same flag. With stated traffic no control plane is needed.",
		Example: `  seatrial rollout plan search-v2
  seatrial rollout plan --flag search --treatment on --control off --steps "5%:10m,50%:safe"
  seatrial rollout plan -f rollout.yaml --requests-per-minute 6000 --users-per-minute 800 --error-rate 0.5%`,
	}
	r.withFlags(a, cmd)
	r.plan.withPlanFlags(cmd)
	flags := cmd.Flags()
	flags.Float64Var(&s.requests, "requests-per-minute", 0, "of the whole audience")
	flags.Float64Var(&s.users, "users-per-minute", 0, "users that are active in a minute, of the whole audience (default as many as requests)")
	flags.StringVar(&s.errorRate, "error-rate", "", "share that fails today, such as 0.5%")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		traffic, known, err := s.traffic()
		if err != nil {
			return usage(err)
		}
		if known && (r.file != "" || anyChanged(cmd, ofPlanFile...)) {
			if err := r.draft(a, cmd, args); err != nil {
				return err
			}
			return a.printPlan(r.spec, traffic, "stated")
		}
		return a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
			source := "stated"
			if err := r.planned(a, cmd, args, c); err != nil {
				return err
			}
			if !known {
				if traffic, source, err = recentTraffic(cmd.Context(), c, r.spec); err != nil {
					return err
				}
			}
			return a.printPlan(r.spec, traffic, source)
		})(cmd, args)
	}
	return cmd
}

func (s stated) traffic() (t forecast.Traffic, known bool, err error) {
	if s.requests == 0 && s.users == 0 && s.errorRate == "" {
		return t, false, nil
	}
	if !(s.requests > 0 && s.requests <= 1e12) || !(s.users >= 0 && s.users <= 1e12) || s.errorRate == "" {
		return t, false, errors.New("state the traffic as --requests-per-minute 6000 --error-rate 0.5%, and --users-per-minute 800 if you know it; or leave all of them out to take what was measured")
	}
	rate, err := parseRate(s.errorRate)
	if err != nil {
		return t, false, fmt.Errorf("--error-rate: %w", err)
	}
	return forecast.Stated(s.requests, s.users, rate), true, nil
}

// draft reads a plan that need not have a name.
func (r *ramp) draft(a *app, cmd *cobra.Command, args []string) error {
	r.spec.Goal = trial.GoalPromote
	if len(args) == 0 && r.file == "" {
		args = []string{"draft"}
	}
	if err := r.resolve(a, cmd, args); err != nil {
		return err
	}
	r.spec = trial.Normalize(r.spec)
	if len(r.spec.Steps) == 0 || len(r.spec.Guardrails) == 0 {
		return errors.New("the plan has no steps or no guardrails: there is nothing to forecast")
	}
	return nil
}

// planned is the plan of the command line, or else that of the rollout which is named.
func (r *ramp) planned(a *app, cmd *cobra.Command, args []string, c *api.Client) error {
	if r.file != "" || anyChanged(cmd, ofPlanFile...) {
		return r.draft(a, cmd, args)
	}
	if len(args) == 0 {
		return usage(errors.New("say which plan: the NAME of a rollout, -f FILE, or the flags of `seatrial rollout start`"))
	}
	t, err := rolloutNoun.get(cmd.Context(), c, args[0])
	r.spec = t.Spec
	return err
}

// recentTraffic measures the traffic from the journal of the newest trial of the same name, or
// else on the same flag.
func recentTraffic(ctx context.Context, c *api.Client, spec trial.Spec) (forecast.Traffic, string, error) {
	trials, err := c.Trials(ctx)
	if err != nil {
		return forecast.Traffic{}, "", err
	}
	slices.SortStableFunc(trials, func(a, b api.Trial) int {
		if mine := a.Spec.Name == spec.Name; mine != (b.Spec.Name == spec.Name) {
			return map[bool]int{true: -1, false: 1}[mine]
		}
		return b.State.StartedAt.Compare(a.State.StartedAt)
	})
	for _, t := range trials {
		if t.Spec.Name != spec.Name && (showFlag(t.Spec) != showFlag(spec) || (t.Spec.Cohorts == nil) != (spec.Cohorts == nil)) {
			continue
		}
		var m forecast.Meter
		err := c.EachInterval(ctx, t.Spec.Name, 0, func(one api.Interval) error {
			m.Add(t.Spec, one.Interval)
			return nil
		})
		if err != nil {
			return forecast.Traffic{}, "", err
		}
		if traffic, ok := m.Traffic(); ok {
			return traffic, fmt.Sprintf("measured in %s, attempt %d", t.Spec.Name, t.State.Attempt), nil
		}
	}
	return forecast.Traffic{}, "", fmt.Errorf("nothing was measured yet of %s: state the traffic, such as --requests-per-minute 6000 --error-rate 0.5%%", showFlag(spec))
}

func (a *app) printPlan(spec trial.Spec, traffic forecast.Traffic, source string) error {
	out := forecastOf(spec, traffic, source)
	t := table{json: out, head: planColumns}
	for _, s := range out.Steps {
		never, within := "never", "tolerated"
		if s.Note != "" {
			never, within = "?", "?"
		}
		t.rows = append(t.rows, []cell{text("%d", s.Step), text("%s", s.Share), text("%s", s.Guardrail), minutesCell(s.Safe, never), minutesCell(s.Detect150, within),
			minutesCell(s.Detect200, within), minutesCell(s.Detect500, within), {plain: trimFloat(s.EventsPerMinute), shown: perMinute(s.EventsPerMinute)}, {plain: s.Note, shown: s.Note}})
	}
	if err := a.print(t); err != nil {
		return err
	}
	a.say("Traffic (%s): %s requests and %s active users a minute, %.3g%% of requests fail. Minutes count from the start of a step's share.",
		source, perMinute(out.Traffic.RequestsPerMinute), perMinute(out.Traffic.UsersPerMinute), out.Traffic.ErrorRate*100)
	for _, w := range out.Warnings {
		a.say("%s", a.narration.marked(markWarn, w))
	}
	return nil
}

func forecastOf(spec trial.Spec, traffic forecast.Traffic, source string) planOutput {
	out := planOutput{Trial: spec.Name, Steps: []planStep{}, Warnings: []string{},
		Traffic: trafficOutput{Source: source, Minutes: traffic.Minutes, RequestsPerMinute: traffic.Requests, UsersPerMinute: traffic.AtRisk}}
	if traffic.Requests > 0 {
		out.Traffic.ErrorRate = traffic.BadRequests / traffic.Requests
	}
	for i, step := range spec.Steps {
		for _, f := range forecast.Step(spec, i, traffic) {
			out.Steps = append(out.Steps, planStep{Step: i + 1, Share: showStep(step), Guardrail: f.Guardrail, Safe: minutesOf(f.Safe),
				Detect150: minutesOf(f.Detect[0]), Detect200: minutesOf(f.Detect[1]), Detect500: minutesOf(f.Detect[2]), EventsPerMinute: f.Events, Note: f.Unknown})
		}
	}
	out.Warnings = warnings(spec, traffic)
	return out
}

// warnings tells of guardrails that the plan waits for in vain.
func warnings(spec trial.Spec, traffic forecast.Traffic) []string {
	list := []string{}
	last := len(spec.Steps) - 1
	available := forecast.Available(spec).Minutes()
	for i, f := range forecast.Step(spec, last, traffic) {
		interval := time.Duration(spec.Interval).Minutes()
		switch {
		case spec.Guardrails[i].Mode == trial.ModeShadow:
		case f.Unknown != "":
			list = append(list, fmt.Sprintf("%s: %s, so nobody can tell how long it takes", f.Guardrail, f.Unknown))
		case f.Safe > available:
			list = append(list, fmt.Sprintf("%s cannot be proven safe before the deadline: it takes %s at %s, and %s are left there. %s", f.Guardrail,
				neverOr(f.Safe), showStep(spec.Steps[last]), showMinutes(available), remedies(spec, i, traffic)))
		case f.Detect[len(f.Detect)-1] < interval/2 && spec.Guardrails[i].Mode == trial.ModeEnforce && interval >= 1:
			list = append(list, fmt.Sprintf("%s would find a regression of 5x within %s, but is weighed only every %s: a shorter --interval would stop it sooner", f.Guardrail,
				showMinutes(f.Detect[len(f.Detect)-1]), spec.Interval))
		}
	}
	return list
}

// perMinute writes a rate: whole numbers with commas, small ones with three digits.
func perMinute(rate float64) string {
	if rate < 10 || rate > 1e12 {
		return fmt.Sprintf("%.3g", rate)
	}
	return grouped(int(math.Round(rate)))
}

func neverOr(minutes float64) string {
	if math.IsInf(minutes, 1) {
		return "for ever"
	}
	return "about " + showMinutes(minutes)
}

// remedies says what would let a guardrail be decided in time.
func remedies(spec trial.Spec, i int, traffic forecast.Traffic) string {
	r, g := forecast.Remedies(spec, i, traffic), spec.Guardrails[i]
	var list []string
	if r.Relative > 0 {
		with := g
		with.Relative, with.Absolute = r.Relative, 0
		list = append(list, "a tolerance of "+showTolerance(with))
	}
	if r.Absolute > 0 {
		list = append(list, "of +"+trimFloat(r.Absolute*100)+"pp")
	}
	if r.Share > 0 {
		list = append(list, "a last step of "+showShare(r.Share))
	}
	if r.Deadline > 0 {
		list = append(list, "a deadline of "+trial.Duration(r.Deadline).String())
	}
	if len(list) == 0 {
		return "Nothing but more traffic would help: make it shadow, or let a person promote."
	}
	return "What would do: " + either(slices.Values(list)) + "."
}

func minutesOf(minutes float64) *float64 {
	if math.IsInf(minutes, 0) || math.IsNaN(minutes) {
		return nil
	}
	rounded := math.Round(minutes*100) / 100
	return &rounded
}

// minutesCell shows a time, or the word for one that never comes.
func minutesCell(minutes *float64, never string) cell {
	if minutes == nil {
		return cell{shown: never}
	}
	return cell{plain: strconv.FormatFloat(*minutes, 'f', -1, 64), shown: showMinutes(*minutes)}
}
