package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	gb "github.com/growthbook/growthbook-golang"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	ldmodel "github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/memprovider"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/ofprovider"
)

// asked evaluates a flag for the unit with that number and gives whether it is true, or variant a.
type asked func(n int) bool

// candidate is one library with the workload loaded. ask gives nil for what it cannot do; copies is
// the number of further flags that it is loaded with.
type candidate struct {
	name string
	open func(tb testing.TB, copies int) (ask func(key string) asked)
}

func candidates() []candidate {
	return []candidate{
		{"floor", openFloor}, {"map+RWMutex", openMap},
		{"seatrial-handle", openHandle}, {"seatrial-key", openKey}, {"seatrial-context-built", openBuilt},
		{"seatrial-openfeature", openProvider}, {"openfeature-memory", openMemory},
		{"launchdarkly", openLaunchDarkly}, {"growthbook", openGrowthBook},
	}
}

// —— Seatrial

// booleanFlag is off where no rule says otherwise.
func booleanFlag(key string, rules ...flag.Rule) flag.Flag {
	return flag.Flag{Key: key, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}, Rules: rules}
}

func seatrialSet(copies int) flag.Set {
	values := func(list ...string) (raw []json.RawMessage) {
		for _, v := range list {
			raw = append(raw, json.RawMessage(`"`+v+`"`))
		}
		return raw
	}
	rollout := func(key string) flag.Flag {
		return booleanFlag(key,
			flag.Rule{When: &flag.Condition{Segment: "testers"}, Serve: "on"},
			flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 5_000}}}})
	}
	static := booleanFlag(caseStatic)
	static.DefaultVariant = "on"
	var ten []flag.Rule
	tenRules(func(_ int, attribute string, list []string) {
		ten = append(ten, flag.Rule{When: &flag.Condition{Attribute: attribute, Op: flag.OpIn, Values: values(list...)}, Serve: "on"})
	})
	variants := flag.Flag{Key: caseVariants, Kind: flag.KindConfig, Type: flag.TypeString, Enabled: true,
		Rules: []flag.Rule{{Split: &flag.Split{}}}}
	for _, name := range []string{"a", "b", "c", "d"} {
		variants.Variants = append(variants.Variants, flag.Variant{Name: name, Value: json.RawMessage(`"` + name + `"`)})
		variants.Rules[0].Split.Weights = append(variants.Rules[0].Split.Weights, flag.Share{Variant: name, Weight: 25_000})
	}
	set := flag.Set{Environment: "bench", History: "h", Epoch: 1, Revision: 1, Hash: "00",
		Flags:    []flag.Flag{static, rollout(caseRollout), booleanFlag(caseTen, ten...), variants},
		Segments: []flag.Segment{{Key: "testers", When: &flag.Condition{Attribute: "group", Op: flag.OpIn, Values: values("beta-testers", "internal-users")}}}}
	for i := range copies {
		set.Flags = append(set.Flags, rollout(copyKey(i)))
	}
	return set.Normalize()
}

// seatrialContext makes the context of a unit.
func seatrialContext(n int) seatrial.Context {
	return seatrial.ContextFrom(population[n].id, attributesOf(n))
}

func attributesOf(n int) map[string]any {
	u := &population[n]
	return map[string]any{"group": u.group, "plan": u.plan, "country": u.country}
}

// seatrialContexts are the units as an application has them while it serves a request.
var seatrialContexts = sync.OnceValue(func() []context.Context {
	list := make([]context.Context, units)
	for n := range list {
		list[n] = seatrial.WithContext(context.Background(), seatrialContext(n))
	}
	return list
})

func openHandle(tb testing.TB, copies int) func(string) asked {
	c, contexts := openSeatrial(tb, seatrialSet(copies)), seatrialContexts()
	return func(key string) asked {
		if key == caseVariants {
			handle := c.StringFlag(key, "")
			return func(n int) bool { return handle.Get(contexts[n]) == "a" }
		}
		handle := c.BoolFlag(key, false)
		return func(n int) bool { return handle.Get(contexts[n]) }
	}
}

func openKey(tb testing.TB, copies int) func(string) asked {
	c, contexts := openSeatrial(tb, seatrialSet(copies)), seatrialContexts()
	return func(key string) asked {
		if key == caseVariants {
			return func(n int) bool { return c.String(contexts[n], key, "") == "a" }
		}
		return func(n int) bool { return c.Bool(contexts[n], key, false) }
	}
}

func openBuilt(tb testing.TB, copies int) func(string) asked {
	c := openSeatrial(tb, seatrialSet(copies))
	return func(key string) asked {
		if key != caseRollout {
			return nil
		}
		handle := c.BoolFlag(key, false)
		return func(n int) bool {
			return handle.Get(seatrial.WithContext(context.Background(), seatrialContext(n)))
		}
	}
}

// —— OpenFeature

var openFeatureContexts = sync.OnceValue(func() []openfeature.EvaluationContext {
	list := make([]openfeature.EvaluationContext, units)
	for i, u := range population {
		list[i] = openfeature.NewEvaluationContext(u.id, map[string]any{"group": u.group, "plan": u.plan, "country": u.country})
	}
	return list
})

func openFeatureClient(tb testing.TB, domain string, p openfeature.FeatureProvider) func(string) asked {
	if err := openfeature.SetNamedProviderAndWait(domain, p); err != nil {
		tb.Fatal(err)
	}
	c, contexts, ctx := openfeature.NewClient(domain), openFeatureContexts(), context.Background()
	return func(key string) asked {
		if key == caseVariants {
			return func(n int) bool { return c.String(ctx, key, "", contexts[n]) == "a" }
		}
		return func(n int) bool { return c.Boolean(ctx, key, false, contexts[n]) }
	}
}

func openProvider(tb testing.TB, copies int) func(string) asked {
	return openFeatureClient(tb, "seatrial", ofprovider.New(openSeatrial(tb, seatrialSet(copies))))
}

// openMemory has no rules: a function of the floor's kind decides, so this is the SDK's own cost.
func openMemory(tb testing.TB, copies int) func(string) asked {
	decide := func(key string, of func(c openfeature.FlattenedContext) string, on any) memprovider.InMemoryFlag {
		evaluator := func(f memprovider.InMemoryFlag, c openfeature.FlattenedContext) (any, openfeature.ProviderResolutionDetail) {
			variant := of(c)
			return f.Variants[variant], openfeature.ProviderResolutionDetail{Variant: variant, Reason: openfeature.SplitReason}
		}
		variants := map[string]any{"on": true, "off": false}
		if on != nil {
			variants = map[string]any{"a": "a", "b": "b", "c": "c", "d": "d"}
		}
		return memprovider.InMemoryFlag{Key: key, State: memprovider.Enabled, DefaultVariant: "off", Variants: variants, ContextEvaluator: &evaluator}
	}
	rollout := func(key string) memprovider.InMemoryFlag {
		return decide(key, func(c openfeature.FlattenedContext) string {
			if inGroups(c["group"].(string)) || floorHash(key, c["targetingKey"].(string)) < 5_000 {
				return "on"
			}
			return "off"
		}, nil)
	}
	flags := map[string]memprovider.InMemoryFlag{
		caseStatic:  {Key: caseStatic, State: memprovider.Enabled, DefaultVariant: "on", Variants: map[string]any{"on": true, "off": false}},
		caseRollout: rollout(caseRollout),
		caseTen:     decide(caseTen, func(openfeature.FlattenedContext) string { return "on" }, nil),
		caseVariants: decide(caseVariants, func(c openfeature.FlattenedContext) string {
			return string(rune('a' + floorHash(caseVariants, c["targetingKey"].(string))/25_000))
		}, ""),
	}
	for i := range copies {
		flags[copyKey(i)] = rollout(copyKey(i))
	}
	return openFeatureClient(tb, "memory", memprovider.NewInMemoryProvider(flags))
}

// —— the floor: what such a decision costs when it is written by hand

type handWritten struct {
	flags atomic.Pointer[map[string]*handFlag]
}

type handFlag struct {
	key    string
	groups map[string]bool
	share  uint32
}

func inGroups(group string) bool { return group == "beta-testers" || group == "internal-users" }

// floorHash gives the place of a unit in 100,000.
func floorHash(key, id string) uint32 {
	h := xxhash.Sum64String(id)
	h ^= uint64(len(key)) * 0x9e3779b97f4a7c15
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 0x100000001b3
	}
	return uint32((h >> 32) * 100_000 >> 32)
}

type floorRule struct {
	attribute int
	values    []string
}

func floorRules() (rules []floorRule) {
	tenRules(func(_ int, attribute string, values []string) {
		rules = append(rules, floorRule{map[string]int{"group": 0, "plan": 1, "country": 2}[attribute], values})
	})
	return rules
}

func openFloor(_ testing.TB, copies int) func(string) asked {
	var h handWritten
	groups := map[string]bool{"beta-testers": true, "internal-users": true}
	flags := map[string]*handFlag{}
	for _, key := range cases {
		flags[key] = &handFlag{key, groups, 5_000}
	}
	for i := range copies {
		flags[copyKey(i)] = &handFlag{copyKey(i), groups, 5_000}
	}
	h.flags.Store(&flags)
	place := func(id string) uint32 { return uint32((xxhash.Sum64String(id) >> 32) * 100_000 >> 32) }
	return func(key string) asked {
		switch key {
		case caseStatic:
			return func(int) bool { return h.flags.Load() != nil }
		case caseTen:
			rules := floorRules()
			return func(n int) bool {
				u := &population[n]
				for i := range rules {
					value := [...]string{u.group, u.plan, u.country}[rules[i].attribute]
					for _, v := range rules[i].values {
						if v == value {
							return true
						}
					}
				}
				return false
			}
		case caseVariants:
			return func(n int) bool { return h.flags.Load() != nil && place(population[n].id)/25_000 == 0 }
		}
		return func(n int) bool {
			f := (*h.flags.Load())[key]
			u := &population[n]
			return f.groups[u.group] || place(u.id) < f.share
		}
	}
}

// —— a plain map behind an RWMutex, with the hash of the founding document's sketch

type founding struct {
	mu     sync.RWMutex
	flags  map[string]*foundingFlag
	groups map[string]string // by user
}

type foundingFlag struct {
	enabled bool
	percent float64
	groups  []string
}

func consistentHash(s string) float64 {
	hash := 0
	for i := range len(s) {
		hash = hash*31 + int(s[i])
	}
	return float64(hash&0x7fffffff) / float64(0x7fffffff)
}

func (f *founding) isEnabled(name, user string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	one, ok := f.flags[name]
	if !ok || !one.enabled {
		return false
	}
	group := f.groups[user]
	for _, g := range one.groups {
		if g == group {
			return true
		}
	}
	return consistentHash(name+user) <= one.percent
}

func openMap(_ testing.TB, copies int) func(string) asked {
	f := &founding{flags: map[string]*foundingFlag{}, groups: map[string]string{}}
	groups := []string{"beta-testers", "internal-users"}
	f.flags[caseStatic] = &foundingFlag{enabled: true, percent: 1}
	f.flags[caseRollout] = &foundingFlag{enabled: true, percent: 0.05, groups: groups}
	for i := range copies {
		f.flags[copyKey(i)] = &foundingFlag{enabled: true, percent: 0.05, groups: groups}
	}
	for _, u := range population {
		f.groups[u.id] = u.group
	}
	return func(key string) asked {
		if key == caseTen || key == caseVariants {
			return nil // it has neither attributes nor variants
		}
		return func(n int) bool { return f.isEnabled(key, population[n].id) }
	}
}

// —— LaunchDarkly

func openLaunchDarkly(tb testing.TB, copies int) func(string) asked {
	data := ldtestdata.DataSource()
	put := func(key, variations, rules string, fallthroughTo string) {
		text := fmt.Sprintf(`{"key":%q,"version":1,"on":true,"salt":%q,"variations":%s,"offVariation":1,"rules":[%s],"fallthrough":%s}`, key, key, variations, rules, fallthroughTo)
		f, err := ldmodel.NewJSONDataModelSerialization().UnmarshalFeatureFlag([]byte(text))
		if err != nil {
			tb.Fatalf("%v in %s", err, text)
		}
		data.UsePreconfiguredFlag(f)
	}
	const onOff = `[true,false]`
	put(caseStatic, onOff, "", `{"variation":0}`)
	rollout := func(key string) {
		put(key, onOff, `{"id":"g","variation":0,"clauses":[{"contextKind":"user","attribute":"group","op":"in","values":["beta-testers","internal-users"]}]}`,
			`{"rollout":{"contextKind":"user","variations":[{"variation":0,"weight":5000},{"variation":1,"weight":95000}]}}`)
	}
	rollout(caseRollout)
	var ten []string
	tenRules(func(i int, attribute string, values []string) {
		ten = append(ten, fmt.Sprintf(`{"id":"r%d","variation":0,"clauses":[{"contextKind":"user","attribute":%q,"op":"in","values":%s}]}`, i, attribute, quoted(values)))
	})
	put(caseTen, onOff, strings.Join(ten, ","), `{"variation":1}`)
	put(caseVariants, `["a","b","c","d"]`, "", `{"rollout":{"contextKind":"user","variations":[{"variation":0,"weight":25000},{"variation":1,"weight":25000},{"variation":2,"weight":25000},{"variation":3,"weight":25000}]}}`)
	for i := range copies {
		rollout(copyKey(i))
	}
	client, err := ld.MakeCustomClient("sdk-key", ld.Config{DataSource: data, Events: ldcomponents.NoEvents(), Logging: ldcomponents.NoLogging(), DiagnosticOptOut: true}, 5*time.Second)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	contexts := make([]ldcontext.Context, units)
	for i, u := range population {
		contexts[i] = ldcontext.NewBuilder(u.id).SetString("group", u.group).SetString("plan", u.plan).SetString("country", u.country).Build()
	}
	return func(key string) asked {
		if key == caseVariants {
			return func(n int) bool { v, _ := client.StringVariation(key, contexts[n], ""); return v == "a" }
		}
		return func(n int) bool { v, _ := client.BoolVariation(key, contexts[n], false); return v }
	}
}

// —— GrowthBook

func openGrowthBook(tb testing.TB, copies int) func(string) asked {
	features := map[string]json.RawMessage{}
	rollout := json.RawMessage(`{"defaultValue":false,"rules":[{"condition":{"group":{"$in":["beta-testers","internal-users"]}},"force":true},{"coverage":0.05,"hashAttribute":"id","hashVersion":2,"force":true}]}`)
	features[caseStatic] = json.RawMessage(`{"defaultValue":true}`)
	features[caseRollout] = rollout
	var ten []string
	tenRules(func(_ int, attribute string, values []string) {
		ten = append(ten, fmt.Sprintf(`{"condition":{%q:{"$in":%s}},"force":true}`, attribute, quoted(values)))
	})
	features[caseTen] = json.RawMessage(`{"defaultValue":false,"rules":[` + strings.Join(ten, ",") + `]}`)
	features[caseVariants] = json.RawMessage(`{"defaultValue":"","rules":[{"key":"variants","variations":["a","b","c","d"],"weights":[0.25,0.25,0.25,0.25],"hashAttribute":"id","hashVersion":2}]}`)
	for i := range copies {
		features[copyKey(i)] = json.RawMessage(strings.Replace(string(rollout), `"force":true}]`, fmt.Sprintf(`"seed":%q,"force":true}]`, copyKey(i)), 1))
	}
	data, err := json.Marshal(features)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := gb.NewClient(context.Background(), gb.WithJsonFeatures(string(data)), gb.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		tb.Fatal(err)
	}
	clients := make([]*gb.Client, units)
	for i, u := range population {
		if clients[i], err = client.WithAttributes(gb.Attributes{"id": u.id, "group": u.group, "plan": u.plan, "country": u.country}); err != nil {
			tb.Fatal(err)
		}
	}
	ctx := context.Background()
	return func(key string) asked {
		if key == caseVariants {
			return func(n int) bool { return clients[n].EvalFeature(ctx, key).Value == gb.FeatureValue("a") }
		}
		return func(n int) bool { v, _ := clients[n].EvalFeature(ctx, key).Value.(bool); return v }
	}
}
