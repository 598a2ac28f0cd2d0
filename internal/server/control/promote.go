package control

import (
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// What a promotion does to the flag.
//
// A trial decides for the units that no rule of the flag has caught, so it says something about
// those only, and the promotion is for those only: the rules that come first stay, because a
// person wrote them ("never in this country") and the trial has tried nothing on their users.
// The reason in the log names them. A rule that catches everybody leaves the trial nobody, so a
// trial on such a flag does not start.
//
//   - Without an audience, the flag's default variant becomes the treatment: everybody whom no
//     rule catches gets it. A demotion makes the control the default, unless a person has chosen
//     another default meanwhile.
//   - With an audience, only that has been tried. As long as the promotion is watched the trial's
//     allocation gives all of it the treatment; a rule could not, because rules come before
//     trials and what they serve is not counted. When the watch ends well, a last rule "promoted
//     by trial …" takes over. A demotion has nothing to undo: the allocation ends with the trial.

// promoted gives the flag after a promotion; ended says that the trial is over with it.
func promoted(f flag.Flag, spec trial.Spec, ended bool) flag.Flag {
	if spec.Audience == nil {
		f.DefaultVariant = spec.Treatment
		return f
	}
	if ended {
		name := shorten("promoted by trial "+spec.Name, flag.MaxMember)
		rules := slices.DeleteFunc(slices.Clone(f.Rules), func(r flag.Rule) bool { return r.Name == name })
		f.Rules = append(rules, flag.Rule{Name: name, When: spec.Audience, Serve: spec.Treatment})
	}
	return f
}

// demoted gives the flag after a promotion was taken back.
func demoted(f flag.Flag, spec trial.Spec) flag.Flag {
	if spec.Audience == nil && f.DefaultVariant == spec.Treatment {
		f.DefaultVariant = spec.Control
	}
	return f
}

// carryOut gives the flag after the actions, and whether they change it.
func carryOut(f flag.Flag, t Trial, actions []trial.Action) (flag.Flag, bool) {
	changed := false
	for _, a := range actions {
		switch {
		case a.Kind == trial.ActionPromote && t.Spec.Audience == nil:
			f, changed = promoted(f, t.Spec, false), true
		case a.Kind == trial.ActionDemote:
			was := f.DefaultVariant
			f = demoted(f, t.Spec)
			changed = changed || f.DefaultVariant != was
		case a.Kind == trial.ActionEnd && t.State.Result == trial.ResultPromoted && t.Spec.Audience != nil:
			f, changed = promoted(f, t.Spec, true), true
		}
	}
	return f, changed
}

// withRules adds to the reason of a promotion which rules go on deciding before it.
func withRules(why string, f flag.Flag, actions []trial.Action) string {
	if len(f.Rules) == 0 || !slices.Contains(actions, trial.Action{Kind: trial.ActionPromote}) {
		return why
	}
	rules := "1 rule comes"
	if n := len(f.Rules); n > 1 {
		rules = fmt.Sprintf("%d rules come", n)
	}
	return fmt.Sprintf("%s %s first on flag %s and still decide for their users.", why, rules, f.Key)
}

// catchAll gives the number of the first rule, from 1, behind which nobody with a targeting key
// is left for a trial; 0 if there is none.
func catchAll(f flag.Flag) int {
	for i, r := range f.Rules {
		if r.When == nil && (r.Split == nil || takesAll(r.Split)) {
			return i + 1
		}
	}
	return 0
}

func takesAll(s *flag.Split) bool {
	sum := flag.Weight(0)
	for _, share := range s.Weights {
		sum += share.Weight
	}
	return sum >= flag.TotalWeight && (s.BucketBy == "" || s.BucketBy == "targetingKey")
}
