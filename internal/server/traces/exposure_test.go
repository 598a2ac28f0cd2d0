package traces

import (
	"fmt"
	"math"
	"reflect"
	"testing"
)

func pairs(list ...string) (attributes []Attribute) {
	for i := 0; i < len(list); i += 2 {
		attributes = append(attributes, Attribute{list[i], StringValue(list[i+1])})
	}
	return attributes
}

func event(name string, list ...string) Span {
	return Span{Events: []Event{{Name: name, Attributes: pairs(list...)}}}
}

// What the stock hooks emit, as in the observability reference, section 2.1.
func TestExposuresOfStockHooks(t *testing.T) {
	on := []Exposure{{"f", "on"}}
	for _, c := range []struct {
		name string
		span Span
		want []Exposure
	}{
		{"Seatrial", Span{Attributes: pairs("seatrial.flag.f", "on", "seatrial.flag.g", "off")}, []Exposure{{"f", "on"}, {"g", "off"}}},
		{"Seatrial attribute of no flag", Span{Attributes: pairs("seatrial.flag.", "on")}, nil},
		{"Seatrial attribute that is no text", Span{Attributes: []Attribute{{"seatrial.flag.f", IntValue(1)}}}, nil},
		{"Go, JS and .NET enricher: span event", event("feature_flag.evaluation", "feature_flag.key", "f", "feature_flag.result.variant", "on",
			"feature_flag.result.reason", "split", "feature_flag.set.id", "production"), on},
		{"Python: value in JSON", event("feature_flag.evaluation", "feature_flag.key", "f", "feature_flag.result.value", `"on"`), on},
		{"Python: value that is no text", event("feature_flag.evaluation", "feature_flag.key", "f", "feature_flag.result.value", "true"), []Exposure{{"f", "true"}}},
		{"Java: former names", event("feature_flag", "feature_flag.key", "f", "feature_flag.variant", "on", "feature_flag.provider_name", "flagd"), on},
		{".NET native, JS SpanHook: own span", Span{Name: "feature_flag.evaluation", Attributes: pairs("feature_flag.key", "f", "feature_flag.result.variant", "on")}, on},
		{"variant before value", event("feature_flag.evaluation", "feature_flag.key", "f", "feature_flag.result.value", "true", "feature_flag.result.variant", "on"), on},
		{"no key", event("feature_flag.evaluation", "feature_flag.result.variant", "on"), nil},
		{"no variant", event("feature_flag.evaluation", "feature_flag.key", "f"), nil},
		{"another event", event("exception", "feature_flag.key", "f", "feature_flag.result.variant", "on"), nil},
		{"twice", Span{Attributes: pairs("seatrial.flag.f", "on"), Events: event("feature_flag.evaluation", "feature_flag.key", "f", "feature_flag.result.variant", "on").Events}, on},
	} {
		if got := AppendExposures(nil, &c.span); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	var many Span
	for i := range 2 * maxExposures {
		many.Attributes = append(many.Attributes, Attribute{fmt.Sprint(AttrFlagPrefix, i), StringValue("on")})
	}
	if got := AppendExposures(nil, &many); len(got) != maxExposures {
		t.Errorf("%d exposures", len(got))
	}
}

func TestValuesForPeople(t *testing.T) {
	for _, c := range []struct {
		value Value
		want  string
	}{
		{Value{}, ""}, {StringValue("a"), "a"}, {BoolValue(true), "true"}, {IntValue(-3), "-3"}, {FloatValue(0.5), "0.5"},
		{FloatValue(math.NaN()), "NaN"}, {BytesValue("\xff"), "/w=="}, {ListValue(nil), "[]"}, {MapValue(nil), "{}"},
		{ListValue([]Value{IntValue(1), StringValue("a"), FloatValue(math.Inf(-1)), {}}), `[1,"a","-Inf",null]`},
		{MapValue([]Attribute{{"a", BoolValue(false)}, {"a", IntValue(2)}}), `{"a":2}`},
	} {
		if got := c.value.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestParseIDs(t *testing.T) {
	if id, err := ParseTraceID("0AF7651916CD43DD8448EB211C80319C"); err != nil || id.String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("%v %v", id, err)
	}
	if id, err := ParseSpanID("b7ad6b7169203331"); err != nil || id.String() != "b7ad6b7169203331" {
		t.Errorf("%v %v", id, err)
	}
	for _, text := range []string{"", "0", "00000000000000000000000000000000", "0af7651916cd43dd8448eb211c80319g", "0af7651916cd43dd8448eb211c80319c00"} {
		if _, err := ParseTraceID(text); err == nil {
			t.Errorf("%q is taken for a trace id", text)
		}
	}
}
