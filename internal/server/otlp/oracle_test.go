package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	coltraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	res "go.opentelemetry.io/proto/otlp/resource/v1"
	otraces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/server/intervals"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// The oracle is the protobuf code generated from the OTLP definitions: requests are drawn as its
// structs, encoded by it, and what the reader gives is compared with what the structs say.

// sink keeps what a receiver gives away.
type sink struct {
	spans  []traces.Span
	points []intervals.Point
}

func (s *sink) Add(spans []traces.Span)              { s.spans = append(s.spans, spans...) }
func (s *sink) AddOutcomes(points []intervals.Point) { s.points = append(s.points, points...) }

// encodings are the ways in which one request can be written.
var encodings = []struct {
	name    string
	enc     encoding
	marshal func(proto.Message) ([]byte, error)
}{
	{"protobuf", encodingProtobuf, proto.Marshal},
	{"JSON with numbers", encodingJSON, func(m proto.Message) ([]byte, error) {
		return otlpJSON(m, protojson.MarshalOptions{UseEnumNumbers: true})
	}},
	{"JSON with names and nulls, indented", encodingJSON, func(m proto.Message) ([]byte, error) {
		return otlpJSON(m, protojson.MarshalOptions{EmitUnpopulated: true, Multiline: true})
	}},
}

// otlpJSON is protojson with the one difference of OTLP/JSON: ids are in hex.
func otlpJSON(m proto.Message, options protojson.MarshalOptions) ([]byte, error) {
	plain, err := options.Marshal(m)
	if err != nil {
		return nil, err
	}
	var tree any
	decoder := json.NewDecoder(strings.NewReader(string(plain)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	hexIDs(tree)
	return json.Marshal(tree)
}

func hexIDs(node any) {
	switch node := node.(type) {
	case []any:
		for _, element := range node {
			hexIDs(element)
		}
	case map[string]any:
		for key, value := range node {
			text, isText := value.(string)
			if isText && (key == "traceId" || key == "spanId" || key == "parentSpanId") {
				raw, _ := base64.StdEncoding.DecodeString(text)
				node[key] = hex.EncodeToString(raw)
			}
			hexIDs(value)
		}
	}
}

var (
	genText = rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z."\\/\n]{0,12}`))
	genKey  = rapid.OneOf(rapid.StringMatching(`[a-z.]{1,12}`), rapid.Just(""), rapid.StringN(1, 20, 80))
)

func genBytes(lengths ...int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.SampledFrom(lengths).Draw(t, "length")
		if rapid.IntRange(0, 9).Draw(t, "zero") == 0 {
			return make([]byte, n)
		}
		return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes")
	})
}

var genTime = rapid.OneOf(rapid.Uint64Range(0, math.MaxInt64), rapid.Uint64Range(1e18, 2e18), rapid.Uint64())

func genValue(depth int) *rapid.Generator[*common.AnyValue] {
	return rapid.Custom(func(t *rapid.T) *common.AnyValue {
		most := 7
		if depth == 0 {
			most = 5
		}
		switch rapid.IntRange(0, most).Draw(t, "kind") {
		case 0:
			return &common.AnyValue{}
		case 1:
			return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: genText.Draw(t, "s")}}
		case 2:
			return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: rapid.Bool().Draw(t, "b")}}
		case 3:
			return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: rapid.Int64().Draw(t, "i")}}
		case 4:
			f := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0})).Draw(t, "f")
			return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: f}}
		case 5:
			return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "y")}}
		case 6:
			list := rapid.SliceOfN(genValue(depth-1), 0, 3).Draw(t, "list")
			return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{Values: list}}}
		}
		pairs := rapid.SliceOfN(genPair(depth-1), 0, 3).Draw(t, "map")
		return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: pairs}}}
	})
}

func genPair(depth int) *rapid.Generator[*common.KeyValue] {
	return rapid.Custom(func(t *rapid.T) *common.KeyValue {
		kv := &common.KeyValue{Key: genKey.Draw(t, "key")}
		if rapid.IntRange(0, 9).Draw(t, "empty") > 0 {
			kv.Value = genValue(depth).Draw(t, "value")
		}
		return kv
	})
}

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

var genResource = rapid.Custom(func(t *rapid.T) *res.Resource {
	if rapid.IntRange(0, 9).Draw(t, "no resource") == 0 {
		return nil
	}
	r := &res.Resource{Attributes: rapid.SliceOfN(genPair(1), 0, 2).Draw(t, "attributes")}
	if rapid.Bool().Draw(t, "has service") {
		r.Attributes = append(r.Attributes, text("service.name", genText.Draw(t, "service")))
	}
	if rapid.IntRange(0, 5).Draw(t, "has instance") > 0 {
		r.Attributes = append(r.Attributes, text("service.instance.id", rapid.StringN(0, 8, -1).Draw(t, "instance")))
	}
	return r
})

var genSpan = rapid.Custom(func(t *rapid.T) *otraces.Span {
	span := &otraces.Span{
		TraceId: genBytes(16, 16, 16, 16, 16, 0, 8).Draw(t, "trace"), SpanId: genBytes(8, 8, 8, 8, 8, 0, 16).Draw(t, "span"),
		ParentSpanId: genBytes(8, 8, 0).Draw(t, "parent"), TraceState: genText.Draw(t, "state"),
		Flags: rapid.Uint32().Draw(t, "flags"), Name: genText.Draw(t, "name"),
		Kind:              otraces.Span_SpanKind(rapid.IntRange(0, 5).Draw(t, "kind")),
		StartTimeUnixNano: genTime.Draw(t, "start"), EndTimeUnixNano: genTime.Draw(t, "end"),
		Attributes:             rapid.SliceOfN(genPair(2), 0, 4).Draw(t, "attributes"),
		DroppedAttributesCount: rapid.Uint32Range(0, 9).Draw(t, "dropped attributes"),
		DroppedEventsCount:     rapid.Uint32Range(0, 9).Draw(t, "dropped events"),
		Links:                  make([]*otraces.Span_Link, rapid.IntRange(0, 2).Draw(t, "links")),
	}
	for i := range span.Links {
		span.Links[i] = &otraces.Span_Link{TraceId: make([]byte, 16), Attributes: rapid.SliceOfN(genPair(1), 0, 2).Draw(t, "attributes of link")}
	}
	for range rapid.IntRange(0, 3).Draw(t, "events") {
		span.Events = append(span.Events, &otraces.Span_Event{
			TimeUnixNano: genTime.Draw(t, "time of event"), Name: genText.Draw(t, "name of event"),
			Attributes: rapid.SliceOfN(genPair(1), 0, 2).Draw(t, "attributes of event"),
		})
	}
	if rapid.Bool().Draw(t, "has status") {
		span.Status = &otraces.Status{Code: otraces.Status_StatusCode(rapid.IntRange(0, 2).Draw(t, "code")), Message: genText.Draw(t, "message")}
	}
	return span
})

var genTraces = rapid.Custom(func(t *rapid.T) *coltraces.ExportTraceServiceRequest {
	request := &coltraces.ExportTraceServiceRequest{}
	for range rapid.IntRange(0, 2).Draw(t, "resources") {
		group := &otraces.ResourceSpans{Resource: genResource.Draw(t, "resource"), SchemaUrl: genText.Draw(t, "schema")}
		for range rapid.IntRange(0, 2).Draw(t, "scopes") {
			group.ScopeSpans = append(group.ScopeSpans, &otraces.ScopeSpans{
				Scope: &common.InstrumentationScope{Name: genText.Draw(t, "scope")}, Spans: rapid.SliceOfN(genSpan, 0, 3).Draw(t, "spans"),
			})
		}
		request.ResourceSpans = append(request.ResourceSpans, group)
	}
	return request
})

// wantTraces says what the structs say, apart from limits, which have tests of their own.
func wantTraces(request *coltraces.ExportTraceServiceRequest) (want []traces.Span, rejected int) {
	for _, group := range request.ResourceSpans {
		service, instance := wantResource(group.Resource)
		for _, scope := range group.ScopeSpans {
			for _, span := range scope.Spans {
				if s, ok := wantSpan(span); ok {
					s.Service, s.Instance = service, instance
					want = append(want, s)
				} else {
					rejected++
				}
			}
		}
	}
	return want, rejected
}

func wantResource(r *res.Resource) (service, instance string) {
	for _, kv := range r.GetAttributes() {
		value := kv.GetValue().GetStringValue()
		if y := kv.GetValue().GetBytesValue(); len(y) > 0 {
			value = string(y)
		}
		switch kv.Key {
		case "service.name":
			service = value
		case "service.instance.id":
			instance = value
		}
	}
	return service, instance
}

func wantSpan(span *otraces.Span) (s traces.Span, ok bool) {
	valid := len(span.TraceId) == 16 && len(span.SpanId) == 8 && (len(span.ParentSpanId) == 8 || len(span.ParentSpanId) == 0)
	if !valid || span.StartTimeUnixNano > math.MaxInt64 || span.EndTimeUnixNano > math.MaxInt64 {
		return s, false
	}
	s = traces.Span{
		TraceID: traces.TraceID(span.TraceId), SpanID: traces.SpanID(span.SpanId), Name: span.Name,
		Kind: traces.Kind(span.Kind), Status: traces.Status(span.Status.GetCode()), StatusMessage: span.Status.GetMessage(),
		Start: int64(span.StartTimeUnixNano), End: int64(span.EndTimeUnixNano),
		Flags: span.Flags, Links: len(span.Links),
		Dropped: span.DroppedAttributesCount + span.DroppedEventsCount,
	}
	copy(s.Parent[:], span.ParentSpanId)
	s.Attributes = wantAttributes(span.Attributes, &s.Dropped)
	for _, e := range span.Events {
		attributes := wantAttributes(e.Attributes, &s.Dropped)
		if e.TimeUnixNano > math.MaxInt64 {
			s.Dropped++
			continue
		}
		s.Events = append(s.Events, traces.Event{Time: int64(e.TimeUnixNano), Name: e.Name, Attributes: attributes})
	}
	return s, !s.TraceID.IsZero() && !s.SpanID.IsZero()
}

func wantAttributes(list []*common.KeyValue, dropped *uint32) (want []traces.Attribute) {
	for _, kv := range list {
		if kv.Key == "" {
			*dropped++
			continue
		}
		want = append(want, traces.Attribute{Key: kv.Key, Value: wantValue(kv.Value)})
	}
	return want
}

func wantValue(v *common.AnyValue) traces.Value {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return traces.StringValue(v.StringValue)
	case *common.AnyValue_BoolValue:
		return traces.BoolValue(v.BoolValue)
	case *common.AnyValue_IntValue:
		return traces.IntValue(v.IntValue)
	case *common.AnyValue_DoubleValue:
		return traces.FloatValue(v.DoubleValue)
	case *common.AnyValue_BytesValue:
		return traces.BytesValue(string(v.BytesValue))
	case *common.AnyValue_ArrayValue:
		var list []traces.Value
		for _, element := range v.ArrayValue.GetValues() {
			list = append(list, wantValue(element))
		}
		return traces.ListValue(list)
	case *common.AnyValue_KvlistValue:
		var pairs []traces.Attribute
		for _, kv := range v.KvlistValue.GetValues() {
			pairs = append(pairs, traces.Attribute{Key: kv.Key, Value: wantValue(kv.Value)})
		}
		return traces.MapValue(pairs)
	}
	return traces.Value{}
}

func TestTracesReadAsTheOracleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		request := genTraces.Draw(t, "request")
		want, rejected := wantTraces(request)
		for _, e := range encodings {
			body, err := e.marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			var got sink
			result, err := NewReceiver(Config{Traces: &got}).takeTraces(body, e.enc)
			if err != nil {
				t.Fatalf("%s: %v\n%s", e.name, err, body)
			}
			if result.rejected != rejected || (result.reason == "") != (rejected == 0) {
				t.Errorf("%s: rejected %d (%s), want %d", e.name, result.rejected, result.reason, rejected)
			}
			if !reflect.DeepEqual(got.spans, want) {
				t.Errorf("%s:\ngot  %+v\nwant %+v", e.name, got.spans, want)
			}
		}
	})
}
