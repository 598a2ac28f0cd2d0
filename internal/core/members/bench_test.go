package members

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// listOf collects n users and gives their parts as an upload stores them.
func listOf(n int) []Edit {
	c := NewCollector(testKey)
	for i := range n {
		c.Add(fmt.Sprint("user-", i))
	}
	var edits []Edit
	for p := range Merge(c.Edits()) {
		edits = append(edits, Edit{Part: p})
	}
	return edits
}

// The users asked for are walked with a stride, so that caches help as little as in life.
func BenchmarkContains(b *testing.B) {
	const n = 1_000_000
	set, err := Build(testKey, listOf(n), n)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, prefix string
		member       bool
	}{{"hit", "user-", true}, {"miss", "none-", false}} {
		users := make([]string, 1<<16)
		for i := range users {
			users[i] = fmt.Sprint(c.prefix, i*7919%n)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if set.Contains(users[i&(1<<16-1)]) != c.member {
					b.Fatal("wrong")
				}
			}
			b.ReportMetric(float64(set.Size())/1e6, "MB")
		})
	}
}

func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		testKey.Hash("user-1234567")
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		edits := listOf(n)
		b.Run(fmt.Sprintf("%dM", n/1_000_000), func(b *testing.B) {
			for b.Loop() {
				if _, err := Build(testKey, edits, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodePart(b *testing.B) {
	p := listOf(1_000_000)[0].Part
	b.SetBytes(int64(len(p.Bytes())))
	for b.Loop() {
		if _, err := DecodePart(p.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}

// Variable length coding of the gaps, which the format does without: its size and time.
func BenchmarkVarint(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		edits := listOf(n)
		var packed []byte
		last, count := uint64(0), 0
		for r := range merge(edits) {
			for i := r.from; i < r.to; i++ {
				packed = binary.AppendUvarint(packed, r.part.at(i)-last)
				last, count = r.part.at(i), count+1
			}
		}
		b.Run(fmt.Sprintf("%dM", n/1_000_000), func(b *testing.B) {
			for b.Loop() {
				for rest := packed; len(rest) > 0; {
					_, length := binary.Uvarint(rest)
					rest = rest[length:]
				}
			}
			b.ReportMetric(float64(len(packed))/float64(count), "bytes/hash")
		})
	}
}

// Collecting is what an upload costs beside reading it.
func BenchmarkCollect(b *testing.B) {
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = fmt.Sprint("user-", i)
	}
	const n = 1_000_000
	for b.Loop() {
		c := NewCollector(testKey)
		for i := range n {
			c.Add(ids[i&(1<<16-1)])
		}
		for range Merge(c.Edits()) {
		}
	}
}
