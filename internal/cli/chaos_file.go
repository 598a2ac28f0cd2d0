package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/gameday"
	"github.com/spf13/cobra"
)

// ofExperimentFile are the flags that a file of an experiment stands for.
var ofExperimentFile = []string{"point", "flag", "error", "latency", "cancel", "reset", "lost-reply", "panic", "bandwidth", "truncate", "corrupt", "sequence", "repeat",
	"rate", "message", "max-active", "max-total", "hypothesis", "description", "share", "max-users", "max-duration", "min-time", "steady-time", "four-eyes",
	"audience", "guardrail", "interval", "min-users"}

// read takes the experiment from a file, if one is given, else from the flags.
func (x *experiment) read(a *app, cmd *cobra.Command, args []string) error {
	if x.file == "" {
		if len(args) == 0 {
			return usage(errors.New("something is missing: NAME of the experiment, or -f FILE"))
		}
		x.spec.Name, x.spec.Goal = args[0], trial.GoalSurvive
		return nil
	}
	if anyChanged(cmd, ofExperimentFile...) {
		return usage(errors.New("--file holds the whole experiment: leave the flags that say what is tried out"))
	}
	data, err := a.readInput(x.file, gameday.MaxFile)
	if err != nil {
		return err
	}
	e, err := gameday.ParseExperiment(shownPath(x.file), data)
	if err != nil {
		return err
	}
	x.fromFile(&e)
	if len(args) > 0 {
		x.spec.Name = args[0]
	}
	return nil
}

// fromFile takes what a file says, with the defaults of the flags.
func (x *experiment) fromFile(e *gameday.Experiment) {
	x.faults.fromFile(e)
	x.point, x.share, x.steadyTime = e.Point, orElse(e.Share, defaultChaosShare), e.SteadyTime
	x.spec = trial.Spec{Name: e.Name, Goal: trial.GoalSurvive, Hypothesis: e.Hypothesis, Description: e.Description, Flag: e.Flag, MaxUnits: e.MaxUsers, FourEyes: e.FourEyes}
	x.audience, x.guardrails, x.interval, x.minUsers = e.Audience, e.Guardrail, e.Interval, e.MinUsers
	x.deadline, x.minTime = orTime(e.MaxDuration, defaultMaxTime), orTime(e.MinTime, defaultChaosStep)
	if x.spec.MaxUnits == 0 {
		x.spec.MaxUnits = defaultMaxUsers
	}
}

func orTime(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// readDay reads a game day, and completes every experiment of it; what is wrong with one names it.
func (a *app) readDay(path string) (gameday.Plan, []*experiment, error) {
	data, err := a.readInput(path, gameday.MaxFile)
	if err != nil {
		return gameday.Plan{}, nil, err
	}
	plan, err := gameday.Parse(shownPath(path), data)
	if err != nil {
		return plan, nil, err
	}
	list := make([]*experiment, len(plan.Steps))
	for i, step := range plan.Steps {
		if step.Experiment == nil {
			continue
		}
		list[i] = &experiment{}
		list[i].fromFile(step.Experiment)
		if err := list[i].complete(); err != nil {
			return plan, nil, usage(fmt.Errorf("step %d, experiment %s: %w", i+1, step.Experiment.Name, err))
		}
	}
	return plan, list, nil
}
