package outcome

import (
	"cmp"
	"slices"
)

// MaxInjections bounds the injections told apart in one interval, and in one trial.
const MaxInjections = 100

// Injection counts the calls that faults of one kind have hit at one point in one phase.
type Injection struct {
	Point string `json:"point"`
	Kind  string `json:"kind"`  // as package fault names them, such as "latency"
	Phase string `json:"phase"` // before, after or instead
	Calls uint64 `json:"calls"`
}

// AddInjections gives a new list with more added to list; both stay as they are. Both are sorted
// by point, kind and phase, each combination once, and so is the result. Beyond [MaxInjections]
// combinations the new ones are left out.
func AddInjections(list []Injection, more ...Injection) []Injection {
	list = slices.Clone(list)
	for _, one := range more {
		i, found := slices.BinarySearchFunc(list, one, compareInjections)
		switch {
		case found:
			list[i].Calls = addCapped(list[i].Calls, one.Calls)
		case len(list) < MaxInjections:
			list = slices.Insert(list, i, one)
		}
	}
	return list
}

func compareInjections(a, b Injection) int {
	return cmp.Or(cmp.Compare(a.Point, b.Point), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Phase, b.Phase))
}
