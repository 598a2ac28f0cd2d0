package ofprovider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"
	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/ofprovider"
)

// plane is a control plane in memory: the change stream, and reports that are counted.
type plane struct {
	t         testing.TB
	transport *http.Transport

	mu      sync.Mutex
	set     flag.Set
	streams map[chan string]bool
	status  int // of the stream and the snapshot; 0: all is well
	reports int
}

func newPlane(t testing.TB, set flag.Set) *plane {
	listener := memnet.Listen()
	p := &plane{t: t, set: set, streams: map[chan string]bool{}, transport: &http.Transport{DialContext: listener.Dial}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/stream", p.stream)
	mux.HandleFunc("GET /api/v1/snapshot", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.status != 0 {
			w.WriteHeader(p.status)
			return
		}
		_ = json.NewEncoder(w).Encode(p.set)
	})
	mux.HandleFunc("POST /v1/metrics", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reports++
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		p.transport.CloseIdleConnections()
		_ = server.Close()
	})
	return p
}

func (p *plane) stream(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if p.status != 0 {
		defer p.mu.Unlock()
		w.WriteHeader(p.status)
		return
	}
	events := make(chan string, 100)
	p.streams[events] = true
	events <- sse("snapshot", p.set)
	p.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		text := ""
		select {
		case <-r.Context().Done():
			return
		case next, open := <-events:
			if !open {
				return
			}
			text = next
		case <-ticker.C:
			p.mu.Lock()
			text = sse("bookmark", map[string]any{"history": p.set.History, "epoch": p.set.Epoch, "revision": p.set.Revision, "hash": p.set.Hash})
			p.mu.Unlock()
		}
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
}

func sse(name string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return "event: " + name + "\ndata: " + string(data) + "\n\n"
}

// publish makes next the plane's state and tells everybody.
func (p *plane) publish(next flag.Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = next
	for s := range p.streams {
		s <- sse("snapshot", next)
	}
}

// fail makes the plane answer with a status, 0 for no longer, and ends the open streams.
func (p *plane) fail(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	for s := range p.streams {
		close(s)
		delete(p.streams, s)
	}
}

// open gives a client of the plane, closed when the test ends.
func (p *plane) open(options ...seatrial.Option) *seatrial.Client {
	p.t.Helper()
	c, err := seatrial.Open(context.Background(), append([]seatrial.Option{
		seatrial.WithServer("http://plane"), seatrial.WithKey("key"), seatrial.WithService("test"),
		seatrial.WithHTTPClient(&http.Client{Transport: p.transport}),
	}, options...)...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	})
	return c
}

// newAPI gives an API of its own, shut down when the test ends.
func newAPI(t testing.TB) *of.EvaluationAPI {
	api := isolated.NewAPI()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = api.Shutdown(ctx)
	})
	return api
}

// sdk gives a client of the SDK whose provider has the flags of set.
func sdk(t testing.TB, set flag.Set, options ...ofprovider.Option) (*of.Client, *ofprovider.Provider) {
	t.Helper()
	api, provider := newAPI(t), ofprovider.New(newPlane(t, set).open(), options...)
	if err := api.SetProviderAndWait(context.Background(), provider); err != nil {
		t.Fatal(err)
	}
	return api.NewClient(), provider
}

// initialized gives a provider without an SDK.
func initialized(t testing.TB, set flag.Set, options ...ofprovider.Option) *ofprovider.Provider {
	t.Helper()
	provider := ofprovider.New(newPlane(t, set).open(), options...)
	if err := provider.Init(of.EvaluationContext{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Shutdown)
	return provider
}

// setAt gives a state with these flags and allocations.
func setAt(revision int64, parts ...any) flag.Set {
	s := flag.Set{Environment: "production", History: "h1", Epoch: 1, Revision: revision, Hash: fmt.Sprint("hash-", revision)}
	for _, part := range parts {
		switch part := part.(type) {
		case flag.Flag:
			s.Flags = append(s.Flags, part)
		case flag.Segment:
			s.Segments = append(s.Segments, part)
		case flag.Allocation:
			s.Allocations = append(s.Allocations, part)
		}
	}
	return s.Normalize()
}

// newFlag gives a flag with variants from name, value, name, value …; the first is the default.
func newFlag(key string, typ flag.Type, variants ...string) flag.Flag {
	f := flag.Flag{Key: key, Kind: flag.KindConfig, Type: typ, Enabled: true, DefaultVariant: variants[0]}
	for i := 0; i < len(variants); i += 2 {
		f.Variants = append(f.Variants, flag.Variant{Name: variants[i], Value: json.RawMessage(variants[i+1])})
	}
	return f
}

func boolean(key string) flag.Flag {
	return newFlag(key, flag.TypeBoolean, "off", "false", "on", "true")
}

// flags is a state with a flag of every type and every fate.
func flags() flag.Set {
	disabled := boolean("disabled")
	disabled.Enabled = false
	codeDefault := boolean("code-default")
	codeDefault.DefaultVariant = ""
	rule := boolean("rule")
	rule.Rules = []flag.Rule{{When: &flag.Condition{Attribute: "group", Op: flag.OpIn, Values: []json.RawMessage{[]byte(`"beta"`)}}, Serve: "on"}}
	split := boolean("split")
	split.Rules = []flag.Rule{{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: flag.TotalWeight}}}}}
	trial := boolean("trial")
	allocation := flag.Allocation{
		Trial: "checkout", Flag: "trial", Version: "checkout.1.2", Step: 2, Salt: "s", Treatment: "on", Control: "off",
		Strata: []flag.Stratum{{Treatment: flag.TotalWeight, Control: 0}},
	}
	imported := flag.Flag{Key: "imported", Kind: flag.KindConfig, Type: flag.TypeObject, Enabled: true, Definition: json.RawMessage(
		`{"state":"ENABLED","variants":{"small":{"max":1}},"defaultVariant":"small","targeting":{"if":[{"==":[{"var":"plan"},"gold"]},"small"]},"metadata":{"team":"checkout","tier":2,"live":true}}`)}
	return setAt(7, imported, boolean("bool"), disabled, codeDefault, rule, split, trial, allocation,
		newFlag("string", flag.TypeString, "a", `"text"`),
		newFlag("empty", flag.TypeString, "a", `""`),
		newFlag("int", flag.TypeInteger, "a", `42`),
		newFlag("large", flag.TypeInteger, "a", `9007199254740991`),
		newFlag("float", flag.TypeFloat, "a", `0.5`),
		newFlag("whole", flag.TypeFloat, "a", `10.0`),
		newFlag("object", flag.TypeObject, "a", `{"list":[1,{"x":true}],"name":"n"}`),
	)
}

func wantText(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%s is %q, want %q in it", what, got, part)
		}
	}
}
