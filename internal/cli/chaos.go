package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/spf13/cobra"
)

func newChaos(a *app) *cobra.Command {
	n := chaosNoun
	return group(groupWork, "chaos", "Experiments: inject faults for a few users, against an equal-size control",
		newChaosStart(a), newChaosRun(a), n.newGet(a),
		n.newList(a, "There are no experiments yet. `seatrial chaos start --help` shows how to start one."),
		n.newAct(a, trial.VerbPause, "Stay at this share until told otherwise; harm still stops the experiment", "paused"),
		n.newAct(a, trial.VerbResume, "Let the evidence decide again", "resumed"),
		n.newAct(a, trial.VerbApprove, "Let an experiment that waits for approval put its fault on, or leave its step", "approved"),
		n.newAct(a, trial.VerbAbort, "Fault off, now", "aborted: the fault is off"),
		n.newStatus(a), n.newExplain(a), n.newReplay(a), newChaosReport(a), newChaosJournal(a), newChaosSchedule(a),
		newChaosOff(a), newChaosOn(a), newChaosLever(a))
}

// experiment is what the command line says about a chaos experiment.
type experiment struct {
	plan
	faults       faultFlags
	point, share string
	steadyTime   time.Duration
}

// Defaults of an experiment: small enough to be started on a working day.
const (
	defaultChaosShare = "10%"
	defaultMaxUsers   = 2000
	defaultMaxTime    = 10 * time.Minute
	defaultChaosStep  = time.Minute
)

// experimentWords explain the flags of an experiment.
const experimentWords = "The fault is a flag of kind fault, fault-POINT unless --flag names another; it is made if it is missing. A fault is written\n" +
	"WHAT[:WEIGHT][:PHASE], where the weight is its share among the faults. The phase is before (default), after, when the call took\n" +
	"effect and only its reply is lost or late, or instead of the call. Services allow faults by seatrial.WithFaults, within caps of\n" +
	"their own; a fault lives on a short lease, so it ends by itself when the control plane is gone. The hypothesis is what you\n" +
	"expect to stay true; it is required.\n\n" +
	"Before the fault is on, both arms get the control for --steady-time, and everything must look well.\n" +
	"Without --guardrail, errors:+20%|+2pp and latency:+20%|+10pp decide: 2,000 users can prove that, and no less."

func newChaosStart(a *app) *cobra.Command {
	var x experiment
	cmd := &cobra.Command{
		Use: "start [NAME]", Short: "Start an experiment", Args: cobra.MaximumNArgs(1),
		Long: "Start an experiment: faults at one point for a share of the users, an equal-size control without them, and a verdict.\n\n" + experimentWords,
		Example: `  seatrial chaos start payment-fails --point payment --error 503 --rate 60% \
      --hypothesis "orders go on while payment fails"
  seatrial chaos start payment-mixed --point payment --error 503:2 --latency 100ms..300ms:1 --cancel=1 --rate 60% --share 10% \
      --hypothesis "orders go on" --max-users 5000 --max-duration 10m --guardrail errors:"+20%|+1pp" -w
  seatrial chaos start retries --point payment --sequence "2*503,1*ok" --hypothesis "the third try succeeds"
  seatrial chaos start again --flag fault-payment --hypothesis "orders go on"
  seatrial chaos start -f experiment.yaml`,
	}
	x.withFlags(a, cmd)
	x.plan.withFlags(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if err := x.read(a, cmd, args); err != nil {
			return err
		}
		return a.startChaos(cmd.Context(), c, &x)
	})
	return cmd
}

// withFlags adds the flags that say what is tried and on whom, without those of the plan.
func (x *experiment) withFlags(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&x.file, "file", "f", "", "read the experiment from this YAML or JSON file, - for standard input: its fields are these flags")
	flags.StringVar(&x.point, "point", "", "the point where faults are injected, which is the name of a dependency")
	flags.StringVar(&x.spec.Flag, "flag", "", "the flag of kind fault (default fault-POINT)")
	x.faults.withFlags(cmd)
	flags.StringVar(&x.spec.Hypothesis, "hypothesis", "", `what you expect to stay true, such as "orders go on while payment fails" (required)`)
	flags.StringVar(&x.share, "share", defaultChaosShare, "share of the users who get the fault; the control is as large, so 50% at most")
	flags.Uint64Var(&x.spec.MaxUnits, "max-users", defaultMaxUsers, "stop when this many users got the fault")
	positiveVar(flags, &x.deadline, "max-duration", defaultMaxTime, "stop after this time, 1h at most")
	positiveVar(flags, &x.minTime, "min-time", defaultChaosStep, "the least time before it may be called survived")
	flags.BoolVar(&x.spec.FourEyes, "four-eyes", false, "somebody else has to approve it within an hour, before the fault is on")
	positiveVar(flags, &x.steadyTime, "steady-time", 0, "how long both arms get the control before the fault is on (default 30s, at least two intervals)")
	a.completeFlag(cmd, "flag", flagNames)
	a.completeFlag(cmd, "point", pointNames)
}

func (a *app) startChaos(ctx context.Context, c *api.Client, x *experiment) error {
	f, err := a.prepareChaos(ctx, c, x, "start")
	if err != nil || x.w.dryRun {
		return err
	}
	t, err := c.StartTrial(ctx, x.spec, x.w.to(""))
	if err != nil {
		return a.takeBack(ctx, c, f, err)
	}
	return a.started(ctx, c, chaosNoun, t, x.w, x.watch)
}

// prepareChaos completes and checks an experiment and stores its flag. In a dry run it tells what
// would be done instead.
func (a *app) prepareChaos(ctx context.Context, c *api.Client, x *experiment, would string) (faultFlag, error) {
	if err := x.complete(); err != nil {
		return faultFlag{}, err
	}
	f, err := x.faultFlag(ctx, c)
	if err != nil {
		return faultFlag{}, err
	}
	if err := x.check(ctx, c, f.want); err != nil {
		return faultFlag{}, err
	}
	if x.w.dryRun {
		return f, a.wrote(x.w, chaosPlan{Flag: f.want, Trial: trial.Normalize(x.spec)}, "experiment %s would %s with flag %s", x.spec.Name, would, f.want.Key)
	}
	return f, a.storeFault(ctx, c, &f, x.w)
}

// chaosPlan is what a dry run of chaos start prints.
type chaosPlan struct {
	Flag  flag.Flag  `json:"flag"`
	Trial trial.Spec `json:"trial"`
}

// complete makes the plan of the experiment; what is missing is a mistake in the command line.
func (x *experiment) complete() error {
	switch {
	case x.spec.Hypothesis == "":
		return usage(errors.New(`an experiment needs a hypothesis: say what you expect to stay true, such as --hypothesis "orders go on while payment fails"`))
	case x.point == "" && x.spec.Flag == "":
		return usage(errors.New("say where: --point NAME of the dependency, or --flag of kind fault that is there already"))
	case x.point != "" && !x.faults.any():
		return usage(errors.New("say what goes wrong: --error 503, --latency 100ms..300ms, --cancel or another fault"))
	case x.point == "" && x.faults.any():
		return usage(errors.New("faults are given, but no --point to inject them at"))
	}
	share, err := parseShare(x.share)
	if err != nil {
		return usage(fmt.Errorf("--share: %w", err))
	}
	x.spec.Steps = []trial.Step{{Share: share}}
	x.spec.Flag = firstOf(x.spec.Flag, "fault-"+x.point)
	x.spec.Treatment, x.spec.Control = faultOn, faultOff
	x.spec.SteadyTime = trial.Duration(x.steadyTime)
	if err := x.finish(); err != nil {
		return err
	}
	if len(x.spec.Guardrails) == 0 {
		x.spec.Guardrails = chaosGuardrails()
	}
	return nil
}

// chaosGuardrails have the tolerances that [defaultMaxUsers] can prove: with those of a rollout, or
// with fewer users, every experiment would end undecided.
func chaosGuardrails() []trial.Guardrail {
	return []trial.Guardrail{
		{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.02},
		{Name: "latency", Metric: trial.MetricLatency, Mode: trial.ModeEnforce, Relative: 0.2, Absolute: 0.1},
	}
}

// The variants of the fault flags that chaos start makes.
const (
	faultOn  = "on"
	faultOff = "off"
)

// faultFlag is the flag of an experiment.
type faultFlag struct {
	want   flag.Flag // as it should be
	before int64     // the revision that is stored; 0: none
	etag   string    // of that
	same   bool      // what is stored is as it should be
	wrote  int64     // the revision that the command stored; 0: none
}

// faultFlag gives the flag to experiment with, as it should be.
func (x *experiment) faultFlag(ctx context.Context, c *api.Client) (faultFlag, error) {
	stored, etag, err := c.Flag(ctx, x.spec.Flag)
	missing := api.NotFound(err)
	if err != nil && !missing {
		return faultFlag{}, err
	}
	if missing && !x.faults.any() {
		return faultFlag{}, orSuggest(err, "flag", x.spec.Flag, known(ctx, c, flagNames))
	}
	if !x.faults.any() {
		return faultFlag{want: stored.Flag, before: stored.Revision, etag: etag, same: true}, nil
	}
	program, err := x.faults.program(x.point)
	if err != nil {
		return faultFlag{}, usage(err)
	}
	value, err := json.Marshal(program)
	if err != nil {
		return faultFlag{}, err
	}
	if missing {
		return faultFlag{want: newFaultFlag(x.spec.Flag, x.point, value)}, nil
	}
	if stored.Kind != flag.KindFault {
		return faultFlag{}, fmt.Errorf("flag %s is of kind %s: faults need one of kind fault, name another with --flag", stored.Key, stored.Kind)
	}
	f := faultFlag{before: stored.Revision, etag: etag}
	f.want, f.same = withFault(stored.Flag, value)
	return f, nil
}

func newFaultFlag(key, point string, program json.RawMessage) flag.Flag {
	return flag.Flag{Key: key, Kind: flag.KindFault, Type: flag.TypeObject, Enabled: true,
		Description: "faults at " + point,
		Variants:    []flag.Variant{{Name: faultOff, Value: json.RawMessage("null")}, {Name: faultOn, Value: program}}, DefaultVariant: faultOff}
}

// withFault sets the program of a fault flag and reports whether it had it already.
func withFault(f flag.Flag, program json.RawMessage) (flag.Flag, bool) {
	f.Variants = slices.Clone(f.Variants)
	same := f.Enabled
	f.Enabled = true
	for _, v := range []flag.Variant{{Name: faultOff, Value: json.RawMessage("null")}, {Name: faultOn, Value: program}} {
		i := slices.IndexFunc(f.Variants, func(have flag.Variant) bool { return have.Name == v.Name })
		switch {
		case i < 0:
			f.Variants, same = append(f.Variants, v), false
		case !sameJSON(f.Variants[i].Value, v.Value):
			f.Variants[i], same = v, false
		}
	}
	return f, same
}

func sameJSON(x, y json.RawMessage) bool {
	var a, b any
	return json.Unmarshal(x, &a) == nil && json.Unmarshal(y, &b) == nil && reflect.DeepEqual(a, b)
}

// check applies the server's own rules before anything is written, so that a refused plan leaves
// no flag behind.
func (x *experiment) check(ctx context.Context, c *api.Client, f flag.Flag) error {
	set := flag.Set{Flags: []flag.Flag{f}}
	if x.spec.Audience != nil {
		segments, err := c.Segments(ctx)
		if err != nil {
			return err
		}
		for _, s := range segments {
			set.Segments = append(set.Segments, s.Segment)
		}
	}
	err := trial.Normalize(x.spec).Validate(set)
	var problems *flag.Problems
	if errors.As(err, &problems) {
		return usage(errors.New(strings.Join(namesOf(problems.List, func(p flag.Problem) string { return p.Detail }), "\n  ")))
	}
	return err
}

// storeFault writes the fault flag where it is missing or different.
func (a *app) storeFault(ctx context.Context, c *api.Client, f *faultFlag, w writing) error {
	store, words := c.PutFlag, "flag %s has the new faults"
	switch {
	case f.same:
		return nil
	case f.before == 0:
		store, words = c.CreateFlag, "flag %s created"
	}
	stored, err := store(ctx, f.want, w.to(f.etag))
	if err != nil {
		return err
	}
	f.wrote = stored.Revision
	a.say(words, f.want.Key)
	return nil
}

// takeBack makes the flag of an experiment that the server refused what it was before, unless
// somebody has changed it meanwhile. It gives what the refusal was.
func (a *app) takeBack(ctx context.Context, c *api.Client, f faultFlag, refused error) error {
	var problem *api.Problem
	if f.wrote == 0 || !errors.As(refused, &problem) {
		return refused
	}
	now, etag, err := c.Flag(ctx, f.want.Key)
	if err != nil || now.Revision != f.wrote {
		return refused
	}
	w := api.Write{IfMatch: etag, Reason: "the experiment that it was made for was refused"}
	if f.before == 0 {
		if c.DeleteFlag(ctx, f.want.Key, w) == nil {
			a.say("flag %s removed again", f.want.Key)
		}
		return refused
	}
	if _, err := c.RestoreFlag(ctx, f.want.Key, f.before, w); err == nil {
		a.say("flag %s has the faults from before again", f.want.Key)
	}
	return refused
}
