package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// verdictAnswer is what the evidence says of a trial, for tools that act on it.
type verdictAnswer struct {
	Trial      string             `json:"trial"`
	Attempt    int                `json:"attempt"`
	Verdict    trial.Verdict      `json:"verdict"`
	Phase      trial.Phase        `json:"phase"`
	Result     trial.Result       `json:"result,omitempty"`
	Why        string             `json:"why"`
	Blamed     []string           `json:"blamed,omitempty"`
	Artifact   string             `json:"artifact,omitempty"`
	StartedAt  time.Time          `json:"startedAt,omitzero"`
	UpdatedAt  time.Time          `json:"updatedAt,omitzero"`
	Guardrails []guardrailVerdict `json:"guardrails"`
}

// guardrailVerdict is a guardrail's part of it. The fields are those of trial.GuardrailState.
type guardrailVerdict struct {
	Name       string         `json:"name"`
	Metric     trial.Metric   `json:"metric"`
	Mode       trial.Mode     `json:"mode"`
	Verdict    trial.Verdict  `json:"verdict"`
	Alarm      bool           `json:"alarm"`
	LogHarm    float64        `json:"logHarm"`
	LogNoWorse float64        `json:"logNoWorse"`
	LogAnyHarm float64        `json:"logAnyHarm"`
	Bound      float64        `json:"bound,omitempty"`
	Treatment  trial.Count    `json:"treatment"`
	Control    trial.Count    `json:"control"`
	Ratio      trial.Estimate `json:"ratio"`
}

var verdicts = []trial.Verdict{
	trial.VerdictSafe, trial.VerdictHarmful, trial.VerdictUndecided, trial.VerdictNoData, trial.VerdictInvalid,
}

func newVerdict(entry *control.TrialEntry) verdictAnswer {
	spec, s := &entry.Spec, &entry.State
	a := verdictAnswer{
		Trial: spec.Name, Attempt: s.Attempt, Verdict: overall(spec, s), Phase: s.Phase, Result: s.Result,
		Why: s.Why, Blamed: s.Blamed, Artifact: spec.Artifact, StartedAt: s.StartedAt, UpdatedAt: s.UpdatedAt,
		Guardrails: make([]guardrailVerdict, len(s.Guardrails)),
	}
	if a.Artifact == "" && spec.Cohorts != nil {
		a.Artifact = spec.Cohorts.Treatment
	}
	for i := range s.Guardrails {
		g, plan := &s.Guardrails[i], &spec.Guardrails[i]
		a.Guardrails[i] = guardrailVerdict{
			Name: g.Name, Metric: plan.Metric, Mode: plan.Mode, Verdict: g.Verdict, Alarm: g.Alarm,
			LogHarm: g.LogHarm, LogNoWorse: g.LogNoWorse, LogAnyHarm: g.LogAnyHarm,
			Bound: g.Bound, Treatment: g.Treatment, Control: g.Control, Ratio: g.Ratio,
		}
	}
	return a
}

// overall is the one verdict on a trial: that of its result, if it has one; else the gravest of its
// guardrails, those in shadow left out.
func overall(spec *trial.Spec, s *trial.State) trial.Verdict {
	switch s.Result {
	case trial.ResultPromoted, trial.ResultSurvived, trial.ResultQuiet:
		return trial.VerdictSafe
	case trial.ResultRolledBack, trial.ResultWeaknessFound, trial.ResultNoisy:
		return trial.VerdictHarmful
	case trial.ResultAborted, trial.ResultInconclusive:
		return trial.VerdictUndecided // nobody will learn more: a person decides
	}
	switch {
	case s.Phase == trial.PhaseWatching:
		return trial.VerdictSafe
	case s.Sample.Invalid:
		return trial.VerdictInvalid
	}
	gravity := []trial.Verdict{trial.VerdictSafe, trial.VerdictUndecided, trial.VerdictNoData, trial.VerdictInvalid, trial.VerdictHarmful}
	worst := 0
	for i := range s.Guardrails {
		v, mode := s.Guardrails[i].Verdict, spec.Guardrails[i].Mode
		if mode == trial.ModeHold && v == trial.VerdictHarmful {
			v = trial.VerdictUndecided // it may hold a rollout, not end it
		}
		if mode != trial.ModeShadow {
			worst = max(worst, slices.Index(gravity, v))
		}
	}
	return gravity[worst]
}

// expected reads the parameter expect: which verdicts are answered with success. Empty: all.
func (c *call) expected() (list []trial.Verdict, err error) {
	text := c.param("expect")
	if text == "" {
		return verdicts, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		v := trial.Verdict(strings.TrimSpace(name))
		if !slices.Contains(verdicts, v) {
			return nil, invalid("query parameter expect: there is no verdict %q%s", name, flag.Suggest(name, func(yield func(string) bool) {
				for _, known := range verdicts {
					if !yield(string(known)) {
						return
					}
				}
			}))
		}
		list = append(list, v)
	}
	return list, nil
}

// answerVerdict answers with the verdict if it is an expected one, else with a problem that tells
// it: tools that know only success and failure act on the status.
func (c *call) answerVerdict(a verdictAnswer, expect []trial.Verdict) error {
	if slices.Contains(expect, a.Verdict) {
		return c.answer(http.StatusOK, a)
	}
	return &control.Error{Code: control.CodePrecondition, Message: fmt.Sprintf("trial %q: the verdict is %s, expected was %s. %s", a.Trial, a.Verdict, c.param("expect"), a.Why)}
}

// maxIgnored bounds, in bytes, the body of a webhook that is not read.
const maxIgnored = 64 << 10

// trialVerdict tells the verdict on a trial. A body, which webhooks send, is ignored.
func (c *call) trialVerdict() error {
	expect, err := c.expected()
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(c.w, c.r.Body, maxIgnored)); err != nil {
		return err
	}
	entry, err := c.api.cfg.Service.GetTrial(c.r.PathValue("key"))
	if err != nil {
		return err
	}
	return c.answerVerdict(newVerdict(&entry), expect)
}

// ensureVerdict starts the comparison of a plan if it is not there yet, and tells its verdict.
func (c *call) ensureVerdict() error {
	again, err := c.boolParam("retry")
	if err != nil {
		return err
	}
	var spec trial.Spec
	if err := c.decode("trial", &spec); err != nil {
		return err
	}
	return c.ensure(spec, again)
}

func (c *call) ensure(spec trial.Spec, again bool) error {
	expect, err := c.expected()
	if err != nil {
		return err
	}
	o := control.WriteOptions{Actor: c.principal.Actor()}
	entry, err := c.api.cfg.Service.EnsureTrial(c.r.Context(), spec, again, o)
	if err != nil {
		return err
	}
	return c.answerVerdict(newVerdict(&entry), expect)
}

// flaggerPayload is what Flagger posts to webhooks. What newer versions add is ignored.
type flaggerPayload struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Phase     string `json:"phase"`
	// Checksum is of what is deployed: another one is another artifact.
	Checksum string            `json:"checksum"`
	Metadata map[string]string `json:"metadata"`
}

// flaggerPhases are those in which the canary gets traffic under the payload's checksum. Before them
// the checksum is still that of the canary before, whose verdict must not count for this one.
var flaggerPhases = []string{"Progressing", "WaitingPromotion", "Promoting", "Finalising"}

// flaggerVerdict is ensureVerdict for webhooks of Flagger, whose body is the tool's own. The plan is
// made of the webhook's metadata.
func (c *call) flaggerVerdict() error {
	data, err := c.body(maxIgnored)
	if err != nil {
		return err
	}
	var p flaggerPayload
	if err := json.Unmarshal(data, &p); err != nil {
		return invalid("the body is not a webhook payload of Flagger: %v", err)
	}
	spec, err := p.plan()
	if err != nil {
		return err
	}
	if slices.Contains(flaggerPhases, p.Phase) {
		return c.ensure(spec, false)
	}
	expect, err := c.expected()
	if err != nil {
		return err
	}
	return c.answerVerdict(verdictAnswer{
		Trial: spec.Name, Verdict: trial.VerdictNoData, Guardrails: []guardrailVerdict{},
		Why: fmt.Sprintf("Flagger says that the canary is %s: there is nothing to compare yet.", p.Phase),
	}, expect)
}

// plan makes the plan: Flagger runs the stable version as NAME-primary beside the canary NAME.
func (p *flaggerPayload) plan() (trial.Spec, error) {
	var spec trial.Spec
	if p.Name == "" || p.Namespace == "" || p.Phase == "" || p.Checksum == "" {
		return spec, invalid("the body is not a webhook payload of Flagger: it needs name, namespace, phase and checksum")
	}
	if text := p.Metadata["plan"]; text != "" {
		if err := decodeStrict("metadata.plan", []byte(text), &spec); err != nil {
			return spec, invalidBody(err)
		}
	}
	if spec.Cohorts == nil {
		spec.Cohorts = &trial.Cohorts{}
	}
	fields := map[string]struct {
		to       *string
		absently string
	}{
		"trial":     {&spec.Name, p.Namespace + "." + p.Name},
		"service":   {&spec.Cohorts.Service, ""},
		"attribute": {&spec.Cohorts.Attribute, "k8s.deployment.name"},
		"treatment": {&spec.Cohorts.Treatment, p.Name},
		"control":   {&spec.Cohorts.Control, p.Name + "-primary"},
	}
	for key, value := range p.Metadata {
		f, known := fields[key]
		switch {
		case known:
			*f.to = value
		case key != "plan":
			return spec, invalidAt("/metadata/"+key, "is not known: trial, service, attribute, treatment, control and plan are")
		}
	}
	for _, f := range fields {
		if *f.to == "" {
			*f.to = f.absently
		}
	}
	spec.Artifact = p.Checksum
	return spec, nil
}
