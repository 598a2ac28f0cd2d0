// Package gameday reads the files of game days and of experiments, and says how a game day goes on.
// It is pure: the command line reads the files, asks the people and starts the experiments.
//
// A game day is a list of steps, carried out one after the other:
//
//	title: Payment
//	deadline: 1h              # of the whole; default 4h, at most 24h
//	onWeakness: stop          # or continue, with what does not depend on it
//	steps:
//	- experiment:             # the fields are the flags of `seatrial chaos start`
//	    name: payment-fails
//	    hypothesis: orders go on while payment fails
//	    point: payment
//	    error: 503
//	    rate: 60%
//	    maxUsers: 500
//	    maxDuration: 10m
//	- pause: 2m               # let everything settle
//	- pause: ask              # wait for a person
//	  message: Is the on-call engineer at the desk?
//	- experiment: ...
//
// Every experiment is bounded by itself on the server (maximum duration, number of users, leases), so
// a game day whose command is killed leaves nothing on.
package gameday

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// Bounds of a game day.
const (
	DefaultDeadline = 4 * time.Hour
	MaxDeadline     = 24 * time.Hour
	MaxSteps        = 100
	MaxFile         = 256 << 10 // bytes
	MaxPause        = 8 * time.Hour
)

// Policy says what a weakness does to the rest of the game day.
type Policy string

// The policies. Stop is the default.
const (
	Stop     Policy = "stop"
	Continue Policy = "continue"
)

// Plan is a game day as its file says.
type Plan struct {
	Title       string
	Description string
	Deadline    time.Duration
	OnWeakness  Policy
	Steps       []Step
}

// Step is one step: an experiment, or a pause.
type Step struct {
	Experiment *Experiment
	Pause      time.Duration // 0: none
	Ask        bool          // wait for a person
	Message    string        // of a pause, for people
}

// Experiment is what the flags of `seatrial chaos start` say, in the same notations; a field that is
// left out has the default of its flag. `seatrial chaos start --help` describes them.
type Experiment struct {
	Name, Hypothesis, Description string
	Point, Flag                   string

	Error, Latency, Cancel, Reset, LostReply, Panic, Bandwidth, Truncate, Corrupt []string

	Sequence, Rate, Message string
	Repeat                  bool
	MaxActive, MaxTotal     int

	Share, Audience                            string
	Guardrail                                  []string
	MaxUsers, MinUsers                         uint64
	FourEyes                                   bool
	MaxDuration, MinTime, SteadyTime, Interval time.Duration
}

// Experiments gives those of the plan, in order.
func (p *Plan) Experiments() []*Experiment {
	var list []*Experiment
	for i := range p.Steps {
		if e := p.Steps[i].Experiment; e != nil {
			list = append(list, e)
		}
	}
	return list
}

// Proceed says whether a game day goes on after an experiment that ended so, and why not. An
// inconclusive experiment has shown no weakness, so it goes on; one that was aborted stops the game
// day, as somebody or something wanted no faults.
func (p *Plan) Proceed(name string, result trial.Result) (why string, ok bool) {
	switch result {
	case trial.ResultSurvived, trial.ResultInconclusive:
		return "", true
	case trial.ResultWeaknessFound:
		if p.OnWeakness == Continue {
			return "", true
		}
		return fmt.Sprintf("%s found a weakness: mend it, and hold the game day again (onWeakness: continue goes on)", name), false
	case trial.ResultAborted:
		return fmt.Sprintf("%s was aborted", name), false
	}
	return fmt.Sprintf("%s ended as %q, which this version does not know", name, result), false
}

// Worst gives the result that speaks for a whole game day: aborted, else a weakness, else
// inconclusive, else survived; empty if there are none.
func Worst(results []trial.Result) trial.Result {
	order := []trial.Result{trial.ResultSurvived, trial.ResultInconclusive, trial.ResultWeaknessFound, trial.ResultAborted}
	worst := -1
	for _, r := range results {
		at := len(order) - 1
		for i, known := range order {
			if r == known {
				at = i
			}
		}
		worst = max(worst, at)
	}
	if worst < 0 {
		return ""
	}
	return order[worst]
}
