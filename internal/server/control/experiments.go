package control

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// What a chaos experiment needs beyond what every trial does: nothing else that would explain what
// is seen, a point that is there and busy, and a secret by which services know each other's
// decisions.

// trialRecord is a trial as the log has it.
type trialRecord struct {
	Trial
	unseen
}

// unseen is what the log has of an experiment that has not ended, beside what everybody may see.
type unseen struct {
	// Secret, 32 hex digits, is in the log before any snapshot has it, and is shown to nobody but SDKs.
	Secret string `json:"secret,omitempty"`
	// StartedBy is the actor who has to be another than who approves.
	StartedBy string `json:"startedBy,omitempty"`
}

// allocation gives what the trial makes of its flag now, as evaluators get it.
func (e *TrialEntry) allocation() (flag.Allocation, bool) {
	a, ok := e.Spec.Allocation(e.State)
	a.Secret = e.unseen.Secret
	return a, ok
}

// trialOp gives the op that stores a trial, with what is not seen of it as long as it has not ended.
func (p *projection) trialOp(t Trial) (Op, error) {
	record := trialRecord{Trial: t}
	if !t.State.Ended() {
		record.unseen = p.trials[t.Spec.Name].unseen
	}
	return setOp(KindTrial, t.Spec.Name, record)
}

// newExperimentSecret makes the secret of an attempt: 128 random bits. Trials other than experiments have none.
func newExperimentSecret(spec trial.Spec, random io.Reader) (string, error) {
	if spec.Goal != trial.GoalSurvive {
		return "", nil
	}
	var secret [16]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", internalError("trial %q: no random numbers for its secret: %v", spec.Name, err)
	}
	return hex.EncodeToString(secret[:]), nil
}

// withoutSecret drops the secret from a trial's record.
func withoutSecret(raw json.RawMessage) json.RawMessage {
	if !bytes.Contains(raw, []byte(`"secret"`)) {
		return raw
	}
	var record trialRecord
	if err := json.Unmarshal(raw, &record); err != nil {
		return json.RawMessage("{}")
	}
	shown, err := json.Marshal(record.Trial)
	if err != nil {
		return json.RawMessage("{}")
	}
	return shown
}

// mayRunBeside refuses a trial that would explain what another one sees, or be explained by it:
// a second experiment, an experiment on a dependency whose policy is being rolled out, and the
// other way round, and an experiment while something is wrong. running are those that have not
// ended, sorted by name.
func (p *projection) mayRunBeside(spec trial.Spec, running []TrialEntry) error {
	for i := range running {
		other := &running[i]
		name := other.Spec.Name
		if spec.Cohorts == nil && other.Spec.Flag == spec.Flag {
			return precondition("trial %q: trial %q runs on flag %q: wait for its end, or abort it", spec.Name, name, spec.Flag)
		}
		var err error
		switch experiment, beside := spec.Goal == trial.GoalSurvive, other.Spec.Goal == trial.GoalSurvive; {
		case experiment && beside:
			err = precondition("trial %q: chaos experiment %q is running, and two at a time would explain nothing: wait for its end, or abort it", spec.Name, name)
		case experiment:
			err = p.mayExperimentBeside(spec, other)
		case beside && slices.Contains(p.pointsOf(other.Spec), policyPoint(spec.Flag)):
			err = precondition("trial %q: chaos experiment %q tries the dependency whose policy flag %q is: wait for its end, or abort it", spec.Name, name, spec.Flag)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayExperimentBeside refuses an experiment beside a trial that is none.
func (p *projection) mayExperimentBeside(spec trial.Spec, other *TrialEntry) error {
	if slices.Contains(p.pointsOf(spec), policyPoint(other.Spec.Flag)) {
		return precondition("trial %q: trial %q changes the policy of that dependency (flag %q): wait for its end, or abort it", spec.Name, other.Spec.Name, other.Spec.Flag)
	}
	if guardrail, ok := other.State.Alarmed(other.Spec); ok && other.Spec.Goal == trial.GoalPromote {
		return precondition("trial %q: %s of trial %q looks worse than it should, and an incident is no time for an experiment: wait until that is over, or abort that trial", spec.Name, guardrail, other.Spec.Name)
	}
	return nil
}

// policyPoint gives the point of the dependency whose policies a flag has, which has the dependency's
// name; empty for other flags.
func policyPoint(flagKey string) string {
	point, ok := strings.CutPrefix(flagKey, flag.PolicyPrefix)
	if !ok {
		return ""
	}
	return point
}

// ExperimentsByPoint gives the names of the experiments that run, sorted, by the points of their faults.
func (s *Service) ExperimentsByPoint() map[string][]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	byPoint := map[string][]string{}
	for _, entry := range s.running() {
		for _, point := range s.state.pointsOf(entry.Spec) {
			byPoint[point] = append(byPoint[point], entry.Spec.Name)
		}
	}
	return byPoint
}

// pointsOf gives the points that a trial injects faults at: of an experiment that of its treatment.
func (p *projection) pointsOf(spec trial.Spec) []string {
	if spec.Goal != trial.GoalSurvive {
		return nil
	}
	program, err := fault.ParseProgram(valueOf(p.flags[spec.Flag].Flag, spec.Treatment))
	if err != nil || program == nil {
		return nil
	}
	return []string{program.Point}
}

// recentTraffic is how old the last call at a point may be when an experiment starts there.
const recentTraffic = 5 * time.Minute

// mayInject checks that the treatment of an experiment does something and its control nothing, and
// that the point is there and busy.
func (s *Service) mayInject(p *projection, spec trial.Spec) error {
	if spec.Goal != trial.GoalSurvive {
		return nil
	}
	points := p.pointsOf(spec)
	if len(points) == 0 {
		return invalid("/treatment", "trial %q: variant %q does nothing: name one that is a fault program", spec.Name, spec.Treatment)
	}
	if f := p.flags[spec.Flag].Flag; serves(f, spec.Control) {
		return invalid("/control", "trial %q: variant %q is a fault program: the control must do nothing, so name one that is null", spec.Name, spec.Control)
	}
	if s.cfg.Points == nil {
		return nil
	}
	for _, name := range points {
		_, traffic, allowed, ok := s.cfg.Points.Point(name)
		switch {
		case !ok:
			return precondition("trial %q: no process has reported the point %q%s", spec.Name, name, cmp.Or(flag.Suggest(name, slices.Values(s.cfg.Points.Names())), ": see `seatrial point list`, and start the service that has it"))
		case !allowed:
			return precondition("trial %q: no process lets faults be injected at point %q: start one with them allowed (option WithFaults of the client)", spec.Name, name)
		case s.now().Sub(traffic) > recentTraffic:
			return precondition("trial %q: no call came to point %q in the last %s, so nothing would be learnt: try when there is traffic", spec.Name, name, recentTraffic)
		}
	}
	return nil
}

// serves reports whether a variant of a fault flag is a program, not null.
func serves(f flag.Flag, variant string) bool {
	value := valueOf(f, variant)
	return len(value) > 0 && string(value) != "null"
}

// checkServes refuses a fault flag that would give anybody a program outside of a trial. Nothing
// would come of it, since programs are carried out for experiments only; whoever writes it does not
// know.
func checkServes(f flag.Flag, problems *flag.Problems) {
	if f.Kind != flag.KindFault || !f.Enabled || f.Archived {
		return
	}
	check := func(pointer, variant string) {
		if serves(f, variant) {
			problems.Add(pointer, "variant %q is a fault, and faults are injected by experiments only: serve a variant that is null, and use `seatrial chaos start`", variant)
		}
	}
	check("/defaultVariant", f.DefaultVariant)
	for i, o := range f.Overrides {
		check(flag.Pointer("/overrides", i, "variant"), o.Variant)
	}
	for i, r := range f.Rules {
		check(flag.Pointer("/rules", i, "serve"), r.Serve)
		if r.Split == nil {
			continue
		}
		for k, w := range r.Split.Weights {
			if w.Weight > 0 {
				check(flag.Pointer("/rules", i, "split", "weights", k, "variant"), w.Variant)
			}
		}
	}
}
