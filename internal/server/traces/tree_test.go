package traces

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sid is the span id with a number; sid(0) is none.
func sid(n int) (id SpanID) {
	id[6], id[7] = byte(n>>8), byte(n)
	return id
}

func tid(n int) (id TraceID) {
	id[0], id[11], id[14], id[15] = 1, byte(n>>4), byte(n>>8), byte(n)
	return id
}

func spanOf(trace, id, parent int, start int64) Span {
	return Span{TraceID: tid(trace), SpanID: sid(id), Parent: sid(parent), Start: start, End: start + 10, Name: fmt.Sprint(id)}
}

// outline writes a tree as "1(2 3(4)) 5!", where ! marks an orphan.
func outline(nodes []*Node) string {
	var parts []string
	for _, n := range nodes {
		text := n.Span.Name
		if n.Orphan {
			text += "!"
		}
		if len(n.Children) > 0 {
			text += "(" + outline(n.Children) + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

func TestTree(t *testing.T) {
	for _, c := range []struct {
		name  string
		spans []Span
		want  string
	}{
		{"nothing", nil, ""},
		{"children by start, in whatever order they came", []Span{spanOf(1, 4, 3, 30), spanOf(1, 3, 1, 20), spanOf(1, 2, 1, 10), spanOf(1, 1, 0, 0)}, "1(2 3(4))"},
		{"equal starts by id", []Span{spanOf(1, 3, 1, 5), spanOf(1, 2, 1, 5), spanOf(1, 1, 0, 5)}, "1(2 3)"},
		{"orphans", []Span{spanOf(1, 1, 0, 10), spanOf(1, 2, 9, 5), spanOf(1, 3, 2, 6)}, "2!(3) 1"},
		{"its own parent", []Span{spanOf(1, 1, 1, 0), spanOf(1, 2, 1, 1)}, "1!(2)"},
		{"a cycle is cut at its earliest span", []Span{spanOf(1, 1, 3, 5), spanOf(1, 2, 1, 4), spanOf(1, 3, 2, 6)}, "2!(3(1))"},
		{"a chain that leads into a cycle, at its later span", []Span{spanOf(1, 5, 4, 0), spanOf(1, 4, 2, 1), spanOf(1, 1, 2, 7), spanOf(1, 2, 1, 8)}, "1!(2(4(5)))"},
		{"two cycles and a root", []Span{spanOf(1, 1, 2, 1), spanOf(1, 2, 1, 2), spanOf(1, 3, 4, 4), spanOf(1, 4, 3, 3), spanOf(1, 9, 0, 9)}, "1!(2) 4!(3) 9"},
		{"one id twice", []Span{spanOf(1, 1, 0, 0), spanOf(1, 2, 1, 1), spanOf(1, 2, 1, 2), spanOf(1, 3, 2, 3)}, "1(2(3) 2)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outline(NewTree(c.spans).Roots); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Every span appears once, below its parent or as an orphan, whatever the parents say.
func TestTreeHoldsEverySpanOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "spans")
		spans := make([]Span, n)
		for i := range spans {
			spans[i] = spanOf(1, rapid.IntRange(1, 12).Draw(t, "id"), rapid.IntRange(0, 13).Draw(t, "parent"), rapid.Int64Range(0, 4).Draw(t, "start"))
			spans[i].Flags = uint32(i)
		}
		seen := map[uint32]int{}
		above := []*Node{}
		for depth, node := range NewTree(spans).Walk() {
			seen[node.Span.Flags] = depth
			above = append(above[:depth], node)
			if depth > 0 && above[depth-1].Span.SpanID != node.Span.Parent {
				t.Errorf("span %s is below %s", node.Span.Name, above[depth-1].Span.Name)
			}
			if depth == 0 && node.Orphan != !node.Span.Parent.IsZero() {
				t.Errorf("root %s, parent %s, orphan %v", node.Span.Name, node.Span.Parent, node.Orphan)
			}
		}
		if len(seen) != n {
			t.Errorf("%d of %d spans are in the tree", len(seen), n)
		}
	})
}

// Long chains, also into a cycle, take time in proportion to their length: sixteen times as long ones
// about sixteen times as much, not 256. What else the machine does can only spoil a try.
func TestLongTreesAreQuick(t *testing.T) {
	for _, end := range []int{0, 2} { // a chain, and a chain that leads into a cycle of two
		ratio := 0.0
		for range 20 {
			if ratio = float64(growing(t, 64_000, end)) / float64(growing(t, 4_000, end)); ratio < 64 {
				break
			}
		}
		if ratio >= 64 {
			t.Errorf("a chain of 64,000 that ends at %d takes %.0f times as long as one of 4,000", end, ratio)
		}
	}
}

// growing gives how long it takes to make the tree of a chain of n spans, and to walk through it.
func growing(t *testing.T, n, end int) time.Duration {
	t.Helper()
	spans := make([]Span, n)
	for i := range spans {
		spans[i] = spanOf(1, i+1, i, int64(n-i))
	}
	spans[0].Parent = sid(end)
	start := time.Now()
	tree := NewTree(spans)
	count := 0
	for range tree.Walk() {
		count++
	}
	if count != n || len(tree.Roots) != 1 {
		t.Errorf("%d of %d spans, %d roots", count, n, len(tree.Roots))
	}
	return time.Since(start)
}
