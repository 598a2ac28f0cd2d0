package ofprovider_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/ofprovider"
)

// received are the events that are there now.
func received(p *ofprovider.Provider) (events []of.Event) {
	for {
		synctest.Wait()
		select {
		case e := <-p.EventChannel():
			events = append(events, e)
		default:
			return events
		}
	}
}

func typesOf(events []of.Event) (types []of.EventType) {
	for _, e := range events {
		types = append(types, e.EventType)
	}
	return types
}

func wantTypes(t *testing.T, when string, events []of.Event, want ...of.EventType) {
	t.Helper()
	if !slices.Equal(typesOf(events), want) {
		t.Errorf("%s: events %v, want %v", when, typesOf(events), want)
	}
}

// 5.1.1, 5.1.4, 5.1.5: the events of a provider over an outage, a change and a refused key.
func TestRequirement_5_1_ProviderEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newPlane(t, flags())
		p := ofprovider.New(plane.open())
		if err := p.Init(of.EvaluationContext{}); err != nil {
			t.Fatal(err)
		}
		defer p.Shutdown()
		time.Sleep(time.Hour)
		wantTypes(t, "while all is well", received(p))

		plane.publish(setAt(8, append([]any{boolean("new")}, flagsOf(flags())...)...))
		events := received(p)
		wantTypes(t, "after a change", events, of.ProviderConfigChange)
		if e := events[0]; e.ProviderName != "seatrial" || !slices.Equal(e.FlagChanges, []string{"new", "trial"}) || // whose trial is gone
			!reflect.DeepEqual(e.EventMetadata, map[string]any{"flagSetId": "production", "version": "8"}) {
			t.Errorf("change: %+v", e)
		}

		plane.fail(503)
		time.Sleep(50 * time.Second)
		wantTypes(t, "50 s into an outage", received(p))
		time.Sleep(20 * time.Second)
		events = received(p)
		wantTypes(t, "70 s into an outage", events, of.ProviderStale)
		wantText(t, "message", events[0].Message, "no word from http://plane", "revision 8")
		plane.fail(0)
		time.Sleep(2 * time.Minute)
		wantTypes(t, "after the outage", received(p), of.ProviderReady)

		plane.fail(401)
		time.Sleep(10 * time.Second)
		events = received(p)
		wantTypes(t, "key refused", events, of.ProviderError)
		wantText(t, "message", events[0].Message, "refused", "SEATRIAL_KEY")
		if events[0].ErrorCode != of.GeneralCode { // fatal would end evaluations, which go on
			t.Errorf("code %s", events[0].ErrorCode)
		}
		if got := p.StringEvaluation(t.Context(), "string", "", nil); got.Value != "text" {
			t.Errorf("evaluation with the last known good: %+v", got)
		}
		plane.fail(0)
		time.Sleep(10 * time.Minute)
		wantTypes(t, "key accepted", received(p), of.ProviderReady)
	})
}

func flagsOf(set any) (parts []any) {
	list := reflect.ValueOf(set).FieldByName("Flags")
	for i := range list.Len() {
		parts = append(parts, list.Index(i).Interface())
	}
	return parts
}

// A closed client ends events: nothing goes on behind a provider that nobody shuts down.
func TestClosedClientEndsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newPlane(t, flags()).open()
		p := ofprovider.New(client)
		if err := p.Init(of.EvaluationContext{}); err != nil {
			t.Fatal(err)
		}
		_ = client.Close(t.Context())
		wantTypes(t, "soon after Init", received(p))
		time.Sleep(2 * time.Second)
		events := received(p)
		wantTypes(t, "closed", events, of.ProviderError)
		wantText(t, "message", events[0].Message, "closed")
		if got := p.StringEvaluation(t.Context(), "string", "", nil); got.Value != "text" {
			t.Errorf("evaluation: %+v", got)
		}
	})
}

// While nobody reads, changes become one event, and the client goes on.
func TestEventsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plane := newPlane(t, setAt(1))
		client := plane.open()
		p := ofprovider.New(client)
		if err := p.Init(of.EvaluationContext{}); err != nil {
			t.Fatal(err)
		}
		defer p.Shutdown()
		for i := range int64(100) {
			plane.publish(setAt(2+i, boolean(fmt.Sprint("flag-", i))))
			synctest.Wait()
		}
		if client.Status().Revision != 101 {
			t.Errorf("the client is at revision %d", client.Status().Revision)
		}
		events := received(p)
		if n := len(events); n > 20 {
			t.Errorf("%d events", n)
		}
		if last := events[len(events)-1].FlagChanges; !slices.Contains(last, "flag-99") || len(last) > 100 {
			t.Errorf("the last event names %v", last)
		}
	})
}

// collected are the events that handlers of an API or a client got.
type collected struct{ events chan of.EventDetails }

type handlers interface {
	AddHandler(of.EventType, of.EventCallback)
}

func collect(h handlers, event of.EventType) *collected {
	c := &collected{make(chan of.EventDetails, 100)}
	f := func(d of.EventDetails) { c.events <- d }
	h.AddHandler(event, &f)
	return c
}

func (c *collected) want(t *testing.T, when string, n int) (last of.EventDetails) {
	t.Helper()
	synctest.Wait()
	got := len(c.events)
	for len(c.events) > 0 {
		last = <-c.events
	}
	if got != n {
		t.Errorf("%s: %d events, want %d", when, got, n)
	}
	return last
}

// Sections 1.7 and 5, through the SDK.
func TestRequirements_1_7_and_5(t *testing.T) {
	eval := func(c *of.Client) of.StringEvaluationDetails {
		d, _ := c.StringValueDetails(context.Background(), "string", "default", of.EvaluationContext{})
		return d
	}
	tests := map[string]func(*testing.T, *plane, *of.EvaluationAPI){
		"1.7.3, 5.3.1 ready": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			client, ready := api.NewClient(), collect(api, of.ProviderReady)
			if err := api.SetProviderAndWait(t.Context(), ofprovider.New(plane.open())); err != nil {
				t.Fatal(err)
			}
			if d := ready.want(t, "init", 1); d.ProviderName != "seatrial" || client.State() != of.ReadyState {
				t.Errorf("%+v, state %s", d, client.State())
			}
		},
		"1.7.6 not ready": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			plane.fail(500)
			client := api.NewClient()
			if err := api.SetProvider(t.Context(), ofprovider.New(plane.open())); err != nil {
				t.Fatal(err)
			}
			if d := eval(client); d.ErrorCode != of.ProviderNotReadyCode || d.Value != "default" || client.State() != of.NotReadyState {
				t.Errorf("%+v, state %s", d, client.State())
			}
		},
		"1.7.4, 5.3.2 failed, then ready": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			plane.fail(500)
			client, failed, ready := api.NewClient(), collect(api, of.ProviderError), collect(api, of.ProviderReady)
			if err := api.SetProviderAndWait(t.Context(), ofprovider.New(plane.open())); err == nil {
				t.Error("initialized without a snapshot")
			}
			wantText(t, "message", failed.want(t, "init", 1).Message, "within 10s")
			if d := eval(client); d.ErrorCode != of.ProviderNotReadyCode || client.State() != of.ErrorState {
				t.Errorf("%+v, state %s", d, client.State())
			}
			plane.fail(0)
			time.Sleep(2 * time.Minute)
			ready.want(t, "later", 1)
			if d := eval(client); d.Value != "text" || client.State() != of.ReadyState {
				t.Errorf("%+v, state %s", d, client.State())
			}
		},
		"1.7.5, 1.7.7 fatal, then ready": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			plane.fail(401)
			client := api.NewClient()
			if err := api.SetProviderAndWait(t.Context(), ofprovider.New(plane.open())); err == nil {
				t.Error("initialized with a refused key")
			}
			if d := eval(client); d.ErrorCode != of.ProviderFatalCode || d.Reason != of.ErrorReason || client.State() != of.FatalState {
				t.Errorf("%+v, state %s", d, client.State())
			}
			plane.fail(0)
			time.Sleep(10 * time.Minute)
			if d := eval(client); d.Value != "text" || client.State() != of.ReadyState {
				t.Errorf("after the key was accepted: %+v, state %s", d, client.State())
			}
		},
		"5.3.5 stale": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			client, stale := api.NewClient(), collect(api, of.ProviderStale)
			if err := api.SetProviderAndWait(t.Context(), ofprovider.New(plane.open())); err != nil {
				t.Fatal(err)
			}
			plane.fail(500)
			time.Sleep(2 * time.Minute)
			stale.want(t, "outage", 1)
			if d := eval(client); d.Value != "text" || client.State() != of.StaleState {
				t.Errorf("%+v, state %s", d, client.State())
			}
			plane.fail(0)
			time.Sleep(2 * time.Minute)
			if client.State() != of.ReadyState {
				t.Errorf("state %s", client.State())
			}
		},
		"5.3.5 stale from the start": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			file := filepath.Join(t.TempDir(), "lkg.json")
			_ = plane.open(seatrial.WithFile(file), seatrial.WithWait(time.Second)).Close(t.Context())
			plane.fail(500)
			client, ready, stale := api.NewClient(), collect(api, of.ProviderReady), collect(api, of.ProviderStale)
			if err := api.SetProviderAndWait(t.Context(), ofprovider.New(plane.open(seatrial.WithFile(file)))); err != nil {
				t.Fatal(err)
			}
			ready.want(t, "init", 1)
			stale.want(t, "init", 0)
			time.Sleep(2 * time.Second)
			stale.want(t, "soon after", 1)
			if d := eval(client); d.Value != "text" || client.State() != of.StaleState {
				t.Errorf("%+v, state %s", d, client.State())
			}
		},
		"5.3.5 stale, and set again": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			p := ofprovider.New(plane.open())
			client := api.NewClient(of.WithDomain("a"))
			if err := api.SetProviderAndWait(t.Context(), p, of.WithDomain("a")); err != nil {
				t.Fatal(err)
			}
			plane.fail(500)
			time.Sleep(2 * time.Minute)
			// The SDK announces READY to everybody, since a stale provider can evaluate.
			if err := api.SetProviderAndWait(t.Context(), p, of.WithDomain("b")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if b := api.NewClient(of.WithDomain("b")); client.State() != of.StaleState || b.State() != of.StaleState {
				t.Errorf("states %s, %s", client.State(), b.State())
			}
		},
		"5.1.2, 5.1.3, 5.2.3 change": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			other := newPlane(t, flags())
			for domain, p := range map[string]*ofprovider.Provider{"mine": ofprovider.New(plane.open()), "other": ofprovider.New(other.open())} {
				if err := api.SetProviderAndWait(t.Context(), p, of.WithDomain(domain)); err != nil {
					t.Fatal(err)
				}
			}
			mine, theirs := api.NewClient(of.WithDomain("mine")), api.NewClient(of.WithDomain("other"))
			global, own, foreign := collect(api, of.ProviderConfigChange), collect(mine, of.ProviderConfigChange), collect(theirs, of.ProviderConfigChange)
			plane.publish(setAt(8, newFlag("string", "string", "a", `"changed"`)))
			if d := own.want(t, "own client", 1); d.ProviderName != "seatrial" || !slices.Contains(d.FlagChanges, "string") {
				t.Errorf("%+v", d)
			}
			global.want(t, "API", 1)
			foreign.want(t, "client of another provider", 0)
			if d := eval(mine); d.Value != "changed" { // signalled is applied
				t.Errorf("%+v", d)
			}
		},
		"5.3.3 late handler": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			if err := api.SetProviderAndWait(t.Context(), ofprovider.New(plane.open())); err != nil {
				t.Fatal(err)
			}
			collect(api.NewClient(), of.ProviderReady).want(t, "late", 1)
		},
		"1.1.2.3, 1.6.1, 2.5.2 shutdown": func(t *testing.T, plane *plane, api *of.EvaluationAPI) {
			p, next := ofprovider.New(plane.open()), ofprovider.New(plane.open())
			for _, provider := range []*ofprovider.Provider{p, next} {
				if err := api.SetProviderAndWait(t.Context(), provider); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if got := p.StringEvaluation(t.Context(), "string", "", nil).ResolutionDetail(); got.ErrorCode != of.ProviderNotReadyCode {
				t.Errorf("the provider before: %+v", got)
			}
			if err := api.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if d := eval(api.NewClient()); d.ErrorCode != of.ProviderNotReadyCode || d.Value != "default" {
				t.Errorf("after shutdown: %+v", d)
			}
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newPlane(t, flags()), newAPI(t)) })
		})
	}
}
