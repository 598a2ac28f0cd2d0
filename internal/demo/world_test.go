package demo

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
)

// inTemp sends temporary folders where the test can look for leftovers.
func inTemp(t *testing.T) (leftovers func() []string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "seatrial-demo-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
}

// TestSceneOnRealTraffic plays the shortest scene with everything it takes: control plane, shop,
// customers, faults, controller, traces.
func TestSceneOnRealTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("plays some seconds of real traffic: run without -short")
	}
	leftovers := inTemp(t)
	var out bytes.Buffer
	announced, forgotten := "", false
	cfg := Config{Out: &out, Seed: 3, Addr: "127.0.0.1:0", Announce: func(server, token string) func() {
		announced = server
		return func() { forgotten = true }
	}}.withDefaults()
	w, err := openWorld(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := chaosFragile()
	result, err := w.play(t.Context(), newTimeline(cfg), s)
	if err != nil {
		t.Fatal(err)
	}
	if result.Verdict != trial.ResultWeaknessFound || result.Guardrail != "errors" || result.UsersAffected == 0 {
		t.Errorf("got %+v, want a weakness found by the guardrail on errors\n%s", result, out.String())
	}
	if len(result.Traces) < tracesWanted {
		t.Errorf("%d traces of failed requests are in the trace store, want %d", len(result.Traces), tracesWanted)
	}
	faulty := 0 // a few requests fail by themselves, as on any day
	for _, id := range result.Traces {
		trace, err := w.api.Trace(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		services, failed, injected := map[string]bool{}, false, 0
		for _, span := range trace.Spans {
			services[span.Service] = true
			failed = failed || span.Service == "order" && span.Status == "error"
			if span.Attributes["seatrial.fault.point"] == "payment" {
				injected = 1
			}
		}
		faulty += injected
		if !services["storefront"] || !services["order"] || !services["inventory"] || !failed {
			t.Errorf("trace %s crosses %v and its order failed: %v; want storefront, order, inventory and the failure", id, services, failed)
		}
	}
	if faulty == 0 {
		t.Error("none of the traces of failed requests has the injected fault")
	}
	ending, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if err := w.close(ending); err != nil {
		t.Error(err)
	}
	if announced == "" || !forgotten {
		t.Errorf("announced %q, forgotten %v; want both", announced, forgotten)
	}
	if left := leftovers(); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
}

// TestNothingIsLeftOfAFailedStart lets the start fail where most is running already.
func TestNothingIsLeftOfAFailedStart(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  Config
	}{
		{"address that cannot be", Config{Addr: "127.0.0.1:notaport"}},
		{"rate that cannot be", Config{Addr: "127.0.0.1:0", Rate: 1e9}},
	} {
		t.Run(test.name, func(t *testing.T) {
			leftovers := inTemp(t)
			var out bytes.Buffer
			test.cfg.Out = &out
			if _, err := Run(t.Context(), test.cfg); err == nil {
				t.Fatal("the demo started")
			}
			if !bytes.Contains(out.Bytes(), []byte("Starting")) {
				t.Errorf("said %q, want the first line before anything else", out.String())
			}
			if left := leftovers(); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

func TestInterruptEndsTheDemoInGoodOrder(t *testing.T) {
	leftovers := inTemp(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var out bytes.Buffer
	cfg := Config{Out: &out, Addr: "127.0.0.1:0", Announce: func(server, _ string) func() {
		time.AfterFunc(300*time.Millisecond, interrupt)
		return func() {
			conn, err := net.Dial("tcp", server[len("http://"):])
			if err != nil {
				t.Error("the control plane went before it was forgotten")
				return
			}
			_ = conn.Close() // else the server waits for its first request
		}
	}}
	_, err := Run(ctx, cfg)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the interrupt", err)
	}
	if left := leftovers(); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
}
