package prometheus

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// The plan of the documentation can be started as it stands.
func TestPlanOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/prometheus.md")
	if err != nil {
		t.Fatal(err)
	}
	_, plan, _ := strings.Cut(string(text), "```json\n")
	plan, _, _ = strings.Cut(plan, "```")
	decoder := json.NewDecoder(strings.NewReader(plan))
	decoder.DisallowUnknownFields()
	var spec trial.Spec
	if err := decoder.Decode(&spec); err != nil {
		t.Fatal(err)
	}
	f := flag.Flag{Key: "new-checkout", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}}
	if err := trial.Normalize(spec).Validate(flag.Set{Environment: "production", Flags: []flag.Flag{f}}); err != nil {
		t.Error(err)
	}
	if n := len(selectors(&spec)); n != 8 {
		t.Errorf("%d selectors, want 8: throughput has those of errors", n)
	}
}
