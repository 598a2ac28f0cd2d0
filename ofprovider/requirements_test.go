package ofprovider_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/ofprovider"
)

// outcome is what all resolution details have.
type outcome struct {
	value    any
	variant  string
	reason   of.Reason
	code     of.ErrorCode
	metadata of.FlagMetadata
}

func outcomeOf[T any](d of.GenericResolutionDetail[T]) outcome {
	r := d.ResolutionDetail()
	return outcome{d.Value, r.Variant, r.Reason, r.ErrorCode, r.FlagMetadata}
}

var production = of.FlagMetadata{"flagSetId": "production"}

// TestRequirements asks the provider itself, by the clauses of section 2 of the OpenFeature
// specification.
func TestRequirements(t *testing.T) {
	user := of.FlattenedContext{of.TargetingKey: "user-1"}
	beta := of.FlattenedContext{of.TargetingKey: "user-1", "group": "beta"}
	inTrial := of.FlagMetadata{"flagSetId": "production", "version": "checkout.1.2"}
	object := map[string]any{"list": []any{1.0, map[string]any{"x": true}}, "name": "n"}
	tests := []struct {
		clause, name string
		ask          func(*ofprovider.Provider, context.Context) outcome
		want         outcome
	}{
		{"2.2.2.1", "boolean", askBool("bool", user), outcome{false, "off", of.StaticReason, "", production}},
		{"2.2.2.1", "string", askString("string"), outcome{"text", "a", of.StaticReason, "", production}},
		{"2.2.2.1", "integer", askInt("int"), outcome{int64(42), "a", of.StaticReason, "", production}},
		{"2.2.2.1", "float", askFloat("float"), outcome{0.5, "a", of.StaticReason, "", production}},
		{"2.2.2.1", "structure", askObject("object"), outcome{object, "a", of.StaticReason, "", production}},
		{"2.2.3", "an empty string is a value", askString("empty"), outcome{"", "a", of.StaticReason, "", production}},
		{"2.2.3", "the largest integer is exact", askInt("large"), outcome{int64(1<<53 - 1), "a", of.StaticReason, "", production}},
		{"2.2.3", "an integer as a float", askFloat("int"), outcome{42.0, "a", of.StaticReason, "", production}},
		{"2.2.3", "a whole float as an integer", askInt("whole"), outcome{int64(10), "a", of.StaticReason, "", production}},
		{"2.2.5", "targeting match", askBool("rule", beta), outcome{true, "on", of.TargetingMatchReason, "", production}},
		{"2.2.5", "no match", askBool("rule", user), outcome{false, "off", of.DefaultReason, "", production}},
		{"2.2.5", "split", askBool("split", user), outcome{true, "on", of.SplitReason, "", production}},
		{"2.2.5", "split without targeting key", askBool("split", nil), outcome{false, "off", of.DefaultReason, "", production}},
		{"2.2.5", "disabled is the code default", askBool("disabled", user), outcome{true, "", of.DisabledReason, "", production}},
		{"2.2.5", "no default variant is the code default", askBool("code-default", user), outcome{true, "", of.DefaultReason, "", production}},
		{"2.2.7", "unknown flag", askBool("nowhere", user), outcome{true, "", of.ErrorReason, of.FlagNotFoundCode, production}},
		{"2.2.7", "empty key", askBool("", user), outcome{true, "", of.ErrorReason, of.FlagNotFoundCode, production}},
		{"2.2.7", "string as a boolean", askBool("string", user), outcome{true, "", of.ErrorReason, of.TypeMismatchCode, production}},
		{"2.2.7", "boolean as a string", askString("bool"), outcome{"default", "", of.ErrorReason, of.TypeMismatchCode, production}},
		{"2.2.7", "boolean as an integer", askInt("bool"), outcome{int64(-1), "", of.ErrorReason, of.TypeMismatchCode, production}},
		{"2.2.7", "string as a float", askFloat("string"), outcome{-1.0, "", of.ErrorReason, of.TypeMismatchCode, production}},
		{"2.2.7", "half as an integer", askInt("float"), outcome{int64(-1), "", of.ErrorReason, of.TypeMismatchCode, production}},
		{"2.2.7", "object as a string", askString("object"), outcome{"default", "", of.ErrorReason, of.TypeMismatchCode, production}},
		{"2.2.7", "string as an object", askObject("string"), outcome{"default", "", of.ErrorReason, of.TypeMismatchCode, production}},
		{"2.2.7", "targeting key that is no string", askBool("bool", of.FlattenedContext{of.TargetingKey: 7}), outcome{true, "", of.ErrorReason, of.InvalidContextCode, of.FlagMetadata{}}},
		{"2.2.9", "in a trial", askBool("trial", user), outcome{true, "on", of.SplitReason, "", inTrial}},
		{"2.2.10", "imported definition", askObject("imported"), outcome{map[string]any{"max": 1.0}, "small", of.DefaultReason, "", of.FlagMetadata{
			"flagSetId": "production", "team": "checkout", "tier": int64(2), "live": true}}},
		{"2.2.9", "beside a trial", askBool("trial", nil), outcome{false, "off", of.DefaultReason, "", inTrial}},
	}
	provider := initialized(t, flags())
	for _, test := range tests {
		t.Run(test.clause+" "+test.name, func(t *testing.T) {
			for _, ctx := range []context.Context{t.Context(), nil} {
				if got := test.ask(provider, ctx); !reflect.DeepEqual(got, test.want) {
					t.Errorf("%+v\nwant %+v", got, test.want)
				}
			}
		})
	}
}

func askBool(key string, flat of.FlattenedContext) func(*ofprovider.Provider, context.Context) outcome {
	return func(p *ofprovider.Provider, ctx context.Context) outcome {
		return outcomeOf(p.BooleanEvaluation(ctx, key, true, flat))
	}
}

func askString(key string) func(*ofprovider.Provider, context.Context) outcome {
	return func(p *ofprovider.Provider, ctx context.Context) outcome {
		return outcomeOf(p.StringEvaluation(ctx, key, "default", nil))
	}
}

func askInt(key string) func(*ofprovider.Provider, context.Context) outcome {
	return func(p *ofprovider.Provider, ctx context.Context) outcome {
		return outcomeOf(p.IntEvaluation(ctx, key, -1, nil))
	}
}

func askFloat(key string) func(*ofprovider.Provider, context.Context) outcome {
	return func(p *ofprovider.Provider, ctx context.Context) outcome {
		return outcomeOf(p.FloatEvaluation(ctx, key, -1, nil))
	}
}

func askObject(key string) func(*ofprovider.Provider, context.Context) outcome {
	return func(p *ofprovider.Provider, ctx context.Context) outcome {
		return outcomeOf(p.ObjectEvaluation(ctx, key, "default", nil))
	}
}

func TestRequirement_2_1_1_and_2_3_1(t *testing.T) {
	hook := ofprovider.NewSpanHook()
	p := ofprovider.New(nil, nil, ofprovider.WithHooks(hook))
	if p.Metadata().Name != "seatrial" || len(p.Hooks()) != 1 || p.Hooks()[0] != hook {
		t.Errorf("metadata %+v, hooks %v", p.Metadata(), p.Hooks())
	}
}

// 2.2.6, 2.3.2: no error, and no message of one, in normal execution; 2.2.7, 2.3.3: both, if not.
func TestRequirement_2_3_3_ErrorMessages(t *testing.T) {
	p, ctx := initialized(t, flags()), t.Context()
	tests := map[string]struct {
		detail of.BoolResolutionDetail
		parts  []string // none: no error
	}{
		"static":        {p.BooleanEvaluation(ctx, "bool", true, nil), nil},
		"disabled":      {p.BooleanEvaluation(ctx, "disabled", true, nil), nil},
		"not found":     {p.BooleanEvaluation(ctx, "nowhere", true, nil), []string{`"nowhere"`, "revision 7", "production", "create it"}},
		"type mismatch": {p.BooleanEvaluation(ctx, "string", true, nil), []string{`"string"`, "type"}},
		"context":       {p.BooleanEvaluation(ctx, "bool", true, of.FlattenedContext{of.TargetingKey: 1.5}), []string{"float64", "give a string"}},
	}
	for name, test := range tests {
		err := test.detail.Error()
		if (err == nil) != (test.parts == nil) || (err == nil) != (test.detail.ResolutionDetail().ErrorMessage == "") {
			t.Errorf("%s: error %v", name, err)
		}
		wantText(t, name, test.detail.ResolutionDetail().ErrorMessage, test.parts...)
	}
}

// 2.4.2.1, and the error codes of initialization.
func TestRequirement_2_4_2_1(t *testing.T) {
	closed := func(p *plane) *seatrial.Client {
		c := p.open()
		_ = c.Close(context.Background())
		return c
	}
	tests := map[string]struct {
		status int // of the control plane
		client func(*plane) *seatrial.Client
		code   of.ErrorCode // empty: it is ready
		parts  []string
		within time.Duration
	}{
		"all is well":       {client: func(p *plane) *seatrial.Client { return p.open() }, within: time.Second},
		"key refused":       {status: 401, client: func(p *plane) *seatrial.Client { return p.open() }, code: of.ProviderFatalCode, parts: []string{"refused"}, within: time.Second},
		"key of wrong kind": {status: 403, client: func(p *plane) *seatrial.Client { return p.open() }, code: of.ProviderFatalCode, parts: []string{"kind sdk"}, within: time.Second},
		"server in trouble": {status: 500, client: func(p *plane) *seatrial.Client { return p.open() }, code: of.ProviderNotReadyCode, parts: []string{"within 10s", "500", "http://plane"}, within: 10 * time.Second},
		"nil client":        {client: func(*plane) *seatrial.Client { return nil }, code: of.ProviderFatalCode, parts: []string{"seatrial.Open"}, within: time.Second},
		"closed client":     {client: closed, code: of.ProviderFatalCode, parts: []string{"closed"}, within: time.Second},
		"no server": {client: func(p *plane) *seatrial.Client { return p.open(seatrial.WithServer("")) },
			code: of.ProviderFatalCode, parts: []string{"seatrial.WithServer"}, within: time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plane := newPlane(t, flags())
				plane.fail(test.status)
				p := ofprovider.New(test.client(plane))
				defer p.Shutdown()
				began := time.Now()
				err := p.Init(of.EvaluationContext{})
				if took := time.Since(began); took > test.within {
					t.Errorf("took %v", took)
				}
				var initError *of.ProviderInitError
				if test.code == "" {
					if err != nil {
						t.Error(err)
					}
				} else if !errors.As(err, &initError) || initError.ErrorCode != test.code {
					t.Errorf("error %v, want code %s", err, test.code)
				} else {
					wantText(t, "message", initError.Message, test.parts...)
				}
			})
		})
	}
}

func TestInitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newPlane(t, flags())
		plane.fail(500)
		p := ofprovider.New(plane.open(), ofprovider.WithInitTimeout(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.InitWithContext(ctx, of.EvaluationContext{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		time.AfterFunc(time.Minute, p.Shutdown)
		if err := p.Init(of.EvaluationContext{}); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shut down meanwhile: %v", err)
		}
	})
}

// A last known good snapshot is enough to be ready, at once if the control plane is known to be
// away.
func TestInitWithLastKnownGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := t.TempDir() + "/lkg.json"
		plane := newPlane(t, flags())
		first := plane.open(seatrial.WithFile(file), seatrial.WithWait(time.Second))
		_ = first.Close(context.Background())
		for name, status := range map[string]int{"in trouble": 500, "refusing": 401} {
			plane.fail(status)
			p := ofprovider.New(plane.open(seatrial.WithFile(file)))
			began := time.Now()
			if err := p.Init(of.EvaluationContext{}); err != nil || time.Since(began) > time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
			if got := p.StringEvaluation(t.Context(), "string", "", nil); got.Value != "text" {
				t.Errorf("%s: %+v", name, got)
			}
			p.Shutdown()
		}
		alone := ofprovider.New(plane.open(seatrial.WithFile(file), seatrial.WithServer("")))
		if err := alone.Init(of.EvaluationContext{}); err != nil {
			t.Errorf("without a server: %v", err)
		}
		time.Sleep(time.Hour)
		select {
		case e := <-alone.EventChannel():
			t.Errorf("a provider without a server tells %+v", e)
		default:
		}
		alone.Shutdown()
	})
}

// 2.5.1, 2.5.2: what was counted is sent; afterwards it is as before; and again.
func TestRequirement_2_5_2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newPlane(t, flags())
		client := plane.open(seatrial.WithFlushInterval(5 * time.Minute))
		p := ofprovider.New(client)
		notReady := outcome{true, "", of.ErrorReason, of.ProviderNotReadyCode, of.FlagMetadata{}}
		for range 2 {
			if got := askBool("bool", nil)(p, t.Context()); !reflect.DeepEqual(got, notReady) {
				t.Errorf("before Init: %+v", got)
			}
			if err := p.Init(of.EvaluationContext{}); err != nil {
				t.Fatal(err)
			}
			ctx, work := client.Begin(t.Context())
			if got := askBool("trial", of.FlattenedContext{of.TargetingKey: "u"})(p, ctx); got.variant != "on" {
				t.Errorf("after Init: %+v", got)
			}
			work.End(nil)
			before := plane.reported()
			var none context.Context // promised to be borne
			if err := p.ShutdownWithContext(none); err != nil {
				t.Error(err)
			}
			if plane.reported() != before+1 {
				t.Errorf("%d reports after shutdown", plane.reported()-before)
			}
			p.Shutdown()
		}
		if client.Status().State != seatrial.StateReady {
			t.Error("the client was closed")
		}
	})
}

func (p *plane) reported() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reports
}

func TestShutdownIsPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newPlane(t, flags())
		client := plane.open()
		p := ofprovider.New(client, ofprovider.WithClose())
		if err := p.Init(of.EvaluationContext{}); err != nil {
			t.Fatal(err)
		}
		plane.fail(500)
		began := time.Now()
		p.Shutdown()
		if took := time.Since(began); took > 7*time.Second || client.Status().State != seatrial.StateClosed {
			t.Errorf("took %v, client %s", took, client.Status().State)
		}
	})
}

// The evaluation context may hold anything: nothing panics, and what can be matched is.
func TestRequirement_3_1_2_AnyValue(t *testing.T) {
	type plan string
	type custom struct{ hidden any }
	cycle := map[string]any{}
	cycle["self"], cycle["again"] = cycle, []any{cycle, cycle}
	var nilPointer *string
	text := "beta"
	tests := map[string]struct {
		group any
		match bool
	}{
		"text": {"beta", true}, "named text": {plan("beta"), true}, "pointer": {&text, true}, "list": {[]any{"x", "beta"}, true},
		"strings": {[]string{"beta"}, true}, "named list": {[]plan{"beta"}, true}, "array": {[1]string{"beta"}, true},
		"pointer to pointer": {func() any { p := &text; return &p }(), true},
		"nil":                {nil, false}, "nil pointer": {nilPointer, false}, "struct": {custom{cycle}, false}, "map": {map[int]string{1: "beta"}, false},
		"function": {func() {}, false}, "channel": {make(chan int), false}, "NaN": {math.NaN(), false}, "complex": {1i, false}, "cycle": {cycle, false},
		"object": {map[plan]any{"a": custom{}}, false}, "error": {errors.New("beta"), false},
	}
	p := initialized(t, flags())
	for name, test := range tests {
		got := p.BooleanEvaluation(t.Context(), "rule", false, of.FlattenedContext{"group": test.group, "other": cycle})
		if got.Value != test.match || got.Error() != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
