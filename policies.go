package seatrial

import (
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/resilience"
)

// policyFlag is a flag whose variants are resilience policies, compiled.
type policyFlag struct {
	flag     *eval.Flag
	policies map[string]resilience.Policy // by variant; none for those that cannot be read
}

// indexPolicies finds the policy flags by the dependency's name. For a variant that cannot be
// read, the policy in the code holds.
func (s *snapshot) indexPolicies() {
	s.policy = map[string]*policyFlag{}
	for i := range s.set.Flags {
		from := &s.set.Flags[i]
		name, ok := strings.CutPrefix(from.Key, flag.PolicyPrefix)
		if !ok || from.Kind != flag.KindPolicy {
			continue
		}
		p := &policyFlag{flag: s.flags.Flag(from.Key), policies: map[string]resilience.Policy{}}
		for _, v := range from.Variants {
			policy, err := resilience.ParsePolicy(v.Value)
			if err != nil {
				s.problems = append(s.problems, fmt.Errorf("flag %q: variant %q is not used: %w", from.Key, v.Name, err))
				continue
			}
			p.policies[v.Name] = policy
		}
		s.policy[name] = p
	}
}

// base gives the variant that units get whom no rule and no trial concerns; empty stands for the
// policy in the code.
func (p *policyFlag) base() string { return p.usable(p.flag.Evaluate(nil).Variant) }

// usable gives variant if it has a policy, else the empty one.
func (p *policyFlag) usable(variant string) string {
	if _, ok := p.policies[variant]; !ok {
		return ""
	}
	return variant
}

// varies reports whether units can get different variants.
func (p *policyFlag) varies() bool {
	reason := p.flag.Evaluate(nil).Reason
	return reason != eval.ReasonStatic && reason != eval.ReasonDisabled
}
