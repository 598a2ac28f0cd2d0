package notify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

// bodyVersion is that of the JSON body. It grows when a field changes its meaning or goes away;
// new fields, types and results may come at any time.
const bodyVersion = 1

// body is the JSON body: type, timestamp and data as Standard Webhooks recommends.
type body struct {
	Type      string    `json:"type"` // such as trial.rolled_back
	Version   int       `json:"version"`
	ID        string    `json:"id"`        // as in the header webhook-id
	Timestamp time.Time `json:"timestamp"` // when it happened
	Data      any       `json:"data"`
}

// trialData is what is told of a trial.
type trialData struct {
	Event       control.WebhookEvent `json:"event"` // as filters name it
	Environment string               `json:"environment"`
	Trial       string               `json:"trial"`
	Goal        trial.Goal           `json:"goal"`
	Flag        string               `json:"flag,omitempty"`
	Treatment   string               `json:"treatment,omitempty"`
	Control     string               `json:"control,omitempty"`
	Cohorts     *trial.Cohorts       `json:"cohorts,omitempty"`
	Artifact    string               `json:"artifact,omitempty"`
	Attempt     int                  `json:"attempt"`
	Phase       trial.Phase          `json:"phase"`
	Result      trial.Result         `json:"result,omitempty"`
	Step        int                  `json:"step"` // from 1
	Steps       int                  `json:"steps"`
	// Share of the audience that gets the treatment now, in percent. 0 for cohorts, which others
	// divide.
	Share      float64         `json:"share"`
	Why        string          `json:"why"`
	Blamed     []string        `json:"blamed,omitempty"`
	Guardrails []guardrailData `json:"guardrails"`
	// Exposure is what the attempt has cost so far.
	Exposure  exposure  `json:"exposure"`
	StartedAt time.Time `json:"startedAt"`
	By        string    `json:"by"` // who made the change: a person, or "controller"
	Reason    string    `json:"reason,omitempty"`
	Revision  int64     `json:"revision"` // of the change
	Links     links     `json:"links"`
}

type guardrailData struct {
	Name    string        `json:"name"`
	Metric  trial.Metric  `json:"metric"`
	Mode    trial.Mode    `json:"mode"`
	Verdict trial.Verdict `json:"verdict"`
	Alarm   bool          `json:"alarm,omitempty"`
}

type exposure struct {
	Treatment trial.Totals `json:"treatment"`
	Control   trial.Totals `json:"control"`
}

type links struct {
	Trial   string `json:"trial"`
	History string `json:"history"`
	Change  string `json:"change"`
}

// pingData is what a test is made of.
type pingData struct {
	Environment string `json:"environment"`
	Webhook     string `json:"webhook"`
	Message     string `json:"message"`
}

// bodyOf encodes an event for a webhook.
func (n *Notifier) bodyOf(w *control.WebhookTarget, e event) ([]byte, error) {
	kind, what := e.words()
	if w.Format == control.WebhookSlack {
		return slack(n.sentence(e, what))
	}
	return json.Marshal(body{Type: kind, Version: bodyVersion, ID: e.id(), Timestamp: e.change.Time, Data: n.dataOf(e)})
}

func (n *Notifier) pingOf(w *control.WebhookTarget, id string, at time.Time) ([]byte, error) {
	message := fmt.Sprintf("A test of webhook %s of Seatrial, environment %s. Nothing has happened.", w.Name, n.cfg.Environment)
	if w.Format == control.WebhookSlack {
		return slack(escape(message))
	}
	return json.Marshal(body{Type: "ping", Version: bodyVersion, ID: id, Timestamp: at.UTC(), Data: pingData{n.cfg.Environment, w.Name, message}})
}

func (n *Notifier) dataOf(e event) trialData {
	spec, s := &e.trial.Spec, &e.trial.State
	d := trialData{
		Event: e.kind, Environment: n.cfg.Environment, Trial: spec.Name, Goal: spec.Goal, Flag: spec.Flag,
		Treatment: spec.Treatment, Control: spec.Control, Cohorts: spec.Cohorts, Artifact: spec.Artifact,
		Attempt: s.Attempt, Phase: s.Phase, Result: s.Result, Step: s.Step + 1, Steps: len(spec.Steps), Share: share(spec, s),
		Why: s.Why, Blamed: s.Blamed, Guardrails: []guardrailData{}, Exposure: exposure{s.Treatment, s.Control},
		StartedAt: s.StartedAt, By: e.change.By, Reason: e.change.Reason, Revision: e.change.Revision, Links: n.linksOf(e),
	}
	for i, g := range s.Guardrails {
		one := guardrailData{Name: g.Name, Verdict: g.Verdict, Alarm: g.Alarm}
		if i < len(spec.Guardrails) {
			one.Metric, one.Mode = spec.Guardrails[i].Metric, spec.Guardrails[i].Mode
		}
		d.Guardrails = append(d.Guardrails, one)
	}
	return d
}

// share gives how much of the audience gets the treatment, in percent.
func share(spec *trial.Spec, s *trial.State) float64 {
	switch {
	case spec.Cohorts != nil || s.Ended() && s.Result != trial.ResultPromoted:
		return 0
	case s.Ended() || s.Phase == trial.PhaseWatching:
		return 100
	case s.Step < len(spec.Steps):
		return spec.Steps[s.Step].Share.Percent()
	}
	return 0
}

func (n *Notifier) linksOf(e event) links {
	api := n.cfg.BaseURL + "/api/v1"
	in := "?environment=" + url.QueryEscape(n.cfg.Environment)
	at := api + "/trials/" + url.PathEscape(e.trial.Spec.Name)
	return links{Trial: at + in, History: at + "/history" + in, Change: fmt.Sprintf("%s/changes/%d%s", api, e.change.Revision, in)}
}

// maxText bounds a chat message, in bytes; Slack takes 40 000 characters.
const maxText = 3_000

// sentence tells people what happened, in the notation of chat services.
func (n *Notifier) sentence(e event, what string) string {
	spec, s := &e.trial.Spec, &e.trial.State
	noun := "Rollout"
	switch spec.Goal {
	case trial.GoalSurvive:
		noun = "Chaos experiment"
	case trial.GoalCalibrate:
		noun = "A/A test"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s *%s* %s", noun, escape(spec.Name), escape(what))
	if percent := share(spec, s); percent > 0 && percent < 100 {
		fmt.Fprintf(&b, ", at %g %%", percent)
	}
	fmt.Fprintf(&b, " (%s, attempt %d).", escape(n.cfg.Environment), s.Attempt)
	if s.Why != "" {
		b.WriteString("\n" + escape(s.Why))
	}
	if len(s.Blamed) > 0 {
		b.WriteString("\nBlamed: " + escape(strings.Join(s.Blamed, ", ")))
	}
	fmt.Fprintf(&b, "\n`seatrial rollout get %s --env %s`", escape(spec.Name), escape(n.cfg.Environment))
	return b.String()
}

// slack makes the body that incoming webhooks of Slack, Mattermost and Rocket.Chat take.
func slack(text string) ([]byte, error) {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return json.Marshal(map[string]string{"text": text})
}

// escape keeps text from being taken for links and mentions: &, < and > are Slack's control
// characters, and a back quote would end the command.
func escape(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "�")
	}
	return escaper.Replace(text)
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'")
