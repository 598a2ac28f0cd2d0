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
		one := guardrailOutput{Name: g.Name, Verdict: g.Verdict, Alarm: g.Alarm, LogHarm: g.LogHarm, LogNoWorse: g.LogNoWorse,
			LogAnyHarm: g.LogAnyHarm, Treatment: g.Treatment, Control: g.Control, Ratio: g.Ratio}
		for _, b := range g.Bounds {
			if b.Seconds > 0 {
				one.Bounds = append(one.Bounds, boundOutput{b.Seconds, b.Treatment, b.Control})
			}
		}
		out.State.Guardrails = append(out.State.Guardrails, one)
	}
	return out
}

func outputsOf(trials []api.Trial) []trialOutput {
	out := make([]trialOutput, len(trials))
	for i, t := range trials {
		out[i] = outputOf(t)
	}
	return out
}
