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
func (t *Tree) cutCycles(order []*Node, byID map[SpanID]*Node) {
	reached := make(map[*Node]bool, len(order))
	for _, node := range t.Walk() {
		reached[node] = true
	}
	if len(reached) == len(order) {
		return
	}
	for _, node := range order {
		if reached[node] || !onCycle(node, byID) {
			continue
		}
		parent := byID[node.Span.Parent]
		parent.Children = slices.DeleteFunc(parent.Children, func(n *Node) bool { return n == node })
		node.Orphan = true
		t.Roots = append(t.Roots, node)
		for _, below := range (Tree{Roots: []*Node{node}}).Walk() {
			reached[below] = true
		}
	}
	slices.SortStableFunc(t.Roots, byStart)
}

// onCycle reports whether a span that no root leads to is its own ancestor, rather than a
// descendant of such a span.
func onCycle(node *Node, byID map[SpanID]*Node) bool {
	slow, fast := node, node
	for {
		if fast = byID[fast.Span.Parent]; fast == node {
			return true
		}
		if fast = byID[fast.Span.Parent]; fast == node {
			return true
		}
		if slow = byID[slow.Span.Parent]; slow == fast {
			return false
		}
	}
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
