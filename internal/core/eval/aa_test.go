package eval

import (
	"fmt"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Both arms of an A/A trial get the same variant, and are still told apart by their role.
func TestAllocationOfOneVariantKeepsItsRoles(t *testing.T) {
	set := flag.Set{Flags: []flag.Flag{stringFlag("f")}, Allocations: []flag.Allocation{{
		Trial: "aa", Flag: "f", Version: "aa.1.0", Salt: "aa", Treatment: "off", Control: "off",
		Strata: []flag.Stratum{{Treatment: 25_000, Control: 25_000}},
	}}}
	if err := set.Validate(); err != nil {
		t.Fatal(err)
	}
	f := compile(t, set).Flag("f")
	roles := map[Role]int{}
	for i := range 2_000 {
		r := f.Evaluate(&Context{TargetingKey: fmt.Sprint("u", i)})
		if r.Variant != "off" {
			t.Fatalf("u%d got %q", i, r.Variant)
		}
		roles[r.Role]++
	}
	for role, want := range map[Role]int{RoleTreatment: 500, RoleControl: 500, RoleNone: 1_000} {
		if n := roles[role]; n < want-150 || n > want+150 {
			t.Errorf("%d of 2,000 are %s, want about %d", n, role, want)
		}
	}
}
