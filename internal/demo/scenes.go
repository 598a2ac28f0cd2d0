package demo

import (
	"context"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
)

// scene is one act of the demo: what is set up, the trial, and what happens meanwhile.
type scene struct {
	name  string
	title string
	// about tells a person what is tried.
	about string
	// prepare, if not nil, is done before the trial starts, and told with the sentence it gives.
	prepare func(ctx context.Context, w *world) (string, error)
	spec    trial.Spec
	// incident, if not nil, befalls everybody meanwhile.
	incident *incident
}

// seconds of a plan.
func seconds(n float64) trial.Duration { return trial.Duration(n * float64(time.Second)) }

func percent(p flag.Weight) flag.Weight { return p * flag.TotalWeight / 100 }

// sceneLimit is when a scene that does not come to an end is given up. Scenes take less than half a
// minute; where the machine has a lot else to do, many customers are not served, and proof takes longer.
const sceneLimit = 4 * time.Minute

func scenes() []scene {
	return []scene{goodCanary(), badCanary(), chaosResilient(), chaosFragile()}
}

// wider are the tolerances that some seconds of traffic can prove something about.
func wider() []trial.Guardrail {
	return []trial.Guardrail{
		{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.5, Absolute: 0.02},
		{Name: "latency", Metric: trial.MetricLatency, Mode: trial.ModeEnforce, Relative: 0.5, Absolute: 0.1},
	}
}

// The names of the rollouts.
const (
	recommendTrial = "recommendations"
	expressTrial   = "express"
)

func rollout(name, flagKey string, steps ...trial.Step) trial.Spec {
	return trial.Spec{
		Name: name, Goal: trial.GoalPromote, Flag: flagKey, Treatment: variantOn, Control: variantOff,
		Steps: steps, Guardrails: wider(), Interval: seconds(1), Watch: seconds(3), Deadline: trial.Duration(sceneLimit),
	}
}

func goodCanary() scene {
	return scene{
		name: "good-canary", title: "a good canary",
		about: "A new recommendation algorithm goes to internal users and beta testers, then to everybody in steps. " +
			"On the way the warehouse database fails for some seconds, for everybody alike.",
		spec: rollout(recommendTrial, flagRecommend,
			trial.Step{Segments: groups, Share: percent(50), MinTime: seconds(4), MinUnits: 5},
			trial.Step{Share: percent(5), MinTime: seconds(4), MinUnits: 5},
			trial.Step{Share: percent(25), MinTime: seconds(5), MinUnits: 20},
			trial.Step{Share: percent(50), MinTime: seconds(5), MinUnits: 100, RequireSafe: true}),
		incident: &incident{step: 2, lasts: 5 * time.Second},
	}
}

func badCanary() scene {
	return scene{
		name: "bad-canary", title: "a bad canary",
		about: "Express checkout goes to everybody in steps. Tests and reviews found nothing wrong with it.",
		spec: rollout(expressTrial, flagExpress,
			trial.Step{Share: percent(10), MinTime: seconds(15), MinUnits: 20},
			trial.Step{Share: percent(25), MinTime: seconds(5), MinUnits: 50},
			trial.Step{Share: percent(50), MinTime: seconds(5), MinUnits: 100, RequireSafe: true}),
	}
}

// chaos is the experiment of both chaos scenes.
func chaos(name string) trial.Spec {
	return trial.Spec{
		Name: name, Goal: trial.GoalSurvive, Flag: flagTrouble, Treatment: variantOn, Control: variantOff,
		Hypothesis: "orders go on as usual while payment has a bad day",
		Steps:      []trial.Step{{Share: percent(10), MinTime: seconds(10), MinUnits: 80}},
		Guardrails: []trial.Guardrail{
			{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Absolute: 0.05},
			{Name: "slow orders", Metric: trial.MetricLatency, Mode: trial.ModeEnforce, Absolute: 0.05, Bounds: []float64{2}},
		},
		Interval: seconds(1), SteadyTime: seconds(4), Deadline: trial.Duration(sceneLimit), MaxUnits: 400,
	}
}

func chaosResilient() scene {
	return scene{
		name: "chaos-resilient", title: "chaos, with a resilience policy",
		about: "Errors, latency and cancellations hit the calls to payment for 10 % of the users; another 10 % are the control.",
		prepare: func(ctx context.Context, w *world) (string, error) {
			return "policy-payment is on: attempts time out, are repeated, and a breaker watches.",
				w.serve(ctx, flagPolicy, variantOn, "demo: try the policy")
		},
		spec: chaos("payment-trouble-with-policy"),
	}
}

func chaosFragile() scene {
	return scene{
		name: "chaos-fragile", title: "chaos, without it",
		about: "The same faults for as many users.",
		prepare: func(ctx context.Context, w *world) (string, error) {
			return "policy-payment is off: every call is made once.",
				w.serve(ctx, flagPolicy, variantOff, "demo: try without the policy")
		},
		spec: chaos("payment-trouble-without-policy"),
	}
}
