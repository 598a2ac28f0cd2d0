package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// seen is when flags were evaluated.
type seen struct {
	since time.Time
	last  map[string]time.Time
}

func (s seen) Since() time.Time    { return s.since }
func (s seen) Seen(string, string) {}
func (s seen) LastSeen(key string) (time.Time, bool) {
	at, ok := s.last[key]
	return at, ok
}

func days(n int) time.Time { return day0.AddDate(0, 0, n) }

// reasonsOf gives "code@day" of each flag.
func reasonsOf(report control.StaleReport) map[string]string {
	found := map[string]string{}
	for _, item := range report.Items {
		var words []string
		for _, reason := range item.Reasons {
			words = append(words, fmt.Sprintf("%s@%s", reason.Code, reason.Since.UTC().Format("01-02")))
		}
		found[item.Flag] = strings.Join(words, " ")
	}
	return found
}

func TestStaleFlags(t *testing.T) {
	usage := seen{since: days(-1), last: map[string]time.Time{"used": days(39), "off": days(39), "rested": days(20)}}
	log := storetest.NewMemory()
	r := &rig{t: t, log: log, now: day0}
	r.Service = r.open(control.Config{Usage: usage})
	ctx := t.Context()
	put := func(on int, key string, change ...func(*flag.Flag)) {
		t.Helper()
		r.now = days(on)
		usage.last[key] = cmpTime(usage.last[key], days(40))
		must[control.FlagEntry](t)(r.PutFlag(ctx, boolFlag(key, change...), ana))
	}
	served := func(when *flag.Condition, variants ...string) func(*flag.Flag) {
		return func(f *flag.Flag) {
			for _, v := range variants {
				f.Rules = append(f.Rules, flag.Rule{When: when, Serve: v})
			}
		}
	}
	de := &flag.Condition{Attribute: "country", Op: flag.OpIn, Values: rawValues(`"DE"`)}
	ruled := served(de, "on")
	off := func(f *flag.Flag) { f.Enabled = false }
	put(0, "one-sided")
	put(0, "ruled", ruled)
	put(0, "same-rule", served(de, "off"))
	put(0, "all-on", served(nil, "on", "off"))
	put(0, "all-on-but-needs", served(nil, "on"), needs("ruled", "on"))
	put(0, "split", func(f *flag.Flag) {
		f.Rules = []flag.Rule{{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 5}}}}}
	})
	put(0, "empty-split", func(f *flag.Flag) {
		f.Rules = []flag.Rule{{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 0}}}}}
	})
	put(0, "override", func(f *flag.Flag) { f.Overrides = []flag.Override{{Variant: "on", Units: []string{"u"}}} })
	put(0, "config", func(f *flag.Flag) { f.Kind = flag.KindConfig })
	put(0, "archived", off)
	put(1, "archived", archived, off, func(f *flag.Flag) { f.Expires = "2026-11-05" })
	put(0, "touched")
	put(30, "touched", func(f *flag.Flag) { f.Owner = "x" })
	put(0, "off", off)
	put(20, "off", off, func(f *flag.Flag) { f.Owner = "y" })
	put(20, "off-lately", off)
	put(0, "expired", ruled, func(f *flag.Flag) { f.Expires = days(40).Format(time.DateOnly) })
	put(0, "not-yet", ruled, func(f *flag.Flag) { f.Expires = days(41).Format(time.DateOnly) })
	put(0, "used", ruled)
	put(0, "rested", ruled)
	put(0, "never", ruled)
	put(35, "new", ruled)
	delete(usage.last, "never")
	delete(usage.last, "new")
	usage.last["rested"] = days(20)
	put(0, "tried")
	put(0, "ended")
	r.now = days(10)
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("t", "tried", long), ana))
	must[control.TrialEntry](t)(r.StartTrial(ctx, rollout("u", "ended", long), ana))
	r.now = days(24)
	must[control.TrialEntry](t)(r.CommandTrial(ctx, "u", "abort", ana))
	raw := flag.Flag{Key: "raw", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true,
		Definition: []byte(`{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off","targeting":{ }}`)}
	r.now = day0
	must[control.FlagEntry](t)(r.PutFlag(ctx, raw, ana))
	usage.last["raw"] = days(40)

	r.now = days(40)
	want := map[string]string{
		"one-sided": "one_sided@11-02", "same-rule": "one_sided@11-02", "all-on": "one_sided@11-02", "empty-split": "one_sided@11-02",
		"raw": "one_sided@11-02", "off": "disabled@11-02", "expired": "expired@12-12", "rested": "unused@11-22", "never": "unused@11-02", "ended": "one_sided@11-26",
	}
	report := r.StaleFlags()
	got := reasonsOf(report)
	for key := range mergedKeys(got, want) {
		if got[key] != want[key] {
			t.Errorf("%s: got %q, want %q", key, got[key], want[key])
		}
	}
	if !report.UsageSince.Equal(days(-1)) || !slices.IsSortedFunc(report.Items, func(a, b control.StaleFlag) int { return strings.Compare(a.Flag, b.Flag) }) {
		t.Errorf("the report is %s", asJSON(report))
	}
	// The times are those of the log, so a restart changes nothing; without usage nothing is unused.
	again := r.restart()
	again.now = days(40)
	delete(want, "rested")
	delete(want, "never")
	if got := reasonsOf(again.StaleFlags()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after a restart without usage: %v, want %v", got, want)
	}
	if asJSON(newRig(t).StaleFlags()) != `{"items":[]}` {
		t.Errorf("nothing is reported as %s", asJSON(newRig(t).StaleFlags()))
	}
}

func long(s *trial.Spec) { s.Deadline = trial.Duration(60 * 24 * time.Hour) }

func cmpTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

func mergedKeys(a, b map[string]string) map[string]bool {
	keys := map[string]bool{}
	for key := range a {
		keys[key] = true
	}
	for key := range b {
		keys[key] = true
	}
	return keys
}
