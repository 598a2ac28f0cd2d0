package strict

import (
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

func TestTexts(t *testing.T) {
	for _, test := range []struct {
		data, one string
		list      []string
		yes       bool
		problems  string // pointers, by comma
	}{
		{`{"one":"a","list":["b","c"],"yes":true}`, "a", []string{"b", "c"}, true, ""},
		{`{"one":503,"list":[503,"503:2",true,0.6]}`, "503", []string{"503", "503:2", "true", "0.6"}, false, ""},
		{`{"list":"b","yes":false}`, "", []string{"b"}, false, ""},
		{`{"list":503}`, "", []string{"503"}, false, ""},
		{`{"one":null,"list":null,"yes":null}`, "", nil, false, ""},
		{`{"list":[]}`, "", nil, false, ""},
		{`{"one":{},"list":[{},"b"],"yes":"true"}`, "", []string{"", "b"}, false, "/one,/list/0,/yes"},
		{`{"one":[1],"list":{}}`, "", []string{""}, false, "/one,/list"},
		{`{"list":["a","b","c","d","e"]}`, "", nil, false, "/list"},
		{`{"one":"too long","list":["too long"]}`, "", []string{""}, false, "/one,/list/0"},
	} {
		var problems flag.Problems
		o := Parse([]byte(test.data), &problems)
		one, list, yes := o.Text("one", 5), o.Texts("list", 4, 5), o.Bool("yes")
		o.Done()
		var at []string
		for _, p := range problems.List {
			at = append(at, p.Pointer)
		}
		if one != test.one || !slices.Equal(list, test.list) || yes != test.yes || strings.Join(at, ",") != test.problems {
			t.Errorf("%s: %q, %q, %v, problems %v", test.data, one, list, yes, problems.Err())
		}
	}
}
