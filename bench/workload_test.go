package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The workload: 100,000 units, one in a hundred in a group. Flags give true or false:
//
//	static     true
//	rollout    true for the groups, else for 5 % by hash
//	ten        ten rules over attributes; only the last matches, which gives true
//	variants   one of four variants, 25 % each (a, b, c, d)
//
// and copies of rollout under other keys, to have many flags.
const units = 100_000

// unit is one user, in the form that every candidate prepares for itself.
type unit struct {
	id, group, plan, country string
}

var population = makePopulation()

func makePopulation() []unit {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]unit, units)
	for i := range list {
		u := unit{group: "customers", plan: []string{"free", "gold", "pro"}[i%3], country: []string{"de", "se", "us", "jp"}[i%4]}
		u.id = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.Uint32()&0xffff, r.Uint32()&0xfff, r.Uint32()&0xfff, r.Uint64()&0xffffffffffff)
		if i%100 == 0 {
			u.group = "beta-testers"
		}
		list[i] = u
	}
	return list
}

const (
	caseStatic   = "static"
	caseRollout  = "rollout"
	caseTen      = "ten-rules"
	caseVariants = "variants"
)

var cases = []string{caseStatic, caseRollout, caseTen, caseVariants}

// copyKey is the key of one of many flags.
func copyKey(i int) string { return fmt.Sprintf("flag-%06d", i) }

// stride visits many flags in an order that no cache foresees.
const stride = 7_919

// tenPlans are the values of the ten rules; only the last names plans that exist.
func tenRules(each func(i int, attribute string, values []string)) {
	for i := range 9 {
		attribute := []string{"group", "plan", "country"}[i%3]
		each(i, attribute, []string{fmt.Sprintf("nobody-%d", i), fmt.Sprintf("no-one-%d", i)})
	}
	each(9, "plan", []string{"free", "gold", "pro"})
}

func quoted(values []string) string {
	return `["` + strings.Join(values, `","`) + `"]`
}
