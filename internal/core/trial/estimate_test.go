package trial

import (
	"testing"

	"github.com/seatrial/seatrial/internal/core/evidence"
)

func TestEstimateLeavesOutWhatIsNotKnown(t *testing.T) {
	for _, test := range []struct {
		name             string
		low, high, value float64
		want             string
	}{
		{"both ends", 1.7, 5.7, 3, "3× (1.7× to 5.7×)"},
		{"no end above", 1.3, evidence.MaxRatio, 8.6, "8.6× (1.3× or more)"},
		{"no bad event in the control", 1.1, evidence.MaxRatio, evidence.MaxRatio, "1.1× or more"},
		{"one bad event, none in the control", 0.04, evidence.MaxRatio, evidence.MaxRatio, ""},
		{"no end below", evidence.MinRatio, 1.4, 0.2, "0.2× (1.4× or less)"},
		{"no bad event in the treatment", evidence.MinRatio, 1.4, evidence.MinRatio, "1.4× or less"},
		{"nothing counted", evidence.MinRatio, evidence.MaxRatio, 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := newEstimate(test.low, test.high, test.value).String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
