package definition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

func flagOf(schema string, values ...string) flag.Flag {
	f := flag.Flag{Key: "f", Kind: flag.KindConfig, Type: flag.TypeObject, Schema: json.RawMessage(schema)}
	for i, v := range values {
		f.Variants = append(f.Variants, flag.Variant{Name: fmt.Sprintf("v%d", i), Value: json.RawMessage(v)})
	}
	return f
}

const limits = `{"type":"object","required":["rate"],"additionalProperties":false,
	"properties":{"rate":{"type":"integer","minimum":1,"maximum":100},"tiers":{"type":"array","items":{"$ref":"#/$defs/tier"}}},
	"$defs":{"tier":{"enum":["free","paid"]}}}`

func TestCheckSchema(t *testing.T) {
	for _, c := range []struct {
		name string
		flag flag.Flag
		want []string // pointers
		says string
	}{
		{name: "no schema", flag: flagOf("", `{"x":1}`)},
		{name: "null schema", flag: flagOf("null", `{"x":1}`)},
		{name: "all meet it", flag: flagOf(limits, `{"rate":1}`, `{"rate":100,"tiers":["free"]}`)},
		{name: "no variants", flag: flagOf(limits)},
		{name: "missing", flag: flagOf(limits, `{"rate":5}`, `{}`), want: []string{"/variants/1/value"}, says: "rate"},
		{name: "out of range", flag: flagOf(limits, `{"rate":101}`), want: []string{"/variants/0/value/rate"}, says: "100"},
		{name: "inside a list, by reference", flag: flagOf(limits, `{"rate":1,"tiers":["free","gold"]}`), want: []string{"/variants/0/value/tiers/1"}, says: "free"},
		{name: "unknown property", flag: flagOf(limits, `{"rate":1,"rat":2}`), want: []string{"/variants/0/value"}, says: "rat"},
		{name: "several", flag: flagOf(limits, `{"rate":0}`, `{"rate":"x"}`), want: []string{"/variants/0/value/rate", "/variants/1/value/rate"}},
		{name: "an older draft", flag: flagOf(`{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{"minimum":0,"exclusiveMinimum":true}}}`, `{"n":0}`),
			want: []string{"/variants/0/value/n"}},
		{name: "large whole numbers are exact", flag: flagOf(`{"properties":{"n":{"const":9007199254740993}}}`, `{"n":9007199254740992}`), want: []string{"/variants/0/value/n"}},
		{name: "not of an object flag", flag: flag.Flag{Type: flag.TypeString, Schema: json.RawMessage(`{}`)}, want: []string{"/schema"}, says: "object"},
		{name: "no JSON", flag: flagOf(`{`, `{}`), want: []string{"/schema"}, says: "not JSON"},
		{name: "no schema at all", flag: flagOf(`[]`, `{}`), want: []string{"/schema"}},
		{name: "a keyword of the wrong kind", flag: flagOf(`{"properties":{"a":{"type":"nothing"}}}`, `{}`), want: []string{"/schema"}, says: "/properties/a/type"},
		{name: "a pattern that is none", flag: flagOf(`{"properties":{"a":{"pattern":"("}}}`, `{}`), want: []string{"/schema"}},
		{name: "a reference to nowhere", flag: flagOf(`{"$ref":"#/$defs/x"}`, `{}`), want: []string{"/schema"}},
		{name: "a reference to the web", flag: flagOf(`{"$ref":"https://example.com/schema.json"}`, `{}`), want: []string{"/schema"}, says: "outside of the schema"},
		{name: "a reference to a file", flag: flagOf(`{"$ref":"file:///etc/passwd"}`, `{}`), want: []string{"/schema"}, says: "outside of the schema"},
		{name: "a made-up draft", flag: flagOf(`{"$schema":"https://example.com/draft"}`, `{}`), want: []string{"/schema"}, says: "outside of the schema"},
		{name: "a reference to itself", flag: flagOf(`{"properties":{"next":{"$ref":"#"}}}`, `{}`), want: []string{"/schema"}, says: "back to itself"},
		{name: "two that refer to each other", flag: flagOf(`{"$ref":"#/$defs/a","$defs":{"a":{"items":{"$ref":"#/$defs/b"}},"b":{"items":{"$ref":"#/$defs/a"}}}}`, `{}`), want: []string{"/schema"}, says: "back to itself"},
		{name: "nested too deep", flag: flagOf(strings.Repeat(`{"not":`, 70)+`{}`+strings.Repeat(`}`, 70), `{}`), want: []string{"/schema"}, says: "nested"},
		{name: "a giant number in the schema", flag: flagOf(`{"properties":{"n":{"maximum":1e999999999}}}`, `{}`), want: []string{"/schema"}, says: "exponent"},
		{name: "a giant number in a value", flag: flagOf(`{"properties":{"n":{"maximum":5}}}`, `{"n":1e-999999999}`), want: []string{"/variants/0/value"}, says: "exponent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckSchema(c.flag)
			var problems *flag.Problems
			if err != nil && !errors.As(err, &problems) {
				t.Fatalf("%T is no list of problems", err)
			}
			var got []string
			if problems != nil {
				for _, p := range problems.List {
					got = append(got, p.Pointer)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) || c.says != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v at %v, want %v saying %q", err, got, c.want, c.says)
			}
			if err != nil && strings.Contains(err.Error(), place) {
				t.Errorf("the message names %q, which nobody has written: %v", place, err)
			}
		})
	}
}

// doubling is a short schema that is applied 2^n times.
func doubling(n int) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"d%d":{"type":"object"}}}`, n)
	return b.String()
}

// Whatever a schema says, a check ends soon.
func TestTheCostIsBounded(t *testing.T) {
	list := `[` + strings.Repeat("1,", 100_000) + `1]`
	wide := `{"properties":{"l":{"items":{"anyOf":[` + strings.Repeat(`{"type":"string"},`, 1000) + `{"type":"number"}]}}}}`
	for _, c := range []struct{ name, schema, value, says string }{
		{"few doublings", doubling(5), `{}`, ""},
		{"many doublings", doubling(60), `{}`, "parts"},
		{"a wide schema and a short value", wide, `{"l":[1,2,3]}`, ""},
		{"a wide schema and a long value", wide, `{"l":` + list + `}`, "too many for a schema"},
		{"many unique items", `{"properties":{"l":{"uniqueItems":true}}}`, `{"l":` + list + `}`, "items"},
		{"a pattern that backtracks elsewhere", `{"properties":{"s":{"pattern":"^(a+)+$"}}}`, `{"s":"` + strings.Repeat("a", 50_000) + `!"}`, "pattern"},
	} {
		start := time.Now()
		err := CheckSchema(flagOf(c.schema, c.value))
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %s", c.name, took)
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %.300v, want something about %q", c.name, err, c.says)
		}
	}
}

func FuzzCheckSchema(f *testing.F) {
	f.Add(limits, `{"rate":1}`)
	f.Add(doubling(3), `{}`)
	f.Add(`{"$schema":"http://json-schema.org/draft-07/schema#","if":{"const":1},"then":false}`, `{"a":[1,2]}`)
	f.Add(`{"$dynamicRef":"#x","$dynamicAnchor":"x","unevaluatedProperties":false}`, `{"a":1}`)
	f.Fuzz(func(t *testing.T, schema, value string) {
		if len(schema)+len(value) > 10_000 {
			return
		}
		err := CheckSchema(flagOf(schema, value))
		var problems *flag.Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("%T is no list of problems", err)
		}
	})
}
