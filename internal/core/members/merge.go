package members

import "iter"

// Edit adds the hashes of a part to a list, or removes them from it.
type Edit struct {
	Part    Part
	Removes bool
}

// run is an ascending piece of one part: the hashes [from, to).
type run struct {
	part     Part
	from, to int
}

// merge gives the members that a list has after edits in this order, ascending and once each, in
// runs that are as long as possible. The last edit that names a hash decides.
//
// The edits are walked side by side. Whoever has the lowest hash goes on alone until the next
// lowest begins, so that parts that do not overlap, the common case, are taken as a whole. Time:
// one step per hash, times the number of edits where all of them overlap.
func merge(edits []Edit) iter.Seq[run] {
	return func(yield func(run) bool) {
		w := newWalk(edits)
		for len(w.next) > 0 {
			first, others, alone := w.lowest()
			end := w.next[first] + 1
			if alone {
				end = w.runUntil(first, others)
			}
			if e := w.edits[first]; !e.Removes && !yield(run{e.Part, w.next[first], end}) {
				return
			}
			w.advance(first, end)
		}
	}
}

// walk is a merge under way.
type walk struct {
	edits []Edit   // with hashes left, in order
	next  []int    // by edit: its next hash
	heads []uint64 // by edit: the value of that
}

func newWalk(edits []Edit) *walk {
	w := &walk{}
	for _, e := range edits {
		if e.Part.Len() > 0 {
			w.edits, w.next, w.heads = append(w.edits, e), append(w.next, 0), append(w.heads, e.Part.at(0))
		}
	}
	return w
}

// lowest gives the edit that decides over the lowest hash, the last that has it, and the lowest
// hash of the others. Alone means that no other has the same, or any at all; then others is above.
func (w *walk) lowest() (first int, others uint64, alone bool) {
	others = ^uint64(0)
	alone = true
	for i := 1; i < len(w.heads); i++ {
		switch head := w.heads[i]; {
		case head < w.heads[first]:
			others, first, alone = w.heads[first], i, true
		case head == w.heads[first]:
			first, alone = i, false
		default:
			others = min(others, head)
		}
	}
	return first, others, alone
}

// runUntil gives the end of an edit's hashes below limit, by doubling steps. The next hash is
// always taken: it is below limit, or there are no others.
func (w *walk) runUntil(edit int, limit uint64) int {
	p, low := w.edits[edit].Part, w.next[edit]+1
	if len(w.edits) == 1 {
		return p.Len()
	}
	high, step := low, 1
	for high < p.Len() && p.at(high) < limit {
		low, high, step = high+1, high+step, 2*step
	}
	high = min(high, p.Len())
	for low < high {
		if middle := int(uint(low+high) / 2); p.at(middle) < limit {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// advance takes an edit to a place, and everybody else past the hash that it had.
func (w *walk) advance(edit, to int) {
	taken := w.heads[edit]
	w.next[edit] = to
	kept := 0
	for i := range w.edits {
		if i != edit && w.heads[i] == taken {
			w.next[i]++
		}
		if w.next[i] == w.edits[i].Part.Len() {
			continue
		}
		w.edits[kept], w.next[kept] = w.edits[i], w.next[i]
		w.heads[kept] = w.edits[i].Part.at(w.next[i])
		kept++
	}
	w.edits, w.next, w.heads = w.edits[:kept], w.next[:kept], w.heads[:kept]
}

// Count gives how many members a list has after edits in this order.
func Count(edits []Edit) (n int) {
	for r := range merge(edits) {
		n += r.to - r.from
	}
	return n
}

// Merge gives parts that add exactly the members which a list has after edits in this order: as
// few as possible, none if there are no members. It holds one part at a time.
func Merge(edits []Edit) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		var hashes []uint64
		for r := range merge(edits) {
			for i := r.from; i < r.to; i++ {
				if len(hashes) == MaxPart {
					if !yield(newPart(hashes)) {
						return
					}
					hashes = hashes[:0]
				}
				hashes = append(hashes, r.part.at(i))
			}
		}
		if len(hashes) > 0 {
			yield(newPart(hashes))
		}
	}
}
