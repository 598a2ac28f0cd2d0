package lists

import (
	"slices"

	"github.com/seatrial/seatrial/internal/core/members"
)

// operation is what is done with targeting keys.
type operation int

const (
	replace operation = iota
	add
	remove
)

// difference is what an operation makes of a list.
type difference struct {
	added, removed int
	edits          []piece // the whole list, after it
}

func (d difference) changes() bool { return d.added+d.removed > 0 }

// differ finds out what an operation with the hashes of up adds to a list of n members and removes
// from it. Only that is written; but where it is much, a replaced list is written anew.
func differ(old []piece, n int, up []members.Part, how operation) (d difference) {
	list := edits(old)
	var adds, removes []members.Part
	switch how {
	case add:
		adds = outside(up, list)
	case remove:
		removes = minus(up, outside(up, list))
	case replace:
		all, wanted := members.Count(join(list, adding(up))), count(up)
		d.added, d.removed = all-n, all-wanted
		if d.added+d.removed > wanted/maxWaste {
			d.edits = fresh(adding(up))
			return d
		}
		adds, removes = outside(up, list), merge(join(list, removing(up)))
	}
	d.added, d.removed = count(adds), count(removes)
	d.edits = join(old, fresh(join(removing(removes), adding(adds))))
	return d
}

// Sets of hashes are parts that do not overlap; lists are edits. What follows is the algebra of
// both, all of it by members.Merge.

func merge(list []members.Edit) []members.Part { return slices.Collect(members.Merge(list)) }

// minus gives the hashes of a that b has not.
func minus(a, b []members.Part) []members.Part { return merge(join(adding(a), removing(b))) }

// outside gives the hashes of a that are no members of a list. After a and the opposite of the
// list's edits, in this order, those are left, and beside them what the list had removed.
func outside(a []members.Part, list []members.Edit) []members.Part {
	left := merge(join(adding(a), flipped(list)))
	if slices.ContainsFunc(list, func(e members.Edit) bool { return e.Removes }) {
		left = minus(a, minus(a, left))
	}
	return left
}

func count(parts []members.Part) (n int) {
	for _, p := range parts {
		n += p.Len()
	}
	return n
}

func adding(parts []members.Part) []members.Edit   { return editsOf(parts, false) }
func removing(parts []members.Part) []members.Edit { return editsOf(parts, true) }

func editsOf(parts []members.Part, removes bool) []members.Edit {
	list := make([]members.Edit, len(parts))
	for i, p := range parts {
		list[i] = members.Edit{Part: p, Removes: removes}
	}
	return list
}

// flipped gives edits that add what a list removes, and remove what it adds.
func flipped(list []members.Edit) []members.Edit {
	list = slices.Clone(list)
	for i := range list {
		list[i].Removes = !list[i].Removes
	}
	return list
}

func join[T any](a, b []T) []T { return append(a[:len(a):len(a)], b...) }

// fresh are edits that are kept nowhere yet.
func fresh(list []members.Edit) []piece {
	pieces := make([]piece, len(list))
	for i, e := range list {
		pieces[i].Edit = e
	}
	return pieces
}
