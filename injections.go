package seatrial

import (
	"sync"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/eval"
)

// maxInjected bounds the kinds of injections that are told apart: by experiment, point, kind and
// phase. Those beyond are not counted.
const maxInjected = 1000

// injections counts the calls that faults hit: since the last flush for the control plane, and since
// the start for the application's own metrics.
type injections struct {
	mu     sync.Mutex
	counts map[injection]uint64
	totals map[injected]uint64
}

// injection is what is told apart of injections for the control plane.
type injection struct {
	ref     eval.TrialRef
	variant string
	injected
}

// injected is what is told apart of them for the application.
type injected struct {
	trial, point string
	kind         fault.Kind
	phase        fault.Phase
}

// count notes a call that was hit.
func (n *injections) count(x *experiment, i fault.Injection) {
	key := injected{x.ref.Trial, i.Point, i.Kind, i.Phase}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.counts == nil {
		n.counts, n.totals = map[injection]uint64{}, map[injected]uint64{}
	}
	addBounded(n.counts, injection{x.ref, x.variants[treatment], key})
	addBounded(n.totals, key)
}

func addBounded[K comparable](counts map[K]uint64, key K) {
	if _, known := counts[key]; known || len(counts) < maxInjected {
		counts[key]++
	}
}

// injectedCalls is a count with what it is of.
type injectedCalls struct {
	injection
	calls uint64
}

// take gives what was counted since the last call.
func (n *injections) take() (list []injectedCalls) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for of, calls := range n.counts {
		list = append(list, injectedCalls{of, calls})
	}
	clear(n.counts)
	return list
}

// each visits the totals.
func (n *injections) each(visit func(injected, uint64)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for of, calls := range n.totals {
		visit(of, calls)
	}
}
