package traces

import (
	"cmp"
	"iter"
	"slices"
)

// Node is a span with its children.
type Node struct {
	Span     Span
	Children []*Node // by start, then by span id
	// Orphan is set on a root whose parent was not received (or that is its own ancestor).
	Orphan bool
}

// Tree is the spans of one trace arranged by parent. Clock skew between services is not
// corrected: a child may seem to start before its parent.
type Tree struct {
	Roots []*Node // true roots and orphans, by start, then by span id
}

// NewTree arranges spans, in any order. Every span appears exactly once, whatever the parents
// say: spans without their parent are roots marked as orphans, a cycle is cut at its earliest
// span. Of several spans with one id, the first gets the children.
func NewTree(spans []Span) Tree {
	nodes := make([]Node, len(spans))
	byID := make(map[SpanID]*Node, len(spans))
	for i := range spans {
		nodes[i].Span = spans[i]
		if _, taken := byID[spans[i].SpanID]; !taken {
			byID[spans[i].SpanID] = &nodes[i]
		}
	}
	order := make([]*Node, len(nodes))
	for i := range nodes {
		order[i] = &nodes[i]
	}
	slices.SortStableFunc(order, byStart)
	var tree Tree
	for _, node := range order {
		parent := byID[node.Span.Parent]
		switch {
		case node.Span.Parent.IsZero():
			tree.Roots = append(tree.Roots, node)
		case parent == nil || parent == node:
			node.Orphan = true
			tree.Roots = append(tree.Roots, node)
		default:
			parent.Children = append(parent.Children, node)
		}
	}
	tree.cutCycles(order, byID)
	return tree
}

// cutCycles makes a root of the earliest span of every cycle; nothing leads there from a root.
// It looks at every span once: following parents ends where somebody has been before.
func (t *Tree) cutCycles(order []*Node, byID map[SpanID]*Node) {
	seen := make(map[*Node]int, len(order)) // by which walk
	for _, node := range t.Walk() {
		seen[node] = -1
	}
	for walk, node := range order {
		for seen[node] == 0 {
			seen[node] = walk + 1
			node = byID[node.Span.Parent]
		}
		if seen[node] == walk+1 { // the walk met itself
			t.cut(node, byID)
		}
	}
	slices.SortStableFunc(t.Roots, byStart)
}

// cut makes a root of the earliest span of the cycle that node is on.
func (t *Tree) cut(node *Node, byID map[SpanID]*Node) {
	first := node
	for n := byID[node.Span.Parent]; n != node; n = byID[n.Span.Parent] {
		if byStart(n, first) < 0 {
			first = n
		}
	}
	parent := byID[first.Span.Parent]
	parent.Children = slices.DeleteFunc(parent.Children, func(n *Node) bool { return n == first })
	first.Orphan = true
	t.Roots = append(t.Roots, first)
}

func byStart(a, b *Node) int {
	return cmp.Or(cmp.Compare(a.Span.Start, b.Span.Start), slices.Compare(a.Span.SpanID[:], b.Span.SpanID[:]))
}

// Walk yields depth (0 for roots) and node, parents before children, in the order of display.
func (t Tree) Walk() iter.Seq2[int, *Node] {
	type step struct {
		depth int
		node  *Node
	}
	return func(yield func(int, *Node) bool) {
		var stack []step // not recursion: a trace may be one long chain
		push := func(depth int, nodes []*Node) {
			for _, node := range slices.Backward(nodes) {
				stack = append(stack, step{depth, node})
			}
		}
		push(0, t.Roots)
		for len(stack) > 0 {
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if !yield(top.depth, top.node) {
				return
			}
			push(top.depth+1, top.node.Children)
		}
	}
}
