package strict

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// document is read by read, with every kind of field.
type document struct {
	Name  string
	Count int
	Rate  float64
	Wait  time.Duration
	Inner string
	Items []string
	Given bool
}

func read(data string) (d document, problems flag.Problems) {
	o := Parse([]byte(data), &problems)
	d.Name, d.Count, d.Rate = o.String("name", 5), o.Int("count", 1, 9), o.Ratio("rate")
	d.Wait = o.Duration("wait", time.Millisecond, time.Minute)
	d.Given = o.Has("given")
	inner := o.Object("inner")
	d.Inner = inner.String("name", 5)
	inner.Done()
	for _, item := range o.Objects("items", 2) {
		d.Items = append(d.Items, item.String("name", 5))
		item.Done()
	}
	o.Done()
	return d, problems
}

func TestRead(t *testing.T) {
	full := document{"ann", 3, 0.5, 250 * time.Millisecond, "bob", []string{"c", "d"}, true}
	tests := []struct {
		name, data string
		want       document
		problems   string // pointer: part of detail, one a line
	}{
		{"everything", `{"name":"ann","count":3,"rate":0.5,"wait":"250ms","inner":{"name":"bob"},"items":[{"name":"c"},{"name":"d"}],"given":0}`, full, ""},
		{"nothing", `{}`, document{}, ""},
		{"null", ` null `, document{}, ""},
		{"nulls are absent", `{"name":null,"count":null,"inner":null,"items":null,"given":null}`, document{}, ""},
		{"unknown", `{"nmae":"x"}`, document{}, "/nmae: not a known field; did you mean \"name\""},
		{"unknown inside", `{"inner":{"x~/y":1}}`, document{}, "/inner/x~0~1y: not a known field"},
		{"case", `{"Name":"x"}`, document{}, "/Name: not a known field"},
		{"twice", `{"count":3,"count":4}`, document{Count: 4}, "/count: there twice"},
		{"wrong kinds", `{"name":1,"count":1.5,"rate":"x","wait":5,"inner":[],"items":{}}`, document{},
			"/name: must be a string\n/count: a whole number\n/rate: number from 0 to 1\n/wait: a duration\n/inner: must be a JSON object\n/items: list of objects"},
		{"out of range", `{"name":"longer","count":10,"rate":1.1,"wait":"2m","items":[{},{},{}]}`, document{},
			"/name: the limit is 5\n/count: from 1 to 9\n/rate: from 0 to 1\n/wait: from 1ms to 1m0s\n/items: the limit is 2"},
		{"no unit", `{"wait":"5"}`, document{}, "/wait: with its unit"},
		{"items that are none", `{"items":[null,7]}`, document{}, "/items/0: must be a JSON object\n/items/1: must be a JSON object"},
		{"not an object", `[1]`, document{}, ": must be a JSON object"},
		{"empty", ``, document{}, ": must be a JSON object"},
		{"cut off", `{"name":"x"`, document{}, ": is not valid JSON"},
		{"more behind", `{} {}`, document{}, ": closing brace"},
		{"broken inside", `{"name":}`, document{}, ": is not valid JSON"},
		{"too long", `{"name":"` + strings.Repeat("x", MaxBytes) + `"}`, document{}, ": the limit is 65536"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, problems := read(test.data)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("read %+v, want %+v", got, test.want)
			}
			var want []string
			if test.problems != "" {
				want = strings.Split(test.problems, "\n")
			}
			if len(problems.List) != len(want) {
				t.Fatalf("problems %v, want %q", problems.Err(), want)
			}
			for i, one := range problems.List {
				pointer, detail, _ := strings.Cut(want[i], ": ")
				if one.Pointer != pointer || !strings.Contains(one.Detail, detail) {
					t.Errorf("problem %+v, want %q at %q", one, detail, pointer)
				}
			}
		})
	}
}

// FuzzRead: whatever comes, nothing panics, and what is read without a problem is in range.
func FuzzRead(f *testing.F) {
	f.Add(`{"name":"ann","count":3,"rate":0.5,"wait":"250ms","inner":{"name":"bob"},"items":[{"name":"c"}]}`)
	f.Add(`{"count":1e400,"rate":-0,"items":[[[[`)
	f.Add("{\"\xff\":1}")
	f.Fuzz(func(t *testing.T, data string) {
		d, problems := read(data)
		if problems.Err() == nil && (len(d.Name) > 5 || d.Count < 0 || d.Count > 9 || d.Rate < 0 || d.Rate > 1 || d.Wait > time.Minute || len(d.Items) > 2) {
			t.Errorf("%q gave %+v without a problem", data, d)
		}
	})
}
