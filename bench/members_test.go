package bench

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// The list has a million members: every second unit, and others that nobody asks for.
const listed = 1_000_000

const listKey = "000102030405060708090a0b0c0d0e0f"

func isListed(n int) bool { return n%2 == 0 }

// memberParts are the parts of the list, as an upload makes them.
func memberParts(tb testing.TB) (edits []members.Edit) {
	tb.Helper()
	key, err := members.ParseKey(listKey)
	if err != nil {
		tb.Fatal(err)
	}
	c := members.NewCollector(key)
	for n := range units {
		if isListed(n) {
			c.Add(population[n].id)
		}
	}
	for i := range listed - units/2 {
		c.Add(fmt.Sprint("other-", i))
	}
	for part := range members.Merge(c.Edits()) {
		edits = append(edits, members.Edit{Part: part})
	}
	return edits
}

func memberSet(tb testing.TB) *members.Set {
	tb.Helper()
	key, err := members.ParseKey(listKey)
	if err != nil {
		tb.Fatal(err)
	}
	set, err := members.Build(key, memberParts(tb), flag.MaxListMembers)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// listedFlag gives a handle on a flag that is on for the members of the list, as the client gets it
// from a control plane.
func listedFlag(tb testing.TB) asked {
	p := newPlane(flag.Set{Environment: "bench", History: "h", Epoch: 1, Revision: 1, Hash: "00"})
	list := &flag.List{HashKey: listKey, Count: listed}
	for _, e := range memberParts(tb) {
		list.Parts = append(list.Parts, p.addPart(e.Part))
	}
	p.set.Segments = []flag.Segment{{Key: "listed", List: list}}
	p.set.Flags = []flag.Flag{booleanFlag("listed", flag.Rule{When: &flag.Condition{Segment: "listed"}, Serve: "on"})}
	handle, contexts := p.open(tb).BoolFlag("listed", false), seatrialContexts()
	return func(n int) bool { return handle.Get(contexts[n]) }
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// TestMembers: the list has the members that were put in, and no others.
func TestMembers(t *testing.T) {
	set, byFlag := memberSet(t), listedFlag(t)
	if set.Len() != listed || set.Size() > 16<<20 {
		t.Errorf("%d members in %d bytes, want %d in at most 16 MiB", set.Len(), set.Size(), listed)
	}
	for n := range units {
		if want := isListed(n); set.Contains(population[n].id) != want || byFlag(n) != want {
			t.Fatalf("unit %d: set %t, flag %t, want %t", n, set.Contains(population[n].id), byFlag(n), want)
		}
	}
}

// BenchmarkMembers looks units up in the list. The set's memory does not fit into the caches near
// the processor, and hashes go everywhere in it.
func BenchmarkMembers(b *testing.B) {
	set, byFlag := memberSet(b), listedFlag(b)
	bySet := func(n int) bool { return set.Contains(population[n].id) }
	for _, c := range []struct {
		name  string
		one   asked
		first int
	}{{"hit", bySet, 0}, {"miss", bySet, 1}, {"flag-hit", byFlag, 0}, {"flag-miss", byFlag, 1}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			n := c.first
			for b.Loop() {
				c.one(n)
				if n += 2; n >= units {
					n = c.first
				}
			}
			b.ReportMetric(float64(set.Size())/1e6, "MB")
		})
	}
}
