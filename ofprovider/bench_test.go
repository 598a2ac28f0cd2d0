package ofprovider_test

import (
	"context"
	"testing"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"
	"github.com/seatrial/seatrial/ofprovider"
)

// BenchmarkProvider is an evaluation by the provider alone.
func BenchmarkProvider(b *testing.B) {
	p := initialized(b, flags())
	ctx := context.Background()
	flat := of.FlattenedContext{of.TargetingKey: "8d7f0c1e-5a53-4e0f-9f0e-2f9d7c1b6a42", "group": "customers", "plan": "gold", "country": "de"}
	for _, key := range []string{"bool", "rule", "split", "trial", "nowhere"} {
		b.Run(key, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.BooleanEvaluation(ctx, key, false, flat)
			}
		})
	}
}

// BenchmarkSDK is an evaluation by an application: what the SDK takes with a provider that does
// nothing and with its provider in memory, and with this one.
func BenchmarkSDK(b *testing.B) {
	memory := memprovider.NewInMemoryProvider(map[string]memprovider.InMemoryFlag{
		"bool": {State: memprovider.Enabled, DefaultVariant: "off", Variants: map[string]any{"off": false, "on": true}},
	})
	user := of.NewEvaluationContext("8d7f0c1e-5a53-4e0f-9f0e-2f9d7c1b6a42", map[string]any{"group": "customers", "plan": "gold", "country": "de"})
	for name, provider := range map[string]of.FeatureProvider{
		"none": of.NoopProvider{}, "memory": memory, "seatrial": ofprovider.New(newPlane(b, flags()).open()),
	} {
		api := newAPI(b)
		if err := api.SetProviderAndWait(context.Background(), provider); err != nil {
			b.Fatal(err)
		}
		c := api.NewClient()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Boolean(context.Background(), "bool", false, user)
			}
		})
	}
}

// The provider adds one allocation to an evaluation: the context that carries the unit.
func TestProviderAllocations(t *testing.T) {
	p := initialized(t, flags())
	flat := of.FlattenedContext{of.TargetingKey: "u", "group": "beta", "list": []any{1, "x"}}
	for key, most := range map[string]float64{"bool": 1, "rule": 1, "split": 1, "disabled": 1} {
		if n := testing.AllocsPerRun(200, func() { p.BooleanEvaluation(context.Background(), key, false, flat) }); n > most {
			t.Errorf("%s: %v allocations, want at most %v", key, n, most)
		}
	}
}
