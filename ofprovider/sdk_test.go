package ofprovider_test

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/ofprovider"
	"go.opentelemetry.io/otel/attribute"
)

// What an application sees through the SDK, by the clauses of sections 1, 3 and 4.
func TestRequirements_1_and_3(t *testing.T) {
	ctx := context.Background()
	beta := of.NewEvaluationContext("u", map[string]any{"group": "beta"})
	tests := map[string]func(*testing.T, *of.Client){
		"1.3.1.1, 1.4.1.1, 1.4.3, 1.4.5, 1.4.6, 1.4.7, 1.4.14 details": func(t *testing.T, c *of.Client) {
			d, err := c.BooleanValueDetails(ctx, "rule", false, beta)
			want := of.BooleanEvaluationDetails{Value: true, EvaluationDetails: of.EvaluationDetails{
				FlagKey: "rule", FlagType: of.Boolean,
				ResolutionDetail: of.ResolutionDetail{Variant: "on", Reason: of.TargetingMatchReason, FlagMetadata: of.FlagMetadata{"flagSetId": "production"}},
			}}
			if err != nil || !reflect.DeepEqual(d, want) {
				t.Errorf("%+v, %v", d, err)
			}
		},
		"1.3.3.1 numbers": func(t *testing.T, c *of.Client) {
			if c.Int(ctx, "large", 0, beta) != 1<<53-1 || c.Float(ctx, "float", 0, beta) != 0.5 || c.Float(ctx, "int", 0, beta) != 42 || c.Int(ctx, "whole", 0, beta) != 10 {
				t.Error("not the flags' values")
			}
		},
		"1.4.4.1 objects": func(t *testing.T, c *of.Client) {
			object, _ := c.Object(ctx, "object", nil, beta).(map[string]any)
			object["name"] = "mine"
			if again := c.Object(ctx, "object", nil, beta).(map[string]any); again["name"] != "n" {
				t.Error("what the caller got is shared")
			}
		},
		"1.3.4, 1.4.8, 1.4.9, 1.4.13 abnormal execution": func(t *testing.T, c *of.Client) {
			for key, code := range map[string]of.ErrorCode{"nowhere": of.FlagNotFoundCode, "string": of.TypeMismatchCode} {
				d, err := c.BooleanValueDetails(ctx, key, true, beta)
				if err == nil || !d.Value || d.ErrorCode != code || d.Reason != of.ErrorReason || d.ErrorMessage == "" || d.Variant != "" {
					t.Errorf("%+v, %v", d, err)
				}
			}
		},
		"1.4.10 odd contexts and keys": func(t *testing.T, c *of.Client) {
			odd := of.NewEvaluationContext("", map[string]any{"": nil, "f": func() {}, "targetingKey": []int{1}})
			if d, err := c.StringValueDetails(ctx, "string", "default", odd); err == nil || d.Value != "default" || d.ErrorCode != of.InvalidContextCode {
				t.Errorf("%+v, %v", d, err)
			}
			if c.Boolean(ctx, "\xff", true, beta) != true || c.Boolean(ctx, "", true, beta) != true {
				t.Error("odd keys do not give the default")
			}
		},
		"1.4.14 metadata of a trial": func(t *testing.T, c *of.Client) {
			d, _ := c.BooleanValueDetails(ctx, "trial", false, beta)
			if version, err := d.FlagMetadata.GetString("version"); err != nil || version != "checkout.1.2" || d.Reason != of.SplitReason {
				t.Errorf("%+v", d)
			}
			d.FlagMetadata["version"] = "mine" // 1.4.15: the caller's own
			if d, _ = c.BooleanValueDetails(ctx, "bool", false, beta); len(d.FlagMetadata) != 1 {
				t.Errorf("%+v", d)
			}
		},
		"1.5.1, 4.3.4 hooks change the context": func(t *testing.T, c *of.Client) {
			if !c.Boolean(ctx, "rule", false, of.EvaluationContext{}, of.WithHooks(joins{})) {
				t.Error("the attribute of the hook did not reach the provider")
			}
		},
		"3.1.1, 3.2.1, 3.2.3 merged contexts": func(t *testing.T, c *of.Client) {
			c.SetEvaluationContext(beta)
			if !c.Boolean(ctx, "rule", false, of.EvaluationContext{}) || !c.Boolean(ctx, "split", false, of.EvaluationContext{}) {
				t.Error("the client's context did not reach the provider")
			}
			if c.Boolean(ctx, "rule", true, of.NewEvaluationContext("u", map[string]any{"group": "none"})) {
				t.Error("the invocation's context did not win")
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, _ := sdk(t, flags())
			test(t, c)
		})
	}
}

// joins puts everybody into the group of testers.
type joins struct{ of.UnimplementedHook }

func (joins) Before(context.Context, of.HookContext, of.HookHints) (*of.EvaluationContext, error) {
	c := of.NewTargetlessEvaluationContext(map[string]any{"group": "beta"})
	return &c, nil
}

// 2.3.1: hooks of the provider run with each evaluation.
func TestRequirement_2_3_1_ProviderHooks(t *testing.T) {
	c, _ := sdk(t, flags(), ofprovider.WithHooks(joins{}))
	if !c.Boolean(t.Context(), "rule", false, of.EvaluationContext{}) {
		t.Error("the provider's hook did not run")
	}
}

// An evaluation through the SDK counts for the unit of work that is open in its context: that is
// what trials are judged by.
func TestExposuresAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newPlane(t, flags())
		client, api := plane.open(), newAPI(t)
		if err := api.SetProviderAndWait(t.Context(), ofprovider.New(client)); err != nil {
			t.Fatal(err)
		}
		before := plane.reported()
		ctx, work := client.Begin(t.Context())
		ctx = seatrial.WithContext(ctx, seatrial.NewContext("somebody else"))
		if !api.NewClient().Boolean(ctx, "trial", false, of.NewEvaluationContext("u", nil)) {
			t.Error("not in the treatment")
		}
		work.End(nil)
		if err := client.Flush(t.Context()); err != nil || plane.reported() != before+1 {
			t.Errorf("%d reports, %v", plane.reported()-before, err)
		}
		work.End(nil)
	})
}

// 2.7.1, 6.1.1.1, 6.2.1, 6.2.2.
func TestRequirement_6_Tracking(t *testing.T) {
	book := &logbook{}
	api := newAPI(t)
	provider := ofprovider.New(newPlane(t, flags()).open(seatrial.WithEventLogger(book)))
	details := of.NewTrackingEventDetails(99.77).Add("currency", "EUR").Add("items", 3).Add("gift", true).Add("odd", []int{1}).Add("nil", nil)
	provider.Track(t.Context(), "too early", of.EvaluationContext{}, details)
	if err := api.SetProviderAndWait(t.Context(), provider); err != nil {
		t.Fatal(err)
	}
	c := api.NewClient()
	c.Track(t.Context(), "purchase", of.NewEvaluationContext("user-1", nil), details)
	c.Track(t.Context(), "visit", of.EvaluationContext{}, of.TrackingEventDetails{})
	got := book.texts()
	want := []string{
		"seatrial.track seatrial.track.name=purchase seatrial.track.value=99.77 currency=EUR gift=true items=3",
		"seatrial.track seatrial.track.name=visit seatrial.track.value=0",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestTrackedFieldsAreBounded(t *testing.T) {
	book := &logbook{}
	provider := ofprovider.New(newPlane(t, flags()).open(seatrial.WithEventLogger(book)))
	if err := provider.Init(of.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	defer provider.Shutdown()
	details := of.NewTrackingEventDetails(1)
	for i := range 1000 {
		details = details.Add(string(rune('a'+i%26))+attribute.IntValue(i).String(), uint64(1<<63))
	}
	provider.Track(t.Context(), "many", of.EvaluationContext{}, details)
	if n := book.records[0].AttributesLen(); n != 66 {
		t.Errorf("%d attributes", n)
	}
}

// Everything at once, for the race detector.
func TestConcurrency(t *testing.T) {
	plane := newPlane(t, flags())
	p := ofprovider.New(plane.open())
	api := newAPI(t)
	if err := api.SetProviderAndWait(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	c, user := api.NewClient(), of.NewEvaluationContext("u", map[string]any{"group": "beta", "since": time.Now()})
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for i := range 200 {
				c.Boolean(t.Context(), "rule", false, user)
				c.Object(t.Context(), "object", nil, user)
				if i%50 == 0 {
					plane.publish(setAt(int64(8+i), boolean("rule")))
					_ = p.Init(of.EvaluationContext{})
				}
			}
		})
	}
	running.Go(func() {
		for range 20 {
			p.Shutdown()
			_ = p.Init(of.EvaluationContext{})
		}
	})
	running.Wait()
}
