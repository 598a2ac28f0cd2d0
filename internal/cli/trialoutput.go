package cli

import (
	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// trialOutput is a trial as -o json shows it: all that people and scripts can use. The running
// sums of the evidence stay inside; the API has them.
type trialOutput struct {
	Spec     trial.Spec  `json:"spec"`
	State    stateOutput `json:"state"`
	Revision int64       `json:"revision"`
}

type stateOutput struct {
	trial.State
	Guardrails []guardrailOutput `json:"guardrails"`
	Sample     sampleOutput      `json:"sample"`
}

type guardrailOutput struct {
	Name       string         `json:"name"`
	Verdict    trial.Verdict  `json:"verdict"`
	Alarm      bool           `json:"alarm,omitempty"`
	LogHarm    float64        `json:"logHarm"`
	LogNoWorse float64        `json:"logNoWorse"`
	LogAnyHarm float64        `json:"logAnyHarm"`
	Treatment  trial.Count    `json:"treatment"`
	Control    trial.Count    `json:"control"`
	Ratio      trial.Estimate `json:"ratio"`
	Bounds     []boundOutput  `json:"bounds,omitempty"` // of latency
	// Difference of the means, of a value.
	Difference *trial.Difference `json:"difference,omitempty"`
	NoData     int               `json:"noData,omitempty"` // intervals in a row without data
	// SLO and DesignEffect are there where they are measured.
	SLO          *sloOutput          `json:"slo,omitempty"`
	DesignEffect *designEffectOutput `json:"designEffect,omitempty"`
}

// sloOutput is what a service level shows: its counts over the attempt.
type sloOutput struct {
	Seconds   float64     `json:"seconds,omitempty"`
	Treatment trial.Count `json:"treatment"`
	Together  trial.Count `json:"together"`
}

// designEffectOutput is what an A/A trial measures, with an interval of about 95 %.
type designEffectOutput struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

type boundOutput struct {
	Seconds   float64     `json:"seconds"`
	Treatment trial.Count `json:"treatment"`
	Control   trial.Count `json:"control"`
}

type sampleOutput struct {
	LogE    float64 `json:"logE"`
	Invalid bool    `json:"invalid"`
}

func outputOf(t api.Trial) trialOutput {
	out := trialOutput{Spec: t.Spec, Revision: t.Revision, State: stateOutput{State: t.State, Guardrails: []guardrailOutput{},
		Sample: sampleOutput{LogE: t.State.Sample.LogE, Invalid: t.State.Sample.Invalid}}}
	for _, g := range t.State.Guardrails {
		out.State.Guardrails = append(out.State.Guardrails, guardrailOf(g))
	}
	return out
}

func guardrailOf(g trial.GuardrailState) guardrailOutput {
	one := guardrailOutput{Name: g.Name, Verdict: g.Verdict, Alarm: g.Alarm, LogHarm: finite(g.LogHarm), LogNoWorse: finite(g.LogNoWorse),
		LogAnyHarm: finite(g.LogAnyHarm), Treatment: g.Treatment, Control: g.Control, Ratio: g.Ratio, Difference: g.Difference, NoData: g.NoData}
	for _, b := range g.Bounds {
		if b.Seconds > 0 {
			one.Bounds = append(one.Bounds, boundOutput{b.Seconds, b.Treatment, b.Control})
		}
	}
	if g.SLO != nil {
		one.SLO = &sloOutput{g.SLO.Seconds, g.SLO.TreatmentCount, g.SLO.TogetherCount}
	}
	if value, low, high, ok := g.Dispersion.DesignEffect(); ok {
		one.DesignEffect = &designEffectOutput{value, low, high}
	}
	return one
}

func outputsOf(trials []api.Trial) []trialOutput {
	out := make([]trialOutput, len(trials))
	for i, t := range trials {
		out[i] = outputOf(t)
	}
	return out
}
