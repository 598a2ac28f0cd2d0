package members

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var testKey = NewKey([16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})

// partOf makes a part of hashes in any order, and reads it back.
func partOf(t require, hashes ...uint64) Part {
	sorted := slices.Compact(slices.Sorted(slices.Values(hashes)))
	p, err := DecodePart(newPart(sorted).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type require interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

// hashes draws hashes from few values, so that parts overlap, and from the ends of the range.
var hashes = rapid.SliceOfN(rapid.OneOf(rapid.Uint64Range(0, 40),
	rapid.Map(rapid.Uint64Range(0, 40), func(n uint64) uint64 { return ^n }), rapid.Uint64()), 1, 60)

// Property: a list is what a map is after the same edits, however it is asked.
func TestListIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := map[uint64]bool{}
		var edits []Edit
		for range rapid.IntRange(0, 8).Draw(t, "edits") {
			e := Edit{Part: partOf(t, hashes.Draw(t, "hashes")...), Removes: rapid.Bool().Draw(t, "removes")}
			for i := range e.Part.Len() {
				if h := e.Part.at(i); e.Removes {
					delete(model, h)
				} else {
					model[h] = true
				}
			}
			edits = append(edits, e)
		}
		checkIs(t, edits, model)
		merged := adds(slices.Collect(Merge(edits)))
		if want := min(len(model), 1); len(merged) != want {
			t.Fatalf("%d parts, want %d", len(merged), want)
		}
		checkIs(t, merged, model)
	})
}

func adds(parts []Part) (edits []Edit) {
	for _, p := range parts {
		edits = append(edits, Edit{Part: p})
	}
	return edits
}

func checkIs(t require, edits []Edit, model map[uint64]bool) {
	set, err := Build(testKey, edits, len(model))
	if err != nil {
		t.Fatal(err)
	}
	if want := slices.Sorted(maps.Keys(model)); !slices.Equal(set.hashes, want) {
		t.Fatalf("members %x, want %x", set.hashes, want)
	}
	if set.Len() != len(model) || Count(edits) != len(model) {
		t.Fatalf("%d and %d members, want %d", set.Len(), Count(edits), len(model))
	}
	if again, err := Build(testKey, set.Edits(), len(model)); err != nil || !slices.Equal(again.hashes, set.hashes) {
		t.Fatalf("the set's own edits give %x, error %v", again.hashes, err)
	}
	for h := range model {
		for _, near := range []uint64{h - 1, h, h + 1} {
			if set.has(near) != model[near] {
				t.Fatalf("%x: %v", near, set.has(near))
			}
		}
	}
	if _, err := Build(testKey, edits, len(model)-1); err == nil {
		t.Fatalf("%d members passed a limit below that", len(model))
	}
}

// Hashes that were chosen to share their top bits are found all the same.
func TestUnevenHashes(t *testing.T) {
	model := map[uint64]bool{}
	for i := range uint64(5_000) {
		model[i*3] = true
	}
	model[1<<63] = true
	checkIs(t, []Edit{{Part: partOf(t, slices.Collect(maps.Keys(model))...)}}, model)
}

func TestCollectorAndMergeOfManyParts(t *testing.T) {
	const n = 2*MaxPart + 100_000
	c := NewCollector(testKey)
	for i := range n {
		c.Add(fmt.Sprint("user-", i))
	}
	for i := range 1_000 { // again, when they are in another part already
		c.Add(fmt.Sprint("user-", i))
	}
	edits := c.Edits()
	edits = append(edits, Edit{Part: newPart([]uint64{testKey.Hash("user-7")}), Removes: true})
	edits = adds(slices.Collect(Merge(edits)))
	if len(edits) != 3 || edits[0].Part.Len() != MaxPart || edits[1].Part.Len() != MaxPart {
		t.Fatalf("%d parts", len(edits))
	}
	set, err := Build(testKey, edits, n)
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != n-1 {
		t.Errorf("%d members, want %d", set.Len(), n-1)
	}
	for i := range n {
		if set.Contains(fmt.Sprint("user-", i)) != (i != 7) {
			t.Fatalf("user-%d: %v", i, i == 7)
		}
		if set.Contains(fmt.Sprint("other-", i)) {
			t.Fatalf("other-%d is a member", i)
		}
	}
	if per := float64(set.Size()) / n; per > 16 {
		t.Errorf("%.1f bytes per member, want at most 16", per)
	}
}

func TestNobodyIsMemberOfNothing(t *testing.T) {
	empty, err := Build(testKey, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	withEmptyKey, err := Build(testKey, []Edit{{Part: newPart([]uint64{testKey.Hash("")})}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]*Set{"nil": nil, "empty": empty, "with the hash of nothing": withEmptyKey} {
		if set.Contains("") || name != "with the hash of nothing" && (set.Len() != 0 || set.Contains("ana")) {
			t.Errorf("%s: somebody is a member", name)
		}
	}
	if _, err := Build(testKey, []Edit{{Part: Part{}}}, 0); err != nil {
		t.Errorf("zero part: %v", err)
	}
}

func TestDecodePartRefuses(t *testing.T) {
	good := newPart([]uint64{1, 2, 3}).Bytes()
	with := func(change func(b []byte)) []byte {
		b := slices.Clone(good)
		change(b)
		return b
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "no part"},
		{"a header without a count", good[:12], "no part"},
		{"other magic", with(func(b []byte) { b[0] = 'S' }), "no part"},
		{"another version", with(func(b []byte) { b[4] = 2 }), "version 2"},
		{"reserved bytes", with(func(b []byte) { b[6] = 1 }), "header"},
		{"no hashes", good[:16:16], "bytes"},
		{"count of none", with(func(b []byte) { b[8] = 0 })[:16], "0 hashes"},
		{"count too large", with(func(b []byte) { b[8] = 4 }), "bytes"},
		{"count beyond all", with(func(b []byte) { b[15] = 0xff }), "has 1 to"},
		{"trailing bytes", append(slices.Clone(good), 0), "bytes"},
		{"cut", good[:len(good)-1], "bytes"},
		{"unsorted", with(func(b []byte) { b[16] = 9 }), "hash 2"},
		{"twice", with(func(b []byte) { b[32] = 2 }), "hash 3"},
	} {
		if _, err := DecodePart(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if p, err := DecodePart(good); err != nil || p.Len() != 3 {
		t.Errorf("%d hashes, error %v", p.Len(), err)
	}
}

// What decodes is sorted and without repetition, and is written as it was read.
func FuzzDecodePart(f *testing.F) {
	f.Add(newPart([]uint64{0}).Bytes())
	f.Add(newPart([]uint64{1, 1 << 40, ^uint64(0)}).Bytes())
	f.Add([]byte("sMEM\x01\x00\x00\x00\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePart(data)
		if err != nil {
			return
		}
		var list []uint64
		for rest := data[headerBytes:]; len(rest) > 0; rest = rest[8:] {
			list = append(list, binary.LittleEndian.Uint64(rest))
		}
		if len(list) != p.Len() || len(list) == 0 || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Fatalf("%d hashes of a part of %d are not as promised", len(list), p.Len())
		}
		if again := newPart(list).Bytes(); string(again) != string(data) {
			t.Fatalf("%x became %x", data, again)
		}
		if Count([]Edit{{Part: p}, {Part: p, Removes: true}}) != 0 {
			t.Fatal("what was added and removed is still there")
		}
	})
}

func TestContainsNoAlloc(t *testing.T) {
	set, err := Build(testKey, []Edit{{Part: newPart([]uint64{1, 2, 3})}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { set.Contains("a-user-with-a-long-name@example.com") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
