package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/flagtest"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// plane is a control plane that runs, with a key of each kind that evaluates.
type plane struct {
	t         *testing.T
	url       string
	api       *api.Client
	sdk, page string // keys
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	server, err := app.Start(t.Context(), app.Config{DataDir: sqlite.Memory, Addr: "127.0.0.1:0", Local: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	p := &plane{t: t, url: server.URL()}
	key := func(n control.NewToken) string {
		n.Name = "test"
		secret, err := server.CreateToken(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	p.sdk, p.page = key(control.NewToken{Kind: control.TokenSDK}), key(control.NewToken{Kind: control.TokenClient})
	if p.api, err = api.New(p.url, key(control.NewToken{Kind: control.TokenAPI, Role: control.RoleAdmin})); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plane) apply(b api.Batch) {
	p.t.Helper()
	if _, err := p.api.Apply(p.t.Context(), b, api.Write{Reason: "test"}); err != nil {
		p.t.Fatal(err)
	}
}

// try starts a trial on the first flag that can have one.
func (p *plane) try(flags []flag.Flag) {
	p.t.Helper()
	for _, f := range flags {
		if len(f.Variants) < 2 {
			continue
		}
		spec := trial.Spec{Name: "trial", Flag: f.Key, Treatment: f.Variants[0].Name, Control: f.Variants[1].Name,
			Steps: []trial.Step{{Share: 50_000, MinTime: trial.Duration(time.Hour)}}}
		_, err := p.api.StartTrial(p.t.Context(), spec, api.Write{Reason: "test"})
		var problem *api.Problem
		switch {
		case err == nil:
			return
		case !errors.As(err, &problem): // else the flag does not allow one
			p.t.Fatal(err)
		}
	}
}

// snapshot compiles what the server evaluates.
func (p *plane) snapshot() *eval.Snapshot {
	p.t.Helper()
	set, err := p.api.Snapshot(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	snapshot, err := eval.Compile(set)
	if err != nil {
		p.t.Fatal(err)
	}
	return snapshot
}

// webAnswer is what the stock web client says.
type webAnswer struct {
	Variant, Reason, ErrorCode, ErrorMessage, Failed string

	Value        any
	Metadata     map[string]any
	FlagsChanged []string
}

func (n *node) must(t *testing.T, request map[string]any) (a webAnswer) {
	t.Helper()
	if n.ask(t, request, &a); a.Failed != "" {
		t.Fatalf("%v: %s", request, a.Failed)
	}
	return a
}

// web connects the stock client with a key.
func (p *plane) web(n *node, key string, about map[string]any) {
	p.t.Helper()
	n.must(p.t, map[string]any{"connect": map[string]any{"url": p.url, "key": key}, "context": about})
}

// TestOFREPWebProviderAgrees has OpenFeature's stock web client evaluate random flags for random
// contexts: it must give the values, variants, reasons and errors that the evaluator gives. Its
// contexts often differ in attributes only, for which it keeps its entity tag.
func TestOFREPWebProviderAgrees(t *testing.T) {
	web := startNode(t, "ofrepweb", "client.js")
	sets := 40
	switch {
	case os.Getenv("SEATRIAL_TEST_REQUIRE") == "all": // where it counts, also in short mode
		sets = 200
	case testing.Short():
		sets = 3
	}
	tally := map[string]int{}
	for seed := range uint64(sets) {
		if compareWithWeb(t, web, seed, tally); t.Failed() {
			break
		}
	}
	t.Logf("answers: %v", tally)
	for _, want := range []string{"STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "FLAG_NOT_FOUND", "trial", "code default"} {
		if !t.Failed() && tally[want] < sets {
			t.Errorf("only %d answers are %s", tally[want], want)
		}
	}
}

func compareWithWeb(t *testing.T, web *node, seed uint64, tally map[string]int) {
	t.Helper()
	p := startPlane(t)
	c := flagtest.New(seed, flagtest.Options{Flags: 20, Contexts: 10, Raw: true})
	for i := range c.Set.Flags {
		c.Set.Flags[i].ClientSide = i%5 != 0
		c.Set.Flags[i].Archived = false // what others use cannot be
	}
	p.apply(api.Batch{Flags: c.Set.Flags, Segments: c.Set.Segments, Layers: c.Set.Layers})
	p.try(c.Set.Flags)
	snapshot := p.snapshot()
	key, all := p.page, false
	if seed%2 == 1 {
		key, all = p.sdk, true
	}
	p.web(web, key, nil)
	for i, about := range c.Contexts {
		if i%2 == 1 { // another question of the same unit
			about.TargetingKey = c.Contexts[i-1].TargetingKey
		}
		web.must(t, map[string]any{"context": about.JSON()})
		for _, f := range snapshot.Flags() {
			compareAnswer(t, web, f, about, all || f.ClientSide(), tally)
		}
	}
}

// defaults are what the caller gives; no flag has them.
var defaults = map[flag.Type]any{
	flag.TypeBoolean: true, flag.TypeString: "of the code", flag.TypeInteger: -7.0, flag.TypeFloat: -7.5,
	flag.TypeObject: map[string]any{"of": "the code"},
}

func compareAnswer(t *testing.T, web *node, f *eval.Flag, about flagtest.Context, visible bool, tally map[string]int) {
	t.Helper()
	want := f.Evaluate(&eval.Context{TargetingKey: about.TargetingKey, Attributes: about.Attributes})
	if !visible {
		want = eval.Result{Reason: eval.ReasonError, Error: eval.ErrorFlagNotFound}
	}
	value := want.Value
	if value == nil {
		value = defaults[f.Type()]
		tally["code default"]++
	}
	tally[string(want.Reason)]++
	tally[string(want.Error)]++
	got := web.must(t, map[string]any{"flag": f.Key(), "type": f.Type(), "default": defaults[f.Type()]})
	if got.Reason != string(want.Reason) || got.ErrorCode != string(want.Error) || got.Variant != want.Variant ||
		!reflect.DeepEqual(got.Value, plain(t, value)) {
		text, _ := json.Marshal(about)
		t.Errorf("flag %s (%s), context %s\n  web:  %+v\n  ours: %q %v (%s %s)", f.Key(), f.Type(), text, got, want.Variant, want.Value, want.Reason, want.Error)
	}
	if !visible {
		return
	}
	if got.Metadata["flagSetId"] != "default" {
		t.Errorf("flag %s: metadata %v", f.Key(), got.Metadata)
	}
	if trials := f.Trials(); len(trials) > 0 {
		tally["trial"]++
		if got.Metadata["version"] != trials[0].Version || got.Reason == "STATIC" {
			t.Errorf("flag %s is on trial %s: %+v", f.Key(), trials[0].Version, got)
		}
	}
}

// TestOFREPWebProviderHearsOfChanges: the stock web client does not poll, so what it knows of a
// change came by the stream, whose address it has from the server.
func TestOFREPWebProviderHearsOfChanges(t *testing.T) {
	web := startNode(t, "ofrepweb", "client.js")
	p := startPlane(t)
	put := func(variant string) {
		t.Helper()
		p.apply(api.Batch{Flags: []flag.Flag{{
			Key: "search", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, ClientSide: true, DefaultVariant: variant,
			Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}},
		}}})
	}
	for name, key := range map[string]string{"client key": p.page, "SDK key": p.sdk} {
		put("off")
		p.web(web, key, map[string]any{"targetingKey": "u"})
		for _, variant := range []string{"on", "off", "on"} {
			if _, err := p.api.CreateSegment(t.Context(), flag.Segment{Key: "noise", Members: []string{variant}}, api.Write{}); err != nil {
				t.Fatal(err)
			}
			put(variant)
			started := time.Now()
			change := web.must(t, map[string]any{"await": "change", "ms": 60_000})
			for !slices.Contains(change.FlagsChanged, "search") { // of the segment
				change = web.must(t, map[string]any{"await": "change", "ms": 60_000})
			}
			if got := web.must(t, map[string]any{"flag": "search", "type": "boolean", "default": false}); got.Variant != variant {
				t.Errorf("%s: %s after %s, want %s", name, got.Variant, time.Since(started), variant)
			}
			if err := p.api.DeleteSegment(t.Context(), "noise", api.Write{IfMatch: "*"}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
