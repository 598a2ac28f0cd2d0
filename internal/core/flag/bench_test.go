package flag

import (
	"encoding/json"
	"fmt"
	"testing"
)

// BenchmarkApply changes one flag among many.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var s Set
			for i := range n {
				s.Flags = append(s.Flags, Flag{Key: fmt.Sprintf("flag-%06d", i), Type: TypeBoolean,
					Variants: []Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}})
			}
			changed := s.Flags[n/2]
			changed.DefaultVariant = "on"
			d := Delta{Parent: 0, Revision: 1, Flags: []Flag{changed}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Apply(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
