package eval

import (
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Every outcome of every flag has a number of its own.
func TestSlots(t *testing.T) {
	off, none := stringFlag("a-off"), stringFlag("b-none")
	off.Enabled, none.DefaultVariant = false, ""
	target := clause("plan", flag.OpIn, `"pro"`)
	raw := flag.Flag{Key: "d-raw", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, Definition: []byte(
		`{"state":"ENABLED","variants":{"no":false,"yes":true},"defaultVariant":"no","targeting":{"if":[{"==":[{"var":"plan"},"pro"]},"yes"]}}`)}
	s := compile(t, flag.Set{Flags: []flag.Flag{raw, stringFlag("c-rule", flag.Rule{When: &target, Serve: "red"}), off, none}})
	pro, other := &Context{Attributes: map[string]any{"plan": "pro"}}, (*Context)(nil)
	tests := map[string]struct {
		key  string
		c    *Context
		slot uint32
	}{
		"unknown": {"nope", other, 0}, "disabled": {"a-off", other, 1}, "no default": {"b-none", other, 6},
		"default": {"c-rule", other, 13}, "rule": {"c-rule", pro, 14}, "definition": {"d-raw", other, 17}, "its targeting": {"d-raw", pro, 18},
	}
	for name, test := range tests {
		got := s.Evaluate(test.key, test.c)
		if got.Slot != test.slot {
			t.Errorf("%s: slot %d, want %d", name, got.Slot, test.slot)
		}
		f := s.Flag(test.key)
		if got.Variant != "" && f.Variants()[got.Slot-f.Slot()-1].Name != got.Variant || got.Variant == "" && got.Slot != f.Slot() {
			t.Errorf("%s: slot %d of a flag at %d is not %q", name, got.Slot, f.Slot(), got.Variant)
		}
	}
	if s.Slots() != 19 || (*Snapshot)(nil).Slots() != 1 {
		t.Errorf("%d slots", s.Slots())
	}
}
