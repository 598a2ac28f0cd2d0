package flagd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/seatrial/seatrial/internal/core/flag"
	v1 "github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv1pb"
	v2 "github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv2pb"
)

// protocols are the ways in which a client can talk.
var protocols = []struct {
	name    string
	client  func() *http.Client
	options []connect.ClientOption
}{
	{"Connect over HTTP/1.1", func() *http.Client { return http.DefaultClient }, nil},
	{"Connect", h2, nil},
	{"Connect with JSON", h2, []connect.ClientOption{connect.WithProtoJSON()}},
	{"gRPC", h2, []connect.ClientOption{connect.WithGRPC()}},
	{"gRPC-Web", func() *http.Client { return http.DefaultClient }, []connect.ClientOption{connect.WithGRPCWeb()}},
}

// fill stores one flag of every type and case.
func fill(r *rig) {
	typed := func(key string, t flag.Type, values ...string) flag.Flag {
		return flag.Flag{Key: key, Kind: flag.KindConfig, Type: t, Enabled: true, DefaultVariant: "a", Variants: variants(values...)}
	}
	r.put("default",
		boolFlag("flag", func(f *flag.Flag) {
			f.ClientSide = true
			f.Rules = []flag.Rule{{Serve: "on", When: &flag.Condition{Attribute: "user.age", Op: flag.OpGreaterEq, Values: []json.RawMessage{json.RawMessage("18")}}}}
		}),
		boolFlag("static"), boolFlag("tried"),
		boolFlag("disabled", func(f *flag.Flag) { f.Enabled = false }),
		boolFlag("undecided", func(f *flag.Flag) { f.DefaultVariant = "" }),
		typed("text", flag.TypeString, "a", `"hello"`), typed("whole", flag.TypeInteger, "a", "42"),
		typed("even", flag.TypeFloat, "a", "7"), typed("fraction", flag.TypeFloat, "a", "0.5"),
		flag.Flag{Key: "policy", Kind: flag.KindPolicy, Type: flag.TypeObject, Enabled: true, DefaultVariant: "none", Variants: variants("none", "null")},
		typed("object", flag.TypeObject, "a", `{"list":[1,{"deep":true}],"none":null}`),
	)
	r.put("staging", boolFlag("static", func(f *flag.Flag) { f.DefaultVariant = "on" }))
	r.try("tried")
}

func TestEveryProtocolGetsTheSame(t *testing.T) {
	r := newRig(t)
	fill(r)
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			options := append([]connect.ClientOption{as("sdk", "")}, p.options...)
			one, two := v1.NewServiceClient(p.client(), r.url, options...), v2.NewServiceClient(p.client(), r.url, options...)
			adult := object(t, map[string]any{"targetingKey": "u1", "user": map[string]any{"age": 18}})
			got1, err1 := one.ResolveBoolean(t.Context(), &v1.ResolveBooleanRequest{FlagKey: "flag", Context: adult})
			got2, err2 := two.ResolveBoolean(t.Context(), &v2.ResolveBooleanRequest{FlagKey: "flag", Context: adult})
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			own := object(t, map[string]any{"flagSetId": "default"})
			if want := (&v1.ResolveBooleanResponse{Value: true, Reason: "TARGETING_MATCH", Variant: "on", Metadata: own}); !proto.Equal(got1, want) {
				t.Errorf("v1: got %v, want %v", got1, want)
			}
			if want := (&v2.ResolveBooleanResponse{Value: proto.Bool(true), Reason: "TARGETING_MATCH", Variant: proto.String("on"), Metadata: own}); !proto.Equal(got2, want) {
				t.Errorf("v2: got %v, want %v", got2, want)
			}
			_, err := two.ResolveString(t.Context(), &v2.ResolveStringRequest{FlagKey: "flag"})
			if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "boolean") {
				t.Errorf("another type: %v", err)
			}
			stream, err := two.EventStream(t.Context(), &v2.EventStreamRequest{})
			if err != nil || !stream.Receive() || stream.Msg().GetType() != "provider_ready" {
				t.Fatalf("stream: %v, %v", err, stream)
			}
			stream.Close()
		})
	}
}

// resolution is what a client of v2 gets, whatever type it asks for.
type resolution interface {
	GetReason() string
	GetVariant() string
}

func TestValuesOfEveryType(t *testing.T) {
	r := newRig(t)
	fill(r)
	type valued struct {
		resolution
		value any
	}
	client := v2.NewServiceClient(h2(), r.url, connect.WithGRPC(), as("sdk", ""))
	boolean := func(key string) (valued, error) {
		m, err := client.ResolveBoolean(t.Context(), &v2.ResolveBooleanRequest{FlagKey: key})
		return valued{m, deref(m.GetValue(), m != nil && m.Value != nil)}, err
	}
	text := func(key string) (valued, error) {
		m, err := client.ResolveString(t.Context(), &v2.ResolveStringRequest{FlagKey: key})
		return valued{m, deref(m.GetValue(), m != nil && m.Value != nil)}, err
	}
	float := func(key string) (valued, error) {
		m, err := client.ResolveFloat(t.Context(), &v2.ResolveFloatRequest{FlagKey: key})
		return valued{m, deref(m.GetValue(), m != nil && m.Value != nil)}, err
	}
	whole := func(key string) (valued, error) {
		m, err := client.ResolveInt(t.Context(), &v2.ResolveIntRequest{FlagKey: key})
		return valued{m, deref(m.GetValue(), m != nil && m.Value != nil)}, err
	}
	nested := func(key string) (valued, error) {
		m, err := client.ResolveObject(t.Context(), &v2.ResolveObjectRequest{FlagKey: key})
		return valued{m, m.GetValue().AsMap()}, err
	}
	for _, test := range []struct {
		name, key string
		ask       func(string) (valued, error)
		value     any
		reason    string
		variant   string
		code      connect.Code
	}{
		{name: "static", key: "static", ask: boolean, value: false, reason: "STATIC", variant: "off"},
		{name: "rules that do not match", key: "flag", ask: boolean, value: false, reason: "DEFAULT", variant: "off"},
		{name: "never static while a trial runs", key: "tried", ask: boolean, value: false, reason: "DEFAULT", variant: "off"},
		{name: "disabled", key: "disabled", ask: boolean, reason: "DISABLED"},
		{name: "disabled, another type", key: "disabled", ask: text, reason: "DISABLED"},
		{name: "no default", key: "undecided", ask: boolean, reason: "DEFAULT"},
		{name: "null", key: "policy", ask: nested, value: map[string]any{}, reason: "DEFAULT"},
		{name: "text", key: "text", ask: text, value: "hello", reason: "STATIC", variant: "a"},
		{name: "integer", key: "whole", ask: whole, value: int64(42), reason: "STATIC", variant: "a"},
		{name: "integer as float", key: "whole", ask: float, value: 42.0, reason: "STATIC", variant: "a"},
		{name: "whole float as integer", key: "even", ask: whole, value: int64(7), reason: "STATIC", variant: "a"},
		{name: "fraction as integer", key: "fraction", ask: whole, code: connect.CodeInvalidArgument},
		{name: "fraction", key: "fraction", ask: float, value: 0.5, reason: "STATIC", variant: "a"},
		{name: "object", key: "object", ask: nested, reason: "STATIC", variant: "a",
			value: map[string]any{"list": []any{1.0, map[string]any{"deep": true}}, "none": nil}},
		{name: "object as text", key: "object", ask: text, code: connect.CodeInvalidArgument},
		{name: "text as object", key: "text", ask: nested, code: connect.CodeInvalidArgument},
		{name: "unknown", key: "other", ask: boolean, code: connect.CodeNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.ask(test.key)
			if test.code != 0 {
				if connect.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.key) {
					t.Errorf("got %v (%v), want %v", got, err, test.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a, b := asJSON(got.value), asJSON(test.value); a != b || got.GetReason() != test.reason || got.GetVariant() != test.variant {
				t.Errorf("got %s %s %q, want %s %s %q", a, got.GetReason(), got.GetVariant(), b, test.reason, test.variant)
			}
		})
	}
}

func deref[T any](v T, given bool) any {
	if !given {
		return nil
	}
	return v
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestVersion1CannotSayThatThereIsNoValue(t *testing.T) {
	r := newRig(t)
	fill(r)
	client := v1.NewServiceClient(h2(), r.url, connect.WithGRPC(), as("sdk", ""))
	for _, key := range []string{"disabled", "undecided"} {
		if got, err := client.ResolveBoolean(t.Context(), &v1.ResolveBooleanRequest{FlagKey: key}); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("%s: got %v, %v", key, got, err)
		}
	}
}

func TestAllFlags(t *testing.T) {
	r := newRig(t)
	fill(r)
	one := v1.NewServiceClient(h2(), r.url, as("sdk", ""))
	two := v2.NewServiceClient(h2(), r.url, as("sdk", ""))
	all1, err1 := one.ResolveAll(t.Context(), &v1.ResolveAllRequest{})
	all2, err2 := two.ResolveAll(t.Context(), &v2.ResolveAllRequest{})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if len(all1.Flags) != 8 || len(all2.Flags) != 11 {
		t.Fatalf("%d flags that give a value, %d in all", len(all1.Flags), len(all2.Flags))
	}
	if f := all2.Flags["disabled"]; f == nil || f.Variant != nil || f.Value != nil || f.Reason != "DISABLED" {
		t.Errorf("disabled: %v", f)
	}
	for key, want := range map[string]any{"text": "hello", "whole": 42.0, "fraction": 0.5, "flag": false} {
		f1, f2 := all1.Flags[key], all2.Flags[key]
		if got := anyOf(f1.GetValue()); got != want {
			t.Errorf("v1: %s is %v, want %v", key, got, want)
		}
		if got := anyOf(f2.GetValue()); got != want || f1.Variant != f2.GetVariant() || f1.Reason != f2.Reason {
			t.Errorf("v2: %s is %v, want %v", key, f2, f1)
		}
	}
	if got := asJSON(all1.Flags["object"].GetObjectValue().AsMap()); got != `{"list":[1,{"deep":true}],"none":null}` {
		t.Errorf("object is %s", got)
	}
	meta := all1.Metadata.AsMap()
	if meta["flagSetId"] != "default" || meta["version"] != all2.Metadata.AsMap()["version"] || meta["version"] == "" {
		t.Errorf("metadata %v", meta)
	}
	if v := all2.Flags["tried"].Metadata.AsMap()["version"]; v == nil || v == meta["version"] || all2.Flags["static"].Metadata.AsMap()["version"] != nil {
		t.Errorf("version of a tried flag is %v", v)
	}
}

func anyOf(v any) any {
	switch v := v.(type) {
	case *v1.AnyFlag_BoolValue:
		return v.BoolValue
	case *v1.AnyFlag_StringValue:
		return v.StringValue
	case *v1.AnyFlag_DoubleValue:
		return v.DoubleValue
	case *v2.AnyFlag_BoolValue:
		return v.BoolValue
	case *v2.AnyFlag_StringValue:
		return v.StringValue
	case *v2.AnyFlag_DoubleValue:
		return v.DoubleValue
	}
	return v
}

func TestBrowserKeysSeeClientSideFlagsOnly(t *testing.T) {
	r := newRig(t)
	fill(r)
	client := v1.NewServiceClient(http.DefaultClient, r.url, as("client", ""))
	all, err := client.ResolveAll(t.Context(), &v1.ResolveAllRequest{})
	if err != nil || len(all.Flags) != 1 || all.Flags["flag"] == nil {
		t.Errorf("all flags are %v, %v", all, err)
	}
	if _, err = client.ResolveBoolean(t.Context(), &v1.ResolveBooleanRequest{FlagKey: "flag"}); err != nil {
		t.Error(err)
	}
	if _, err = client.ResolveBoolean(t.Context(), &v1.ResolveBooleanRequest{FlagKey: "static"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("another flag: %v", err)
	}
}

func TestSelectors(t *testing.T) {
	r := newRig(t)
	fill(r)
	for _, test := range []struct {
		selector string
		value    bool
		reason   string
		code     connect.Code
	}{
		{selector: "", reason: "STATIC"},
		{selector: "flagSetId=", reason: "STATIC"},
		{selector: "flagSetId=default", reason: "STATIC"},
		{selector: "flagSetId=staging", value: true, reason: "DEFAULT"}, // its changes may go untold
		{selector: " source = staging ", value: true, reason: "DEFAULT"},
		{selector: "staging", value: true, reason: "DEFAULT"},
		{selector: "flagSetId=other", code: connect.CodeNotFound},
		{selector: "team=x", code: connect.CodeInvalidArgument},
		{selector: "flagSetId=staging,source=x", code: connect.CodeInvalidArgument},
	} {
		client := v2.NewServiceClient(h2(), r.url, connect.WithGRPC(), as("sdk", test.selector))
		got, err := client.ResolveBoolean(t.Context(), &v2.ResolveBooleanRequest{FlagKey: "static"})
		if test.code != 0 && connect.CodeOf(err) != test.code || test.code == 0 && (err != nil || got.GetValue() != test.value || got.GetReason() != test.reason) {
			t.Errorf("%q: got %v, %v", test.selector, got, err)
		}
	}
}

func TestOddContexts(t *testing.T) {
	r := newRig(t)
	fill(r)
	objects, lists := map[string]any{}, []any{}
	for range 20 {
		objects, lists = map[string]any{"x": objects}, []any{lists}
	}
	client := v2.NewServiceClient(h2(), r.url, as("sdk", ""))
	for name, test := range map[string]struct {
		context map[string]any
		code    connect.Code
	}{
		"objects too deep":           {objects, connect.CodeInvalidArgument},
		"lists too deep":             {map[string]any{"x": lists}, connect.CodeInvalidArgument},
		"too long":                   {map[string]any{"x": strings.Repeat("x", 1<<20)}, connect.CodeResourceExhausted},
		"targeting key is a number":  {map[string]any{"targetingKey": 5, "user": map[string]any{"age": 20}}, 0},
		"targeting key is an object": {map[string]any{"targetingKey": map[string]any{}, "user": map[string]any{"age": 20, "x": nil}}, 0},
	} {
		got, err := client.ResolveBoolean(t.Context(), &v2.ResolveBooleanRequest{FlagKey: "flag", Context: object(t, test.context)})
		if test.code != 0 && connect.CodeOf(err) != test.code || test.code == 0 && (err != nil || !got.GetValue()) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestJSONAsConnectWebSpeaksIt(t *testing.T) {
	r := newRig(t)
	fill(r)
	for _, test := range []struct {
		name, method, key, body string
		status                  int
		want                    string
	}{
		{"values that are zero are there", "/flagd.evaluation.v1.Service/ResolveBoolean", "sdk", `{"flagKey":"static","context":{}}`, 200,
			`{"metadata":{"flagSetId":"default"},"reason":"STATIC","value":false,"variant":"off"}`},
		{"no value", "/flagd.evaluation.v2.Service/ResolveBoolean", "sdk", `{"flagKey":"disabled"}`, 200,
			`{"metadata":{"flagSetId":"default"},"reason":"DISABLED"}`},
		{"the old name", "/schema.v1.Service/ResolveInt", "sdk", `{"flagKey":"whole"}`, 200,
			`{"metadata":{"flagSetId":"default"},"reason":"STATIC","value":"42","variant":"a"}`},
		{"unknown fields", "/flagd.evaluation.v2.Service/ResolveBoolean", "sdk", `{"flagKey":"static","novelty":[1]}`, 200,
			`{"metadata":{"flagSetId":"default"},"reason":"STATIC","value":false,"variant":"off"}`},
		{"no JSON", "/flagd.evaluation.v2.Service/ResolveBoolean", "sdk", `{`, 400, ""},
		{"empty", "/flagd.evaluation.v2.Service/ResolveBoolean", "sdk", ``, 400, ""},
		{"nobody", "/flagd.evaluation.v2.Service/ResolveBoolean", "", `{"flagKey":"static"}`, 401, `{"code":"unauthenticated","message":"no valid key: send one"}`},
		{"too long", "/flagd.evaluation.v2.Service/ResolveBoolean", "sdk", `{"flagKey":"` + strings.Repeat("x", 1<<20) + `"}`, 429, ""},
		{"no such method", "/flagd.evaluation.v2.Service/Other", "sdk", `{}`, 404, ""},
	} {
		req, _ := http.NewRequest("POST", r.url+test.method, strings.NewReader(test.body))
		req.Header.Set("Content-Type", "application/json")
		if test.key != "" {
			req.Header.Set("Authorization", "Bearer "+test.key)
		}
		req.Header.Set("Origin", "https://shop.example")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		var compact map[string]any
		if res.StatusCode == 200 || test.want != "" {
			if err := json.Unmarshal(body, &compact); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if res.StatusCode != test.status || test.want != "" && asJSON(compact) != test.want {
			t.Errorf("%s: got %d %s, want %d %s", test.name, res.StatusCode, body, test.status, test.want)
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "Grpc-Status") {
			t.Errorf("%s: a page cannot read it: %v", test.name, res.Header)
		}
	}
}

func TestPagesMayAsk(t *testing.T) {
	r := newRig(t)
	req, _ := http.NewRequest("OPTIONS", r.url+"/flagd.evaluation.v1.Service/ResolveAll", nil)
	req.Header.Set("Origin", "https://shop.example")
	req.Header.Set("Access-Control-Request-Method", "POST")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	for _, name := range []string{"Authorization", "Connect-Protocol-Version", "Content-Type", "X-Grpc-Web", "Flagd-Selector"} {
		if !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("%s is not allowed: %v", name, res.Header)
		}
	}
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("got %d %v", res.StatusCode, res.Header)
	}
}

func TestStockGRPC(t *testing.T) {
	r := newRig(t)
	fill(r)
	conn := r.dial()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer sdk", "flagd-selector", "flagSetId=staging")
	var got v2.ResolveBooleanResponse
	if err := conn.Invoke(ctx, v2.ServiceResolveBooleanProcedure, &v2.ResolveBooleanRequest{FlagKey: "static"}, &got); err != nil || !got.GetValue() {
		t.Fatalf("got %v, %v", &got, err)
	}
	for name, test := range map[string]struct {
		ctx  context.Context
		key  string
		code codes.Code
	}{
		"unknown flag": {ctx, "other", codes.NotFound},
		"nobody":       {t.Context(), "static", codes.Unauthenticated},
		"a role that may nothing": {metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer visitor"), "static",
			codes.PermissionDenied},
	} {
		err := conn.Invoke(test.ctx, v2.ServiceResolveBooleanProcedure, &v2.ResolveBooleanRequest{FlagKey: test.key}, &got)
		if status.Code(err) != test.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, v2.ServiceEventStreamProcedure)
	if err != nil {
		t.Fatal(err)
	}
	var event v2.EventStreamResponse
	if err := stream.SendMsg(&v2.EventStreamRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&event); err != nil || event.Type != "provider_ready" {
		t.Errorf("got %v, %v", &event, err)
	}
}

// TestStrangeBytes sends what no client would. Every answer is an answer.
func TestStrangeBytes(t *testing.T) {
	r := newRig(t)
	fill(r)
	for _, kind := range []string{"application/grpc", "application/grpc-web", "application/connect+proto", "application/connect+json", "application/proto", "text/plain", ""} {
		for _, body := range [][]byte{nil, {0}, {0, 0, 0, 0, 1}, {0, 255, 255, 255, 255}, {1, 0, 0, 0, 1, 7}, bytes.Repeat([]byte{0x0a, 0x01}, 1000)} {
			for _, method := range []string{v2.ServiceResolveBooleanProcedure, v2.ServiceEventStreamProcedure} {
				req, _ := http.NewRequest("POST", r.url+method, bytes.NewReader(body))
				req.Header.Set("Content-Type", kind)
				req.Header.Set("Authorization", "Bearer sdk")
				ctx, cancel := context.WithCancel(t.Context())
				res, err := h2().Do(req.WithContext(ctx))
				if err != nil || res.StatusCode >= 500 && res.StatusCode != 505 {
					t.Errorf("%s of %q with %v: %v %v", method, kind, body, res, err)
				}
				cancel()
			}
		}
	}
}
