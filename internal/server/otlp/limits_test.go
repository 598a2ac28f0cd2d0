package otlp

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/traces"
)

func TestLimitsOfSpans(t *testing.T) {
	attributes := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"key":"k%d","value":{"intValue":"1"}}`, i)
		}
		return `"attributes":[` + strings.Join(list, ",") + `]`
	}
	value := func(v string) string { return `"attributes":[{"key":"k","value":` + v + `}]` }
	lists := func(depth int) string {
		return value(strings.Repeat(`{"arrayValue":{"values":[`, depth) + `{"intValue":1}` + strings.Repeat(`]}}`, depth))
	}
	for _, c := range []struct {
		name, fields string
		dropped      uint32
		check        func(traces.Span) bool
	}{
		{"as many attributes as allowed", attributes(maxAttributes), 0, func(s traces.Span) bool { return len(s.Attributes) == maxAttributes }},
		{"too many attributes", attributes(maxAttributes + 3), 3, func(s traces.Span) bool { return len(s.Attributes) == maxAttributes }},
		{"a key as long as allowed", `"attributes":[{"key":"` + strings.Repeat("k", maxKey) + `"}]`, 0, func(s traces.Span) bool { return len(s.Attributes) == 1 }},
		{"a key too long", `"attributes":[{"key":"` + strings.Repeat("k", maxKey+1) + `"}]`, 1, func(s traces.Span) bool { return len(s.Attributes) == 0 }},
		{"a text too long", value(`{"stringValue":"` + strings.Repeat("ä", maxText) + `"}`), 0, func(s traces.Span) bool {
			text := s.Attributes[0].Value.Str()
			return len(text) == maxText && utf8.ValidString(text)
		}},
		{"a text too long, cut within a character", value(`{"stringValue":"x` + strings.Repeat("ä", maxText) + `"}`), 0, func(s traces.Span) bool {
			text := s.Attributes[0].Value.Str()
			return len(text) == maxText-1 && utf8.ValidString(text)
		}},
		{"a name too long", `"name":"` + strings.Repeat("n", maxName+1) + `"`, 0, func(s traces.Span) bool { return len(s.Name) == maxName }},
		{"as many events as allowed", `"events":[` + strings.Repeat(`{},`, maxEvents-1) + `{}]`, 0, func(s traces.Span) bool { return len(s.Events) == maxEvents }},
		{"too many events", `"events":[` + strings.Repeat(`{},`, maxEvents) + `{}]`, 1, func(s traces.Span) bool { return len(s.Events) == maxEvents }},
		{"too many elements", value(`{"arrayValue":{"values":[` + strings.Repeat(`{},`, maxElements) + `{}]}}`), 1, func(s traces.Span) bool {
			return len(s.Attributes[0].Value.List()) == maxElements
		}},
		{"as deep as allowed", lists(maxValueDepth), 0, func(s traces.Span) bool { return strings.Contains(s.Attributes[0].Value.String(), "1") }},
		{"too deep", lists(maxValueDepth + 1), 1, func(s traces.Span) bool { return !strings.Contains(s.Attributes[0].Value.String(), "1") }},
		{"a kind from the future", `"kind":77`, 0, func(s traces.Span) bool { return s.Kind == traces.KindUnspecified }},
		{"a kind by an unknown name", `"kind":"SPAN_KIND_TELEPATHY"`, 0, func(s traces.Span) bool { return s.Kind == traces.KindUnspecified }},
		{"a kind as a number in quotes", `"kind":"2"`, 0, func(s traces.Span) bool { return s.Kind == traces.KindServer }},
		{"a status from the future", `"status":{"code":77}`, 0, func(s traces.Span) bool { return s.Status == traces.StatusUnset }},
		{"times as numbers", `"startTimeUnixNano":5,"endTimeUnixNano":7e0`, 0, func(s traces.Span) bool { return s.Start == 5 && s.End == 7 }},
		{"ids in capitals", `"parentSpanId":"00000000000000AB"`, 0, func(s traces.Span) bool { return s.Parent[7] == 0xab }},
		{"original names are unknown names", `"parent_span_id":"00000000000000ab","unknown":{"a":[1,{"b":null}]}`, 0, func(s traces.Span) bool { return s.Parent.IsZero() }},
		{"nulls", `"name":null,"kind":null,"attributes":null,"status":null,"startTimeUnixNano":null,"parentSpanId":null`, 0, func(s traces.Span) bool { return s.Name == "" }},
		{"base64 for URLs, without padding", value(`{"bytesValue":"-_8"}`), 0, func(s traces.Span) bool { return s.Attributes[0].Value.Str() == "\xfb\xff" }},
		{"a half surrogate", `"name":"\ud800x"`, 0, func(s traces.Span) bool { return s.Name == "\uFFFDx" }},
		{"not UTF-8", "\"name\":\"\xff\"", 0, func(s traces.Span) bool { return s.Name == "\uFFFD" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got sink
			result, err := NewReceiver(Config{Traces: &got}).takeTraces([]byte(spanJSON(c.fields)), encodingJSON)
			if err != nil || result.rejected != 0 || len(got.spans) != 1 {
				t.Fatalf("%v, %+v, %d spans", err, result, len(got.spans))
			}
			if span := got.spans[0]; span.Dropped != c.dropped || !c.check(span) {
				t.Errorf("dropped %d, want %d; span %.300s", span.Dropped, c.dropped, fmt.Sprintf("%+v", span))
			}
		})
	}
}

func spanJSON(fields string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101","spanId":"0101010101010101",` + fields + `}]}]}]}`
}

// A value of a wrong type is an error of the whole request, which says where it is.
func TestWrongTypesInJSON(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{`"name":7`, "a string"}, {`"traceId":7`, "a string"}, {`"startTimeUnixNano":"soon"`, "an integer"},
		{`"startTimeUnixNano":-1`, "an integer"}, {`"startTimeUnixNano":1.5`, "an integer"}, {`"startTimeUnixNano":{}`, "a number"},
		{`"attributes":{}`, "an array"}, {`"attributes":[7]`, "an object"}, {`"status":[]`, "an object"}, {`"kind":1.5`, "integer"},
		{`"attributes":[{"key":"a","value":{"boolValue":"true"}}]`, "true or false"},
		{`"attributes":[{"key":"a","value":{"intValue":"9223372036854775808"}}]`, "integer"},
		{`"attributes":[{"key":"a","value":{"doubleValue":"x"}}]`, "a number"},
		{`"attributes":[{"key":"a","value":{"bytesValue":"!"}}]`, "base64"},
	} {
		var got sink
		_, err := NewReceiver(Config{Traces: &got}).takeTraces([]byte(spanJSON(c.fields)), encodingJSON)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "byte") || len(got.spans) != 0 {
			t.Errorf("%s: %v, %d spans", c.fields, err, len(got.spans))
		}
	}
}

func TestTooManySpans(t *testing.T) {
	body := []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` +
		strings.TrimSuffix(strings.Repeat(`{"traceId":"01010101010101010101010101010101","spanId":"0101010101010101"},`, maxSpans+2), ",") + `]}]}]}`)
	var got sink
	result, err := NewReceiver(Config{Traces: &got}).takeTraces(body, encodingJSON)
	if err != nil || len(got.spans) != maxSpans || result.rejected != 2 || result.reason != reasonTooLarge {
		t.Errorf("%v, %d spans, %+v", err, len(got.spans), result)
	}
}

// Points that lack what tells them apart are rejected with a reason.
func TestReasonsOfRejectedPoints(t *testing.T) {
	const instance, sum, point = `{"key":"service.instance.id","value":{"stringValue":"a"}}`,
		`"aggregationTemporality":1,"isMonotonic":true`,
		`"startTimeUnixNano":"5","timeUnixNano":"9","asInt":"3"`
	attributes := func(arm string) string {
		return `"attributes":[{"key":"seatrial.trial","value":{"stringValue":"t"}},{"key":"seatrial.version","value":{"stringValue":"t.1.0"}},` +
			`{"key":"seatrial.arm","value":{"stringValue":"` + arm + `"}}]`
	}
	for _, c := range []struct{ name, resource, data, point, want string }{
		{"good", instance, sum, point + "," + attributes("control"), ""},
		{"no instance", "", sum, point + "," + attributes("control"), reasonInstance},
		{"cumulative", instance, `"aggregationTemporality":2,"isMonotonic":true`, point + "," + attributes("control"), reasonTemporality},
		{"by name", instance, `"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","isMonotonic":true`, point + "," + attributes("control"), ""},
		{"not monotonic", instance, `"aggregationTemporality":1`, point + "," + attributes("control"), reasonShape},
		{"other arm", instance, sum, point + "," + attributes("rest"), reasonArm},
		{"no attributes", instance, sum, point, reasonArm},
		{"no start", instance, sum, `"timeUnixNano":"9","asInt":"3",` + attributes("control"), reasonWindow},
		{"backwards", instance, sum, `"startTimeUnixNano":"10","timeUnixNano":"9","asInt":"3",` + attributes("control"), reasonWindow},
		{"negative", instance, sum, `"startTimeUnixNano":"5","timeUnixNano":"9","asInt":"-3",` + attributes("control"), reasonCount},
		{"not whole", instance, sum, `"startTimeUnixNano":"5","timeUnixNano":"9","asDouble":0.5,` + attributes("control"), reasonCount},
		{"attribute dropped", instance, sum, point + "," + strings.Replace(attributes("control"), "[", `[{"key":""},`, 1), reasonPoint},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":%q,"sum":{"dataPoints":[{%s}],%s}}]}],"resource":{"attributes":[%s]}}]}`,
				outcome.MetricBad, c.point, c.data, c.resource)
			if !json.Valid([]byte(body)) {
				t.Fatal(body)
			}
			var got sink
			result, err := NewReceiver(Config{Outcomes: &got}).takeMetrics([]byte(body), encodingJSON)
			if err != nil || result.reason != c.want || len(got.points)+result.rejected != 1 {
				t.Fatalf("%v, %+v, %d points", err, result, len(got.points))
			}
			if c.want == "" && got.points[0].Count != 3 {
				t.Errorf("point %+v", got.points[0])
			}
		})
	}
}

// Equal identities have equal keys in whatever order the attributes come, others have not.
func TestSeriesKey(t *testing.T) {
	type identity struct {
		service, instance, metric string
		attributes                map[string]string
	}
	genPart := rapid.StringMatching(`[ab]{0,2}`)
	gen := rapid.Custom(func(t *rapid.T) identity {
		return identity{genPart.Draw(t, "service"), genPart.Draw(t, "instance"), genPart.Draw(t, "metric"),
			rapid.MapOfN(genPart, genPart, 0, 3).Draw(t, "attributes")}
	})
	rapid.Check(t, func(t *rapid.T) {
		key := func(i identity, label string) [16]byte {
			var list []traces.Attribute
			for k, v := range i.attributes {
				list = append(list, traces.Attribute{Key: k, Value: traces.StringValue(v)})
			}
			if len(list) > 1 {
				list = rapid.Permutation(list).Draw(t, label)
			}
			return seriesKey(&metric{resource: resource{service: i.service, instance: i.instance}, name: i.metric}, list)
		}
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		same := fmt.Sprint(a) == fmt.Sprint(b) // maps print in order
		if key(a, "order 1") != key(a, "order 2") {
			t.Errorf("order matters for %v", a)
		}
		if (key(a, "order 1") == key(b, "order 3")) != same {
			t.Errorf("%v and %v", a, b)
		}
	})
	if seriesKey(&metric{}, []traces.Attribute{{Key: "a", Value: traces.IntValue(1)}}) == seriesKey(&metric{}, []traces.Attribute{{Key: "a", Value: traces.StringValue("1")}}) {
		t.Error("1 and \"1\" are different values")
	}
}
