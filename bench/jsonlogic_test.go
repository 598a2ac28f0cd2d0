package bench

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/diegoholiveira/jsonlogic/v3"
	"github.com/twmb/murmur3"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// rawRule is the rollout as somebody writes it for flagd.
const rawRule = `{"if":[{"in":[{"var":"group"},["beta-testers","internal-users"]]},"on",` +
	`{"fractional":[{"cat":["raw:",{"var":"targetingKey"}]},["on",5000],["off",95000]]}]}`

const caseRaw = "raw"

func rawSet() flag.Set {
	return flag.Set{Environment: "bench", History: "h", Epoch: 1, Revision: 1, Hash: "00", Flags: []flag.Flag{{
		Key: caseRaw, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true,
		Definition: json.RawMessage(`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":` + rawRule + `}`),
	}}}
}

// rawCandidates are the engines that evaluate the definition.
func rawCandidates(tb testing.TB) map[string]asked {
	return map[string]asked{
		"seatrial-handle": rawByHandle(tb), "seatrial-eval": rawByEvaluator(tb), "jsonlogic-as-flagd": rawAsFlagd(tb),
	}
}

func rawByHandle(tb testing.TB) asked {
	handle, contexts := openSeatrial(tb, rawSet()).BoolFlag(caseRaw, false), seatrialContexts()
	return func(n int) bool { return handle.Get(contexts[n]) }
}

// rawByEvaluator is the evaluator of client and server, without the client around it.
func rawByEvaluator(tb testing.TB) asked {
	snapshot, err := eval.Compile(rawSet())
	if err != nil {
		tb.Fatal(err)
	}
	contexts := make([]eval.Context, units)
	for n := range contexts {
		contexts[n] = eval.Context{TargetingKey: population[n].id, Attributes: attributesOf(n)}
	}
	f := snapshot.Flag(caseRaw)
	return func(n int) bool { v, _ := f.Evaluate(&contexts[n]).Value.(bool); return v }
}

// rawAsFlagd does what flagd's evaluator does for each evaluation: add its own properties to a copy
// of the context, write that as JSON, apply the text of the rule, and read the variant's name from
// the text of the result. It leaves out flagd's store, log, metadata and trace.
func rawAsFlagd(tb testing.TB) asked {
	jsonlogic.AddOperator("fractional", fractional)
	contexts := make([]map[string]any, units)
	for n := range contexts {
		contexts[n] = attributesOf(n)
		contexts[n]["targetingKey"] = population[n].id
	}
	variants := map[string]bool{"on": true, "off": false}
	rule := json.RawMessage(rawRule)
	return func(n int) bool {
		about := maps.Clone(contexts[n])
		about["$flagd"] = map[string]any{"flagKey": caseRaw, "timestamp": time.Now().Unix()}
		data, err := json.Marshal(about)
		if err != nil {
			tb.Fatal(err)
		}
		result, err := jsonlogic.ApplyRaw(rule, data)
		if err != nil {
			tb.Fatal(err)
		}
		return variants[strings.Trim(strings.TrimSpace(string(result)), `"`)]
	}
}

// fractional is flagd's operator of that name, for a first argument that says what is hashed: its
// murmur3 hash, scaled to the sum of the weights, falls to one of the variants.
func fractional(values, _ any) any {
	list, ok := values.([]any)
	if !ok || len(list) < 2 {
		return nil
	}
	by, ok := list[0].(string)
	if !ok {
		return nil
	}
	var total, upTo uint64
	weight := func(share any) uint64 { return uint64(share.([]any)[1].(float64)) }
	for _, share := range list[1:] {
		total += weight(share)
	}
	place := uint64(murmur3.StringSum32(by)) * total >> 32
	for _, share := range list[1:] {
		if upTo += weight(share); place < upTo {
			return share.([]any)[0]
		}
	}
	return nil
}

// TestRawSameWork: the definition gives every unit the same variant, whoever evaluates it.
func TestRawSameWork(t *testing.T) {
	few := units
	if testing.Short() {
		few = units / 5
	}
	candidates := rawCandidates(t)
	want, hits := make([]bool, few), 0
	for n := range want {
		if want[n] = candidates["jsonlogic-as-flagd"](n); want[n] {
			hits++
		}
	}
	if share := float64(hits) * 100 / float64(few); share < 5.6 || share > 6.3 {
		t.Fatalf("on for %.2f %%, want about 5.95", share)
	}
	for name, one := range candidates {
		for n := range want {
			if got := one(n); got != want[n] {
				t.Fatalf("%s: unit %s: %t, want %t", name, population[n].id, got, want[n])
			}
		}
	}
}

// BenchmarkRaw evaluates a flagd definition of the rollout.
func BenchmarkRaw(b *testing.B) {
	candidates := rawCandidates(b)
	for _, name := range []string{"seatrial-handle", "seatrial-eval", "jsonlogic-as-flagd"} {
		b.Run(name, func(b *testing.B) { serial(b, candidates[name], units, 1) })
	}
}
