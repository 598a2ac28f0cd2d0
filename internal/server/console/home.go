package console

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// How much the page shows.
const (
	maxFlags   = 200
	maxEnded   = 20
	maxChanges = 20
)

// home is what the first page shows.
type home struct {
	Environment    string
	Who, Role      string
	Session        bool
	Revision       int64
	FaultsOff      *leverView // nil: they are allowed
	Running, Ended []trialView
	Flags          []flagView
	MoreFlags      bool
	Changes        []changeView

	Dependencies     []dependencyView
	MoreDependencies bool
	Points           []pointView
	MorePoints       bool
}

// leverView says who put all faults of the environment off, when and why.
type leverView struct {
	By, Reason string
	At         moment
}

type trialView struct {
	Name, Noun         string
	Subject, Of        string // what is divided: a flag, or deployments
	Treatment, Control string
	Icon, Word, Tone   string // how it stands, three times
	Why, Share         string
	Step, Steps        int
	Started, Ended     moment
	Units, BadUnits    uint64
	Guardrails         []guardrailView
	Traces             []traceView
}

type guardrailView struct {
	Name, Control, Treatment, Compared, Tolerance string
	Icon, Word, Tone                              string
}

type traceView struct {
	ID, Root, Duration string
}

type flagView struct {
	Key, Kind, Type, Default, Trial string
	Enabled                         bool
}

type changeView struct {
	Revision            int64
	Time                moment
	Actor, What, Reason string
}

// moment is a time for machines and people.
type moment struct{ Machine, People string }

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	t = t.UTC()
	return moment{t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05 UTC")}
}

func (c *Console) home(ctx context.Context) (*home, error) {
	h := &home{Environment: c.cfg.Environment, Revision: c.cfg.State.Head().Revision}
	if lever := c.cfg.State.GetLever(); lever.Off {
		h.FaultsOff = &leverView{lever.By, lever.Reason, momentOf(lever.At)}
	}
	onFlag := c.trials(h)
	entries, more := c.cfg.State.ListFlags(control.Page{Limit: maxFlags})
	h.MoreFlags = more != ""
	for _, f := range entries {
		h.Flags = append(h.Flags, flagView{
			Key: f.Key, Kind: string(f.Kind), Type: string(f.Type), Enabled: f.Enabled,
			Default: cmp.Or(f.DefaultVariant, "code default"), Trial: onFlag[f.Key],
		})
	}
	c.fleet(h)
	changes, err := c.cfg.State.ListChanges(ctx, max(0, h.Revision-maxChanges), maxChanges)
	if err != nil {
		return nil, err
	}
	for _, change := range slices.Backward(changes) {
		h.Changes = append(h.Changes, changeView{change.Revision, momentOf(change.Time), change.Actor, what(change.Ops), change.Reason})
	}
	return h, nil
}

// trials fills in the trials, those that run and the newest that have ended, and gives the
// running ones by flag.
func (c *Console) trials(h *home) map[string]string {
	onFlag := map[string]string{}
	var ended []control.TrialEntry
	for after, more := "", true; more; more = after != "" {
		var entries []control.TrialEntry
		entries, after = c.cfg.State.ListTrials(control.Page{After: after, Limit: 1_000})
		for _, t := range entries {
			if t.State.Ended() {
				ended = append(ended, t)
				continue
			}
			if t.Spec.Flag != "" {
				onFlag[t.Spec.Flag] = t.Spec.Name
			}
			h.Running = append(h.Running, c.trial(t))
		}
	}
	slices.SortFunc(ended, func(a, b control.TrialEntry) int { return b.State.EndedAt.Compare(a.State.EndedAt) })
	for _, t := range ended[:min(len(ended), maxEnded)] {
		h.Ended = append(h.Ended, c.trial(t))
	}
	return onFlag
}

func (c *Console) trial(t control.TrialEntry) trialView {
	v := trialView{
		Name: t.Spec.Name, Noun: "rollout", Subject: "Flag", Of: t.Spec.Flag, Treatment: t.Spec.Treatment, Control: t.Spec.Control,
		Why: t.State.Why, Share: shareOf(t), Step: t.State.Step + 1, Steps: len(t.Spec.Steps),
		Started: momentOf(t.State.StartedAt), Ended: momentOf(t.State.EndedAt),
		Units: t.State.Treatment.Units, BadUnits: t.State.Treatment.BadUnits,
	}
	if t.Spec.Goal == trial.GoalSurvive {
		v.Noun = "chaos"
	}
	if c := t.Spec.Cohorts; c != nil {
		v.Subject, v.Of, v.Treatment, v.Control, v.Share = "Deployments", c.Attribute, c.Treatment, c.Control, ""
		if c.Service != "" {
			v.Of = c.Service + " by " + c.Attribute
		}
	}
	v.Icon, v.Word, v.Tone = standing(t.State)
	for i, g := range t.State.Guardrails {
		if i < len(t.Spec.Guardrails) {
			v.Guardrails = append(v.Guardrails, guardrail(t.Spec.Guardrails[i], g))
		}
	}
	for _, e := range t.State.Exemplars {
		v.Traces = append(v.Traces, c.trace(e))
	}
	return v
}

// trace shows an exemplar; its root is known if the trace is still there.
func (c *Console) trace(e outcome.Exemplar) traceView {
	v := traceView{ID: e.TraceID, Duration: time.Duration(e.Seconds * float64(time.Second)).Round(time.Millisecond).String()}
	id, err := traces.ParseTraceID(e.TraceID)
	if err != nil {
		return v
	}
	t, _ := c.cfg.Traces.Get(id)
	if roots := t.Tree().Roots; len(roots) > 0 {
		v.Root = roots[0].Span.Service + " " + roots[0].Span.Name
	}
	return v
}

// shareOf says who gets the treatment now.
func shareOf(t control.TrialEntry) string {
	switch {
	case t.State.Ended() && t.State.Result == trial.ResultPromoted, t.State.Phase == trial.PhaseWatching:
		return "100%"
	case t.State.Ended() || t.State.Step >= len(t.Spec.Steps):
		return "0%"
	}
	step := t.Spec.Steps[t.State.Step]
	if len(step.Segments) > 0 {
		return percent(step.Share.Percent()/100) + " of " + strings.Join(step.Segments, ", ")
	}
	return percent(float64(step.Share) / flag.TotalWeight)
}

// percent writes a share with three digits that count.
func percent(share float64) string {
	if math.IsNaN(share) {
		return "–"
	}
	return strconv.FormatFloat(share*100, 'g', 3, 64) + "%"
}

// standing says how a trial stands: a sign, a word and a colour that mean the same.
func standing(s trial.State) (icon, word, tone string) {
	switch s.Result {
	case trial.ResultPromoted, trial.ResultSurvived, trial.ResultQuiet:
		return "✔", string(s.Result), "good"
	case trial.ResultRolledBack, trial.ResultWeaknessFound, trial.ResultNoisy:
		return "✖", strings.ReplaceAll(string(s.Result), "_", " "), "bad"
	case trial.ResultAborted, trial.ResultInconclusive:
		return "■", string(s.Result), "calm"
	}
	switch s.Phase {
	case trial.PhaseHolding, trial.PhasePaused:
		return "‖", string(s.Phase), "wait"
	}
	return "▶", string(s.Phase), "calm"
}

func guardrail(spec trial.Guardrail, g trial.GuardrailState) guardrailView {
	v := guardrailView{
		Name: g.Name, Control: count(&spec, g.Control), Treatment: count(&spec, g.Treatment),
		Compared: compared(&g), Tolerance: spec.ToleranceText(),
	}
	v.Word = strings.ReplaceAll(string(g.Verdict), "_", " ")
	switch g.Verdict {
	case trial.VerdictHarmful:
		v.Icon, v.Tone = "✖", "bad"
	case trial.VerdictSafe:
		v.Icon, v.Tone = "✔", "good"
	case trial.VerdictInvalid, trial.VerdictNoData:
		v.Icon, v.Tone = "!", "wait"
	default:
		v.Icon, v.Tone = "◌", "calm"
	}
	if spec.Mode != trial.ModeEnforce {
		v.Name += " (" + string(spec.Mode) + ")"
	}
	return v
}

// count shows what a guardrail has counted in one arm.
func count(g *trial.Guardrail, c trial.Count) string {
	switch {
	case c.Of == 0:
		return "–"
	case g.Metric == trial.MetricValue:
		return fmt.Sprintf("%.4g (mean of %d)", c.Mean(), c.Of)
	case g.Metric == trial.MetricThroughput:
		return strconv.FormatUint(c.Of, 10)
	}
	return fmt.Sprintf("%s (%d of %d)", percent(c.Share()), c.Bad, c.Of)
}

// compared shows the ratio of the shares, of values the difference of the means.
func compared(g *trial.GuardrailState) string {
	if d := g.Difference; d != nil {
		return fmt.Sprintf("%+.3g (%+.3g to %+.3g)", d.Value, d.Low, d.High)
	}
	return cmp.Or(g.Ratio.String(), "–")
}

// what names the entities of a change, the first few.
func what(ops []control.Op) string {
	var names []string
	for _, op := range ops[:min(len(ops), 3)] {
		name := string(op.Kind) + " " + op.Key
		if len(op.Value) == 0 && op.Kind != control.KindToken {
			name = "removed " + name
		}
		names = append(names, name)
	}
	if len(ops) > 3 {
		names = append(names, fmt.Sprintf("and %d more", len(ops)-3))
	}
	return strings.Join(names, ", ")
}
