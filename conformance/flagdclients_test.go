package conformance

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/flagd"
	"github.com/seatrial/seatrial/internal/flagtest"
)

// flagdClients are the ways in which flagd's stock clients evaluate.
var flagdClients = []string{"in-process", "rpc", "web"}

// flagdCase is a random set on a server.
type flagdCase struct {
	*plane
	contexts []flagtest.Context
	snapshot *eval.Snapshot
	reserved []string // flags that clients cannot evaluate in process
	tally    map[string]int
}

func newFlagdCase(t *testing.T, seed uint64, tally map[string]int) *flagdCase {
	t.Helper()
	p := startPlane(t)
	c := flagtest.New(seed, flagtest.Options{Flags: 20, Contexts: 10, Raw: true, ASCII: true, Portable: seed%3 != 0})
	for i := range c.Set.Flags {
		c.Set.Flags[i].ClientSide = i%5 != 0
		c.Set.Flags[i].Archived = false // what others use cannot be
	}
	p.apply(api.Batch{Flags: c.Set.Flags, Segments: c.Set.Segments, Layers: c.Set.Layers})
	p.try(c.Set.Flags)
	set, err := p.api.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	document, err := flagd.Export(set)
	if err != nil {
		t.Fatal(err)
	}
	return &flagdCase{plane: p, contexts: c.Contexts, snapshot: p.snapshot(), reserved: document.ServerEvaluated, tally: tally}
}

func (p *plane) flagd(n *node, how, selector string) {
	p.t.Helper()
	n.must(p.t, map[string]any{"connect": how, "url": p.url, "key": p.page, "selector": selector})
}

// TestFlagdClients has flagd's stock clients for Node.js and browsers talk to a server.
func TestFlagdClients(t *testing.T) {
	n := startNode(t, "flagd", "client.js")
	t.Run("agree with us", func(t *testing.T) { agree(t, n) })
	t.Run("hear of changes", func(t *testing.T) { hearOfChanges(t, n) })
	t.Run("select environments", func(t *testing.T) { selectEnvironments(t, n) })
}

// agree has them evaluate random flags for random contexts: they must give the values, variants,
// reasons and errors that the evaluator gives.
func agree(t *testing.T, n *node) {
	sets := 6 // of 20 flags, 10 contexts and 3 clients: 3 600 evaluations
	switch {
	case os.Getenv("SEATRIAL_TEST_REQUIRE") == "all": // where it counts, also in short mode
		sets = 40
	case testing.Short():
		sets = 2
	}
	tally := map[string]int{}
	for seed := range uint64(sets) {
		c := newFlagdCase(t, seed, tally)
		for _, how := range flagdClients {
			c.flagd(n, how, "")
			for _, about := range c.contexts {
				for _, f := range c.snapshot.Flags() {
					c.compare(t, n, how, f, about)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("answers: %v", tally)
	for _, want := range []string{"STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "FLAG_NOT_FOUND", "GENERAL", "trial", "code default", "server"} {
		if tally[want] < sets/2 {
			t.Errorf("only %d answers are %s", tally[want], want)
		}
	}
}

// compare has one flag evaluated for one context.
func (c *flagdCase) compare(t *testing.T, n *node, how string, f *eval.Flag, about flagtest.Context) {
	t.Helper()
	ours := f.Evaluate(&eval.Context{TargetingKey: about.TargetingKey, Attributes: about.Attributes})
	want := c.expect(how, f, ours)
	if how == "rpc" && ours.Error == eval.ErrorGeneral {
		if c.tally["slow"]++; c.tally["slow"] > 1 {
			return // the status UNKNOWN, as flagd has it, makes the client try for seconds
		}
	}
	got := n.must(t, map[string]any{"flag": f.Key(), "type": f.Type(), "default": defaults[f.Type()], "context": about.JSON()})
	c.tally[got.Reason]++
	c.tally[got.ErrorCode]++
	if got.Reason != want.Reason || got.ErrorCode != want.ErrorCode || got.Variant != want.Variant || !reflect.DeepEqual(got.Value, want.Value) {
		text, _ := json.Marshal(about)
		t.Errorf("flag %s (%s), context %s\n  %s: %+v\n  want: %+v", f.Key(), f.Type(), text, how, got, want)
	}
	if how == "web" || got.ErrorCode != "" { // its clients do not pass metadata on
		return
	}
	if got.Metadata["flagSetId"] != "default" {
		t.Errorf("flag %s, %s: metadata %v", f.Key(), how, got.Metadata)
	}
	if trials := f.Trials(); len(trials) > 0 {
		c.tally["trial"]++
		if got.Metadata["version"] != trials[0].Version || got.Reason == "STATIC" {
			t.Errorf("flag %s is on trial %s, %s: %+v", f.Key(), trials[0].Version, how, got)
		}
	}
}

// expect gives what a client should say, given what we say.
func (c *flagdCase) expect(how string, f *eval.Flag, ours eval.Result) webAnswer {
	want := webAnswer{Variant: ours.Variant, Reason: string(ours.Reason), ErrorCode: string(ours.Error), Value: plain(c.t, ours.Value)}
	switch {
	case how == "in-process" && slices.Contains(c.reserved, f.Key()):
		c.tally["server"]++
		want = webAnswer{Reason: "DISABLED"}
	case how == "in-process" && ours.Reason == eval.ReasonSplit:
		want.Reason = string(eval.ReasonTargetingMatch)
		c.tally["SPLIT"]++
	case how == "web" && (ours.Value == nil || !f.ClientSide()):
		want = webAnswer{Reason: "ERROR", ErrorCode: "FLAG_NOT_FOUND"}
	}
	if want.Value == nil {
		want.Value = defaults[f.Type()]
		c.tally["code default"]++
	}
	return want
}

// hearOfChanges: a client evaluates anew, and tells of it, once a flag has changed. None of them
// polls.
func hearOfChanges(t *testing.T, n *node) {
	for _, how := range flagdClients {
		t.Run(how, func(t *testing.T) {
			p := startPlane(t)
			boolean := func(key, variant string) flag.Flag {
				return flag.Flag{
					Key: key, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, ClientSide: true, DefaultVariant: variant,
					Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}},
				}
			}
			put := func(variant string) {
				t.Helper()
				p.apply(api.Batch{Flags: []flag.Flag{boolean("search", variant), boolean("another", "on")}})
			}
			ask := func() webAnswer {
				t.Helper()
				return n.must(t, map[string]any{"flag": "search", "type": "boolean", "default": false, "context": map[string]any{"targetingKey": "u"}})
			}
			put("off")
			n.must(t, map[string]any{"connect": how, "url": p.url, "key": p.page, "cache": "lru"})
			for _, variant := range []string{"on", "off", "on"} {
				for range 2 { // the second time perhaps from the client's cache
					if got := ask(); got.Variant == variant {
						t.Fatalf("%+v before the change", got)
					}
				}
				put(variant)
				started := time.Now()
				change := n.must(t, map[string]any{"await": "change", "ms": 60_000})
				if how != "web" && !slices.Equal(change.FlagsChanged, []string{"search"}) { // its client does not say which
					t.Errorf("changed are %v", change.FlagsChanged)
				}
				if got := ask(); got.Variant != variant {
					t.Errorf("%+v %s after the change to %s", got, time.Since(started), variant)
				}
			}
		})
	}
}

// selectEnvironments: a client's selector names the environment.
func selectEnvironments(t *testing.T, n *node) {
	p := startPlane(t)
	if _, err := p.api.CreateEnvironment(t.Context(), "staging"); err != nil {
		t.Fatal(err)
	}
	put := func(c *api.Client, variant string) {
		t.Helper()
		_, err := c.Apply(t.Context(), api.Batch{Flags: []flag.Flag{{
			Key: "where", Kind: flag.KindConfig, Type: flag.TypeString, Enabled: true, DefaultVariant: variant,
			Variants: []flag.Variant{{Name: variant, Value: json.RawMessage(`"` + variant + `"`)}},
		}}}, api.Write{})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(p.api, "default")
	put(p.api.In("staging"), "staging")
	for _, how := range []string{"in-process", "rpc"} {
		for selector, want := range map[string]string{"": "default", "flagSetId=staging": "staging", "staging": "staging", "flagSetId=default": "default"} {
			p.flagd(n, how, selector)
			got := n.must(t, map[string]any{"flag": "where", "type": "string", "default": "code", "context": map[string]any{}})
			if got.Value != want || got.Metadata["flagSetId"] != want {
				t.Errorf("%s with selector %q: %+v", how, selector, got)
			}
		}
	}
}
