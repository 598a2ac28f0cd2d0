package control_test

import (
	"slices"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestPromotionBetweenEnvironments(t *testing.T) {
	f := func(key string, enabled bool, description string) flag.Flag {
		return flag.Flag{Key: key, Enabled: enabled, Description: description}
	}
	archived := f("archived", true, "")
	archived.Archived = true
	from := flag.Set{
		Flags:    []flag.Flag{f("same", true, ""), f("changed", true, "new"), f("added", true, ""), f("switched", true, ""), archived},
		Segments: []flag.Segment{{Key: "listed", Description: "new", List: &flag.List{HashKey: "theirs"}}},
		Layers:   []flag.Layer{{Key: "l", Holdout: 1}},
	}
	to := flag.Set{
		Flags:    []flag.Flag{f("same", true, ""), f("changed", false, "old"), f("switched", false, ""), f("extra", true, "")},
		Segments: []flag.Segment{{Key: "listed", List: &flag.List{HashKey: "ours"}}},
		Layers:   []flag.Layer{{Key: "l", Holdout: 1}, {Key: "old"}},
	}
	keys := func(list []flag.Flag) (keys []string) {
		for _, f := range list {
			keys = append(keys, f.Key)
		}
		return keys
	}
	for _, test := range []struct {
		name  string
		pick  control.Selection
		flags []string
		gone  []string
	}{
		{"everything", control.Selection{}, []string{"changed", "added"}, nil},
		{"with the state", control.Selection{State: true}, []string{"changed", "added", "switched"}, nil},
		{"pruned", control.Selection{Prune: true}, []string{"changed", "added"}, []string{"extra"}},
		{"one", control.Selection{Flags: []string{"added"}}, []string{"added"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := control.Promotion(from, to, test.pick)
			if err != nil || !slices.Equal(keys(b.Flags), test.flags) || !slices.Equal(b.DeleteFlags, test.gone) {
				t.Fatalf("%v, deleted %v, %v", keys(b.Flags), b.DeleteFlags, err)
			}
			if b.Flags[0].Key == "changed" && b.Flags[0].Enabled != test.pick.State {
				t.Error("the target's kill switch was moved")
			}
			if test.name == "everything" && (len(b.Segments) != 1 || b.Segments[0].List.HashKey != "ours" || len(b.Layers) != 0) {
				t.Errorf("segments %+v, layers %+v", b.Segments, b.Layers)
			}
		})
	}
	if _, err := control.Promotion(from, to, control.Selection{Flags: []string{"archived"}}); control.CodeOf(err) != control.CodeNotFound {
		t.Errorf("an archived flag: %v", err)
	}
	if _, err := control.Promotion(from, to, control.Selection{Flags: []string{"added"}, Prune: true}); control.CodeOf(err) != control.CodeInvalid {
		t.Errorf("pruning with keys: %v", err)
	}
}
