package strict

import (
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

func TestStrings(t *testing.T) {
	cases := []struct {
		name, doc string
		want      []string
		problem   string
	}{
		{name: "absent", doc: `{}`},
		{name: "null", doc: `{"on":null}`},
		{name: "empty", doc: `{"on":[]}`},
		{name: "some", doc: `{"on":["a","b"]}`, want: []string{"a", "b"}},
		{name: "no list", doc: `{"on":"a"}`, problem: "/on: must be a list of strings"},
		{name: "no strings", doc: `{"on":[1]}`, problem: "/on: must be a list of strings"},
		{name: "too many", doc: `{"on":["a","b","c"]}`, problem: "/on: has 3 elements, the limit is 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			problems := &flag.Problems{Subject: "list"}
			o := Parse([]byte(c.doc), problems)
			got := o.Strings("on", 2)
			o.Done()
			err := problems.Err()
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) || got != nil {
					t.Errorf("%q, %v; want the problem %q", got, err, c.problem)
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}
