package conformance

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/seatrial/seatrial/internal/core/targeting"
)

// rules makes rules at random. Loose ones mix all types; the others keep to what flagd's engines in
// Go and in JavaScript agree on.
type rules struct {
	*rand.Rand
	loose bool
}

func pick[T any](r rules, from ...T) T { return from[r.IntN(len(from))] }

func op(name string, args ...any) any { return map[string]any{name: args} }

func variable(name string) any { return map[string]any{"var": name} }

// contextFor has an attribute of each type under the names that the rules use; some are missing.
func contextFor(r rules) map[string]any {
	all := map[string]any{
		"n": float64(r.IntN(9) - 3), "f": pick(r, 0.5, 1.25, -2.5), "t": pick(r, "abc", "xyz", "", "user-7", "été"), "b": r.IntN(2) == 0,
		"numbers": []any{1.0, float64(r.IntN(4)), 3.0}, "texts": []any{"abc", pick(r, "x", "user-7")}, "none": []any{},
		"user": map[string]any{"plan": pick(r, "pro", "free"), "age": float64(r.IntN(80))}, "version": pick(r, "1.2.3", "v2.0.0-rc.1", "2.0", "10.1.0+b", "junk"),
	}
	if !r.loose && all["t"] == "été" {
		all["t"] = "ete" // flagd's JavaScript core hashes UTF-16 units where its specification says UTF-8
	}
	for _, name := range []string{"n", "t", "numbers", "user"} {
		if r.loose && r.IntN(5) == 0 {
			delete(all, name)
		}
	}
	return all
}

func (r rules) number(depth int) any {
	if depth == 0 || r.IntN(4) == 0 {
		return pick[any](r, 0.0, 1.0, 2.0, -3.0, 2.5, variable("n"), variable("f"), variable("user.age"), variable("numbers.1"))
	}
	a, b := r.argument(depth, r.number), r.argument(depth, r.number)
	switch r.IntN(8) {
	case 0, 1:
		return op(pick(r, "+", "*", "min", "max"), a, b, r.number(depth-1))
	case 2:
		return op("-", a, b)
	case 3:
		return op(pick(r, "/", "%"), a, pick(r, 2.0, -3.0, 0.5))
	case 4:
		return op("-", a)
	case 5:
		return op("reduce", r.list(depth-1), op("+", variable("accumulator"), op("*", variable("current"), pick(r, 1.0, -2.0))), r.number(0))
	}
	return op("if", r.truth(depth-1), a, r.truth(0), b, r.number(depth-1))
}

func (r rules) text(depth int) any {
	if depth == 0 || r.IntN(4) == 0 {
		return pick[any](r, "abc", "a", "", "pro", "user-7", variable("t"), variable("user.plan"), variable("texts.0"))
	}
	switch r.IntN(4) {
	case 0:
		return op("cat", r.argument(depth, r.text), r.argument(depth, r.text), variable("n"))
	case 1:
		return op("substr", pick(r, "jsonlogic", "été-2026"), float64(r.IntN(8)-4))
	case 2:
		return op("substr", pick(r, "jsonlogic", "été-2026"), float64(r.IntN(8)-4), float64(r.IntN(9)-4))
	}
	return op("if", r.truth(depth-1), r.text(depth-1), r.text(depth-1))
}

func (r rules) list(depth int) any {
	if depth == 0 || r.IntN(3) == 0 {
		return pick[any](r, variable("numbers"), variable("none"))
	}
	switch r.IntN(3) {
	case 0:
		return op("merge", r.list(depth-1), r.number(0), r.list(0))
	case 1:
		return op("map", r.list(depth-1), op("+", variable(""), 1.0))
	}
	return op("filter", r.list(depth-1), op(pick(r, ">", "<"), variable(""), 2.0))
}

func (r rules) truth(depth int) any {
	if depth == 0 {
		return pick[any](r, true, false, variable("b"), op(">", variable("n"), 1.0), op("==", variable("user.plan"), "pro"))
	}
	a, b := r.truth(depth-1), r.truth(depth-1)
	switch r.IntN(11) {
	case 0, 1:
		return op(pick(r, "and", "or"), a, b, r.truth(0))
	case 2:
		return op(pick(r, "!", "!!"), a)
	case 3:
		return op(pick(r, "<", "<=", ">", ">=", "==", "!=", "===", "!=="), r.argument(depth, r.number), r.argument(depth, r.number))
	case 4:
		return op(pick(r, "<", ">=", "==", "!=", "===", "!=="), r.argument(depth, r.text), r.argument(depth, r.text))
	case 5:
		return op("in", r.text(depth-1), op("cat", "z", r.text(depth-1))) // in JavaScript nothing is in ""
	case 6:
		return op("in", r.text(depth-1), []any{"abc", "user-7", "b", "c", "d", "e", "f", "g", "h", "pro"}[:1+r.IntN(10)])
	case 7:
		return op("in", r.number(depth-1), []any{1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 0.0}[:1+r.IntN(10)])
	case 8:
		return op(pick(r, "all", "some", "none"), r.list(depth-1), op(pick(r, ">", "<="), variable(""), 2.0))
	case 9:
		return op("<", r.number(0), r.number(depth-1), r.number(0))
	}
	return op("!", op(pick(r, "missing"), "t", pick(r, "absent", "user.plan", "user.absent")))
}

// argument is one of the kind, or, if the rules are loose, of any.
func (r rules) argument(depth int, kind func(int) any) any {
	if r.loose && r.IntN(3) == 0 {
		return pick[any](r, nil, true, "12", " ", "-0.5", "12x", variable("absent"), variable("numbers"), map[string]any{"var": []any{"absent", 7.0}},
			r.text(depth-1), r.number(depth-1), r.truth(depth-1), op("missing_some", 1.0, []any{"t", "absent"}))
	}
	return kind(depth - 1)
}

// Random rules over random contexts give what the engine of flagd's own server gives. Where that
// one fails (it panics inside), we may give a value.
func TestRandomRulesAsInGo(t *testing.T) {
	rounds := 60_000
	if testing.Short() {
		rounds = 6_000
	}
	compared := 0
	for seed := range uint64(rounds) {
		r := rules{rand.New(rand.NewPCG(seed, 1)), seed%3 != 0}
		context := contextFor(r)
		kind := pick(r, r.number, r.text, r.truth, r.list)
		rule := kind(1 + r.IntN(5))
		want, err := jsonlogic.ApplyInterface(rule, context)
		if err != nil {
			continue
		}
		compared++
		raw, err := json.Marshal(rule)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		program, err := targeting.Compile(raw, nil)
		if err == nil {
			got, err = program.Evaluate(&targeting.Input{Attributes: context})
		}
		if err != nil || !alike(got, want) {
			t.Fatalf("seed %d: %s\nover %v\nours %v, %v\nflagd's %v", seed, raw, context, got, err, want)
		}
	}
	if compared < rounds/2 {
		t.Errorf("only %d of %d rules were compared", compared, rounds)
	}
}

// alike compares values of the two engines; NaN is like NaN.
func alike(a, b any) bool {
	x, isNumber := a.(float64)
	if y, ok := b.(float64); ok && isNumber {
		return x == y || math.IsNaN(x) && math.IsNaN(y)
	}
	list, isList := a.([]any)
	other, ok := b.([]any)
	if !isList || !ok || len(list) != len(other) {
		return reflect.DeepEqual(a, b)
	}
	for i := range list {
		if !alike(list[i], other[i]) {
			return false
		}
	}
	return true
}

// choice is a rule that chooses a variant: also with flagd's operators.
func (r rules) choice(depth int) any {
	if depth == 0 {
		return pick[any](r, "yes", "no", "maybe", nil)
	}
	switch r.IntN(6) {
	case 0:
		return op("if", op(pick(r, "starts_with", "ends_with"), r.text(depth-1), pick[any](r, "a", "c", "", variable("t"), variable("n"))), r.choice(depth-1), r.choice(depth-1))
	case 1:
		return op("if", op("sem_ver", pick[any](r, variable("version"), variable("f"), 2.0), pick(r, "=", "!=", "<", "<=", ">", ">=", "~", "^", "?"), pick[any](r, "1.2.3", "2", "v2.0.0", "2.0.0-rc.2")), "yes", r.choice(depth-1))
	case 2:
		return op("if", r.truth(depth-1), r.choice(depth-1), r.truth(depth-1), r.choice(depth-1))
	case 3:
		return r.truth(depth)
	}
	entries := []any{}
	if r.IntN(3) > 0 {
		entries = append(entries, pick[any](r, op("cat", "salt:", variable("targetingKey")), variable("t"), op("cat", variable("$flagd.flagKey"), variable("t"), variable("n"))))
	}
	for range 1 + r.IntN(4) {
		weight := pick[any](r, 1.0, 10.0, 0.0, 89.0, -5.0, 99_000.0, op("if", r.truth(0), 5.0, 0.0))
		entries = append(entries, []any{r.choice(min(depth-1, 1)), weight})
	}
	return op("fractional", append(entries, []any{"maybe"})...)
}

// Random definitions choose for random contexts what they choose in flagd's JavaScript core.
func TestRandomDefinitionsAsInJavaScript(t *testing.T) {
	oracle := startNode(t, "flagdcore", "evaluate.js")
	documents := 60
	if testing.Short() {
		documents = 6
	}
	tally := map[string]int{}
	for seed := range uint64(documents) {
		r := rules{rand.New(rand.NewPCG(seed, 2)), false}
		definitions := map[string]any{}
		for i := range 40 {
			definition := map[string]any{
				"state": "ENABLED", "targeting": op("if", true, r.choice(1+r.IntN(4))),
				"variants": map[string]any{"yes": "y", "no": "n", "maybe": "m", "true": "t", "false": "f"},
			}
			if r.IntN(2) == 0 {
				definition["defaultVariant"] = "no"
			}
			definitions[fmt.Sprint("flag-", i)] = definition
		}
		var loaded answer
		oracle.ask(t, map[string]any{"document": map[string]any{"flags": definitions}, "lenient": true}, &loaded)
		if loaded.Failed != "" {
			t.Fatalf("seed %d: flagd does not take the file: %s", seed, loaded.Failed)
		}
		for range 5 {
			context := contextFor(r)
			unit := fmt.Sprint("user-", r.IntN(1000))
			for key, definition := range definitions {
				compareDefinition(t, oracle, key, unit, definition, context, tally)
			}
		}
		if t.Failed() {
			break
		}
	}
	for _, reason := range []string{"TARGETING_MATCH", "DEFAULT"} {
		if tally[reason] < documents*2 {
			t.Errorf("only %d answers are %s", tally[reason], reason)
		}
	}
}

func compareDefinition(t *testing.T, oracle *node, key, unit string, definition any, attributes map[string]any, tally map[string]int) {
	t.Helper()
	context := map[string]any{"targetingKey": unit}
	for name, value := range attributes {
		context[name] = value
	}
	var want answer
	oracle.ask(t, map[string]any{"flag": key, "context": context}, &want)
	raw, err := json.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	d, err := targeting.ParseDefinition(raw, nil)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	variant, reason, err := d.Decide(&targeting.Input{FlagKey: key, TargetingKey: unit, Attributes: attributes})
	name := ""
	if variant >= 0 {
		name = d.Variants[variant].Name
	}
	tally[reason.String()]++
	if err != nil || want.Failed != "" || want.ErrorCode != "" || want.Variant != name || want.Reason != reason.String() {
		t.Errorf("%s for %s over %v\nours %q %s %v\nflagd %+v\n%s", key, unit, attributes, name, reason, err, want, raw)
	}
}
