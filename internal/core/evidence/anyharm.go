package evidence

import (
	"encoding/json"
	"fmt"
)

const (
	anyHarmPoints  = 40 // alternatives exp(0.05k), k = 1..40
	anyHarmSpacing = 20 // points in a unit of ln r
)

// The alternatives r of an [AnyHarm]: ln r, and r - 1.
var anyHarmLogs, anyHarmSteps = anyHarmGrid()

func anyHarmGrid() (logs, steps [anyHarmPoints]float64) {
	for k := range logs {
		logs[k] = float64(k+1) / anyHarmSpacing
		steps[k] = exp(logs[k]) - 1
	}
	return logs, steps
}

// AnyHarm tests H0: rate ratio ≤ 1, so its evidence says "worse at all". It is the process of
// [RelativeRate] at the margin 1 with a finer prior: equal weights on the rate ratios exp(0.05k),
// k = 1..40, which lie in (1, 7.4], where RelativeRate has exp(0.1k), k = 1..32, up to 24.5. So more
// of the stake is near 1, and a ratio of 1.4 or 2 is found about a tenth sooner. The price: what
// lies beyond 7.4 is left to the alternative 7.4, which at a small share with few events (a tenfold
// rate at 5 % of 600 requests a minute) takes a tenth longer. A test holds both.
//
// E[S] ≤ 1 is a statement about each alternative by itself, so AnyHarm is valid wherever
// RelativeRate is (see there for the sources), and as conservative for common events.
//
// The zero value ignores everything and stays at LogE 0. Plain value; its JSON keeps every bit.
type AnyHarm struct {
	started bool
	logS    [anyHarmPoints]float64 // Σ ln S(r_k)
}

// NewAnyHarm starts a process.
func NewAnyHarm() AnyHarm { return AnyHarm{started: true} }

// IsZero reports whether e is the zero value, for omitzero.
func (e *AnyHarm) IsZero() bool { return !e.started }

// Add weighs one interval. Without exposures in both arms, or without events, it changes nothing.
func (e *AnyHarm) Add(c Counts) {
	c, ok := c.clean()
	if !ok || c.X+c.Y == 0 || !e.started {
		return
	}
	var normalisers [anyHarmPoints]float64
	normalise(normalisers[:], anyHarmSteps[:], weightOf(c.Mc, c.Mb, 1))
	e.weigh(float64(c.X), float64(c.X)+float64(c.Y), &normalisers)
}

// weigh adds x events of the treatment among n.
func (e *AnyHarm) weigh(x, n float64, normalisers *[anyHarmPoints]float64) {
	for k := range e.logS {
		e.logS[k] += float64(x*anyHarmLogs[k]) - float64(n*normalisers[k])
	}
}

// LogE is ln E: 0 at the start, at least ln(1/α) when H0 is rejected at level α.
func (e *AnyHarm) LogE() float64 {
	if !e.started {
		return 0
	}
	return logSumExp(e.logS[:]) - ln(anyHarmPoints)
}

type anyHarmJSON struct {
	Points int    `json:"points,omitempty"` // of the grid; 0 for the zero value
	LogS   []byte `json:"logS,omitempty"`   // packed; left out if all are 0
}

// MarshalJSON writes the state so that UnmarshalJSON restores the same bits.
func (e AnyHarm) MarshalJSON() ([]byte, error) {
	if !e.started {
		return []byte("{}"), nil
	}
	return json.Marshal(anyHarmJSON{anyHarmPoints, pack(e.logS[:])})
}

// UnmarshalJSON restores a state; it refuses one of another grid, such as a [RelativeRate].
func (e *AnyHarm) UnmarshalJSON(data []byte) error {
	var stored anyHarmJSON
	if err := json.Unmarshal(data, &stored); err != nil {
		return fmt.Errorf("evidence: any harm: %w", err)
	}
	restored := AnyHarm{started: stored.Points != 0}
	if stored.Points != anyHarmPoints && (stored.Points != 0 || len(stored.LogS) > 0) {
		return fmt.Errorf("evidence: any harm: stored with %d alternatives, want %d; start the process anew", stored.Points, anyHarmPoints)
	}
	if err := unpack(stored.LogS, restored.logS[:]); err != nil {
		return fmt.Errorf("evidence: any harm: %w", err)
	}
	*e = restored
	return nil
}
