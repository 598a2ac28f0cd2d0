package seatrial

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// noContext is the nil context that evaluations promise to bear.
var noContext context.Context

// foreignKey is a context key of somebody else.
type foreignKey struct{}

// evaluationSet holds one flag of each type, and one of each fate.
func evaluationSet() flag.Set {
	disabled := release("disabled")
	disabled.Enabled = false
	codeDefault := release("code-default")
	codeDefault.DefaultVariant = ""
	rule := release("rule")
	rule.Rules = []flag.Rule{{When: &flag.Condition{Attribute: "group", Op: flag.OpIn, Values: raw(`"beta"`)}, Serve: "on"}}
	split := release("split")
	split.Rules = []flag.Rule{{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight}}}}}
	trial := release("trial")
	return setAt(7,
		release("bool"), disabled, codeDefault, rule, split, trial, trialOn(trial, 2, 50),
		newFlag("string", flag.KindConfig, flag.TypeString, "a", `"text"`),
		newFlag("int", flag.KindConfig, flag.TypeInteger, "a", `42`),
		newFlag("float", flag.KindConfig, flag.TypeFloat, "a", `0.5`),
		newFlag("whole", flag.KindConfig, flag.TypeFloat, "a", `-3.0`),
		newFlag("huge", flag.KindConfig, flag.TypeFloat, "a", `1e300`),
		newFlag("object", flag.KindConfig, flag.TypeObject, "a", `{"list":[1,{"x":true}],"name":"n"}`),
	)
}

func raw(values ...string) (list []json.RawMessage) {
	for _, v := range values {
		list = append(list, json.RawMessage(v))
	}
	return list
}

func TestBoolDetails(t *testing.T) {
	c := offline(t, evaluationSet())
	in, out := userIn(t, c, "trial", treatment), userIn(t, c, "trial", control)
	known := Metadata{FlagSetID: "production", History: "h1", Revision: 7}
	arm := func(name string) Metadata {
		m := known
		m.Trial, m.Version, m.Arm, m.FlagVersion = "trial-trial", "trial-trial.1.2", name, "trial-trial.1.2"
		return m
	}
	passedBy := known
	passedBy.FlagVersion = "trial-trial.1.2"
	tests := map[string]struct {
		key  string
		ctx  Context
		want Evaluation[bool] // Value is for the default true
	}{
		"static":         {key: "bool", want: Evaluation[bool]{Variant: "off", Reason: ReasonStatic, Metadata: known}},
		"not found":      {key: "nowhere", want: Evaluation[bool]{Value: true, Reason: ReasonError, ErrorCode: ErrorFlagNotFound, Metadata: known}},
		"empty key":      {key: "", want: Evaluation[bool]{Value: true, Reason: ReasonError, ErrorCode: ErrorFlagNotFound, Metadata: known}},
		"type mismatch":  {key: "string", want: Evaluation[bool]{Value: true, Reason: ReasonError, ErrorCode: ErrorTypeMismatch, Metadata: known}},
		"disabled":       {key: "disabled", want: Evaluation[bool]{Value: true, Reason: ReasonDisabled, Metadata: known}},
		"code default":   {key: "code-default", want: Evaluation[bool]{Value: true, Reason: ReasonDefault, Metadata: known}},
		"rule":           {key: "rule", ctx: NewContext("u").With("group", "beta"), want: Evaluation[bool]{Value: true, Variant: "on", Reason: ReasonTargetingMatch, Metadata: known}},
		"rule, list":     {key: "rule", ctx: NewContext("u").With("group", []string{"x", "beta"}), want: Evaluation[bool]{Value: true, Variant: "on", Reason: ReasonTargetingMatch, Metadata: known}},
		"rule, no match": {key: "rule", ctx: NewContext("u"), want: Evaluation[bool]{Variant: "off", Reason: ReasonDefault, Metadata: known}},
		"split":          {key: "split", ctx: NewContext("u"), want: Evaluation[bool]{Value: true, Variant: "on", Reason: ReasonSplit, Metadata: known}},
		"split, nobody":  {key: "split", want: Evaluation[bool]{Variant: "off", Reason: ReasonDefault, Metadata: known}},
		"treatment":      {key: "trial", ctx: NewContext(in), want: Evaluation[bool]{Value: true, Variant: "on", Reason: ReasonSplit, Metadata: arm("treatment")}},
		"control":        {key: "trial", ctx: NewContext(out), want: Evaluation[bool]{Variant: "off", Reason: ReasonSplit, Metadata: arm("control")}},
		"trial, nobody":  {key: "trial", want: Evaluation[bool]{Variant: "off", Reason: ReasonDefault, Metadata: passedBy}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx := WithContext(t.Context(), test.ctx)
			if got := c.BoolDetails(ctx, test.key, true); !reflect.DeepEqual(got, test.want) {
				t.Errorf("BoolDetails = %+v\nwant %+v", got, test.want)
			}
			if got := c.Bool(ctx, test.key, true); got != test.want.Value {
				t.Errorf("Bool = %v, want %v", got, test.want.Value)
			}
			handle := c.BoolFlag(test.key, true)
			for range 2 { // the second time it is looked up
				if got := handle.Details(ctx); !reflect.DeepEqual(got, test.want) {
					t.Errorf("handle: Details = %+v\nwant %+v", got, test.want)
				}
			}
			if got := handle.Get(ctx); got != test.want.Value {
				t.Errorf("handle: Get = %v, want %v", got, test.want.Value)
			}
		})
	}
}

func TestTypes(t *testing.T) {
	c, ctx := offline(t, evaluationSet()), t.Context()
	object := map[string]any{"list": []any{1.0, map[string]any{"x": true}}, "name": "n"}
	tests := map[string]struct{ got, want any }{
		"string":               {c.String(ctx, "string", "d"), "text"},
		"string details":       {c.StringDetails(ctx, "string", "d").Value, "text"},
		"string, mismatch":     {c.StringDetails(ctx, "int", "d").ErrorCode, ErrorTypeMismatch},
		"string, default":      {c.String(ctx, "int", "d"), "d"},
		"int":                  {c.Int(ctx, "int", 1), int64(42)},
		"int details":          {c.IntDetails(ctx, "int", 1).Value, int64(42)},
		"int, float flag":      {c.IntDetails(ctx, "float", 1).ErrorCode, ErrorTypeMismatch},
		"int, whole float":     {c.Int(ctx, "whole", 1), int64(-3)},
		"int, huge float":      {c.IntDetails(ctx, "huge", 1).ErrorCode, ErrorTypeMismatch},
		"float":                {c.Float(ctx, "float", 1), 0.5},
		"float details":        {c.FloatDetails(ctx, "float", 1).Value, 0.5},
		"float, int flag":      {c.Float(ctx, "int", 1), 42.0},
		"float, bool flag":     {c.Float(ctx, "bool", 1), 1.0},
		"object":               {c.Object(ctx, "object", nil), object},
		"object details":       {c.ObjectDetails(ctx, "object", nil).Value, object},
		"object, mismatch":     {c.ObjectDetails(ctx, "bool", nil).ErrorCode, ErrorTypeMismatch},
		"structure":            {c.StructureDetails(ctx, "object", nil).Value, any(object)},
		"structure, mismatch":  {c.StructureDetails(ctx, "string", nil).ErrorCode, ErrorTypeMismatch},
		"string handle":        {c.StringFlag("string", "d").Get(ctx), "text"},
		"int handle":           {c.IntFlag("int", 1).Get(ctx), int64(42)},
		"float handle":         {c.FloatFlag("float", 1).Get(ctx), 0.5},
		"object handle":        {c.ObjectFlag("object", nil).Get(ctx), object},
		"key of handle":        {c.ObjectFlag("object", nil).Key(), "object"},
		"nil context":          {c.Bool(noContext, "bool", true), false},
		"zero handle":          {(&Flag[int64]{}).Get(ctx), int64(0)},
		"zero handle, details": {(&Flag[int64]{}).Details(ctx).ErrorCode, ErrorProviderNotReady},
	}
	for name, test := range tests {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s = %#v, want %#v", name, test.got, test.want)
		}
	}
}

// A definition of flagd brings its own metadata, and values of more kinds.
func TestDefinition(t *testing.T) {
	definition := func(key, text string) flag.Flag {
		return flag.Flag{Key: key, Kind: flag.KindConfig, Type: flag.TypeObject, Enabled: true, Definition: json.RawMessage(text)}
	}
	c, ctx := offline(t, setAt(1,
		definition("a", `{"state":"ENABLED","variants":{"one":{"x":1}},"defaultVariant":"one","metadata":{"team":"checkout","tier":2}}`),
		definition("b", `{"state":"ENABLED","variants":{"one":{"x":1}},"defaultVariant":"one"}`))), t.Context()
	got := c.StructureDetails(ctx, "a", nil)
	if want := map[string]any{"team": "checkout", "tier": int64(2)}; got.Reason != ReasonStatic || got.Variant != "one" || !reflect.DeepEqual(got.Metadata.Definition, want) {
		t.Errorf("%+v", got)
	}
	if got := c.StructureDetails(ctx, "b", nil); got.Metadata.Definition != nil || got.ErrorCode != "" {
		t.Errorf("%+v", got)
	}
}

func TestDecode(t *testing.T) {
	c, ctx := offline(t, evaluationSet()), t.Context()
	type named struct{ Name string }
	if got := Decode(c, ctx, "object", named{"d"}); got.Value.Name != "n" || got.Variant != "a" {
		t.Errorf("object: %+v", got)
	}
	if got := Decode(c, ctx, "object", struct{ Name int }{5}); got.Value.Name != 5 || got.ErrorCode != ErrorTypeMismatch {
		t.Errorf("a type that does not fit: %+v", got)
	}
	if got := Decode(c, ctx, "bool", named{"d"}); got.Value.Name != "d" || got.ErrorCode != ErrorTypeMismatch {
		t.Errorf("a flag that is no object: %+v", got)
	}
	if got := Decode[named](nil, ctx, "object", named{"d"}); got.Value.Name != "d" || got.ErrorCode != ErrorProviderNotReady {
		t.Errorf("nil client: %+v", got)
	}
}

func TestObjectsAreCopies(t *testing.T) {
	c, ctx := offline(t, evaluationSet()), t.Context()
	got := c.Object(ctx, "object", nil)
	got["list"].([]any)[1].(map[string]any)["x"] = "changed"
	got["name"] = "changed"
	again := c.Object(ctx, "object", nil)
	if again["name"] != "n" || again["list"].([]any)[1].(map[string]any)["x"] != true {
		t.Errorf("a caller changed the flag for all: %v", again)
	}
}

func TestNotReady(t *testing.T) {
	ready, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close(t.Context())
	for name, c := range map[string]*Client{"nil client": nil, "no snapshot": ready} {
		got := c.BoolDetails(t.Context(), "bool", true)
		if want := (Evaluation[bool]{Value: true, Reason: ReasonError, ErrorCode: ErrorProviderNotReady}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if got := c.BoolFlag("bool", true).Details(t.Context()); got.ErrorCode != ErrorProviderNotReady || !got.Value {
			t.Errorf("%s: handle: %+v", name, got)
		}
	}
}

func TestNilClient(t *testing.T) {
	var c *Client
	ctx, work := c.Begin(t.Context())
	if ctx != t.Context() || work != nil {
		t.Error("Begin changed something")
	}
	work.Fail()
	work.End(nil)
	if err := c.Close(noContext); err != nil {
		t.Error(err)
	}
	if err := c.Flush(noContext); err != nil {
		t.Error(err)
	}
	if err := c.WaitRevision(ctx, 1); err == nil {
		t.Error("WaitRevision has nothing to wait for, and says nothing")
	}
	if s := c.Status(); s.State != StateClosed {
		t.Errorf("state %s", s.State)
	}
	d := c.Dependency("payment")
	called := false
	if err := d.Do(ctx, func(context.Context) error { called = true; return nil }); err != nil || !called || d.Name() != "payment" || d.State().String() != "closed" {
		t.Errorf("dependency: called %v, error %v, %q, %v", called, err, d.Name(), d.State())
	}
	if got := c.Object(ctx, "o", map[string]any{"a": 1}); got["a"] != 1 {
		t.Errorf("Object = %v", got)
	}
}

// A handle must not hold on to a snapshot that is over.
func TestHandleFollowsSnapshots(t *testing.T) {
	c := offline(t, setAt(1))
	handle := c.BoolFlag("f", false)
	states := []struct {
		set  flag.Set
		want bool
	}{{setAt(2, release("f")), false}, {setAt(3, newFlag("f", flag.KindRelease, flag.TypeBoolean, "on", "true")), true}, {setAt(4), false}}
	if handle.Details(t.Context()).ErrorCode != ErrorFlagNotFound {
		t.Error("found a flag that is not there")
	}
	for _, s := range states {
		if ok, err := c.install(s.set); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if got := handle.Get(t.Context()); got != s.want {
			t.Errorf("revision %d: %v", s.set.Revision, got)
		}
	}
}

func TestContext(t *testing.T) {
	list := []any{"a"}
	base := NewContext("u").With("list", list)
	list[0] = "changed"
	more := base.With("plan", "gold").With("list", "other")
	if base.Attribute("plan") != nil || !reflect.DeepEqual(base.Attribute("list"), []any{"a"}) {
		t.Errorf("With changed the context it was called on: %v", base)
	}
	ctx := WithContext(noContext, more)
	got, ok := FromContext(context.WithValue(ctx, foreignKey{}, "value"))
	if !ok || got.TargetingKey() != "u" || got.Attribute("plan") != "gold" {
		t.Errorf("FromContext = %v, %v", got, ok)
	}
	for _, ctx := range []context.Context{nil, context.Background()} {
		if _, ok := FromContext(ctx); ok {
			t.Errorf("found a context in %v", ctx)
		}
	}
	inner, work := offline(t, setAt(1)).Begin(ctx)
	defer work.End(nil)
	if got, ok := FromContext(inner); !ok || got.TargetingKey() != "u" {
		t.Errorf("Begin lost the evaluation context: %v, %v", got, ok)
	}
	if WithContext(inner, NewContext("v")).(*scope).work != work {
		t.Error("WithContext lost the unit of work")
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := map[string]struct {
		options []Option
		want    string // part of the error
	}{
		"flush interval": {[]Option{WithFlushInterval(1)}, "give 100ms to 5m0s"},
		"wait":           {[]Option{WithServer("http://x"), WithWait(-1)}, "give 0 or more"},
		"wait for what":  {[]Option{WithWait(1)}, "WithServer"},
		"key":            {[]Option{WithKey("a\nb")}, "line break"},
		"directory":      {[]Option{WithFile(t.TempDir())}, "name a file in it"},
		"scheme":         {[]Option{WithServer("plane:80")}, "give a URL"},
		"user":           {[]Option{WithServer("http://u:secret@plane")}, "WithKey"},
		"query":          {[]Option{WithServer("http://plane?x=1")}, "leave out"},
	}
	for name, test := range tests {
		c, err := Open(t.Context(), test.options...)
		if err == nil {
			c.Close(t.Context())
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v\nwant %q in it", name, err, test.want)
		}
	}
}
