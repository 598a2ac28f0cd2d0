package seatrial

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/memnet"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// plane is a control plane in memory whose every move a test decides.
type plane struct {
	t         *testing.T
	listener  *memnet.Listener
	transport *http.Transport

	mu        sync.Mutex
	set       flag.Set
	streams   map[chan string]bool // raw events to send; closing ends the stream
	silent    bool                 // streams send no bookmarks, and new ones nothing at all
	status    int                  // of the stream and the snapshot; 0: all is well
	retry     string               // Retry-After of that
	slow      time.Duration        // that the snapshot takes
	positions []string             // Last-Event-ID of each stream
	snapshots int                  // full snapshots that were served
	bodies    [][]byte             // of all attempts to report, as they came
	taken     []*collector.ExportMetricsServiceRequest
	parts     partStore
	judge     func(attempt int) (status int, retryAfter string) // of reports; nil: 200
}

// newPlane starts a control plane; it must be called in a synctest bubble if the test has one.
func newPlane(t *testing.T, set flag.Set) *plane {
	p := &plane{t: t, listener: memnet.Listen(), set: set, streams: map[chan string]bool{}}
	p.transport = &http.Transport{DialContext: p.listener.Dial, DisableCompression: true}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/stream", p.stream)
	mux.HandleFunc("GET /api/v1/snapshot", p.snapshot)
	mux.HandleFunc("GET /api/v1/parts/{digest}", p.part)
	mux.HandleFunc("POST /v1/metrics", p.metrics)
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(p.listener) }()
	t.Cleanup(func() {
		p.transport.CloseIdleConnections()
		_ = server.Close()
	})
	return p
}

// open gives a client of the plane, closed when the test ends.
func (p *plane) open(options ...Option) *Client {
	p.t.Helper()
	c, err := Open(p.t.Context(), append([]Option{
		WithServer("http://plane"), WithKey("key"), WithService("test"),
		WithHTTPClient(&http.Client{Transport: p.transport}), WithWait(time.Minute),
	}, options...)...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func (p *plane) stream(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer key" {
		p.t.Errorf("Authorization = %q", r.Header.Get("Authorization"))
	}
	p.mu.Lock()
	at := r.Header.Get("Last-Event-ID")
	p.positions = append(p.positions, at)
	if p.status != 0 {
		defer p.mu.Unlock()
		w.Header().Set("Retry-After", p.retry)
		w.WriteHeader(p.status)
		return
	}
	events := make(chan string, 100)
	p.streams[events] = true
	if !p.silent {
		if at == position(p.set) {
			events <- bookmark(p.set)
		} else {
			events <- sse("snapshot", p.set)
		}
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.streams, events)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		text := ""
		select {
		case <-r.Context().Done():
			return
		case next, ok := <-events:
			if !ok {
				return
			}
			text = next
		case <-ticker.C:
			p.mu.Lock()
			if !p.silent {
				text = bookmark(p.set)
			}
			p.mu.Unlock()
		}
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
}

func (p *plane) snapshot(w http.ResponseWriter, r *http.Request) {
	time.Sleep(p.slow)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.status != 0:
		w.WriteHeader(p.status)
	case r.Header.Get("If-None-Match") == fmt.Sprintf("%q", position(p.set)):
		w.WriteHeader(http.StatusNotModified)
	default:
		p.snapshots++
		_ = json.NewEncoder(w).Encode(p.set)
	}
}

func (p *plane) metrics(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the test ended the connection
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies = append(p.bodies, body)
	if p.judge != nil {
		if status, after := p.judge(len(p.bodies)); status != 200 {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(status)
			return
		}
	}
	if r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Content-Encoding") != "gzip" {
		p.t.Errorf("report came as %q, %q", r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"))
	}
	p.taken = append(p.taken, decodeReport(p.t, body))
}

// decodeReport reads a report with the code that is generated from OTLP's own definition.
func decodeReport(t *testing.T, body []byte) *collector.ExportMetricsServiceRequest {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	req := &collector.ExportMetricsServiceRequest{}
	if err := proto.Unmarshal(data, req); err != nil {
		t.Fatal(err)
	}
	if unknown := len(req.ProtoReflect().GetUnknown()); unknown > 0 {
		t.Errorf("report has %d bytes of unknown fields", unknown)
	}
	return req
}

// change makes next the plane's state, without telling anybody.
func (p *plane) change(next flag.Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = next
}

// publish makes next the plane's state and sends the delta that leads there.
func (p *plane) publish(next flag.Set) {
	p.mu.Lock()
	delta := sse("delta", p.set.Diff(next))
	p.set = next
	p.mu.Unlock()
	p.send(delta)
}

// send sends a raw event on all streams.
func (p *plane) send(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.streams {
		s <- text
	}
}

// setSilent stops or starts all signs of life, without closing anything.
func (p *plane) setSilent(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
}

// fail makes stream and snapshot answer with a status (0: no more), and ends the open streams.
func (p *plane) fail(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	for s := range p.streams {
		close(s)
		delete(p.streams, s)
	}
}

// reports gives those that were taken, and the bodies of all attempts.
func (p *plane) reports() (taken []*collector.ExportMetricsServiceRequest, bodies [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.taken), slices.Clone(p.bodies)
}

// seen gives the number of streams and of full snapshots so far.
func (p *plane) seen() (streams, snapshots int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.positions), p.snapshots
}

func sse(name string, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return "event: " + name + "\ndata: " + string(data) + "\n\n"
}

func bookmark(s flag.Set) string { return sse("bookmark", markOf(&s)) }

func position(s flag.Set) string { return fmt.Sprintf("%s:%d", s.History, s.Revision) }

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
		default:
			panic(fmt.Sprintf("%T", part))
		}
	}
	return s.Normalize()
}

// newFlag gives a flag with variants from name, value, name, value …; the first is the default.
func newFlag(key string, kind flag.Kind, typ flag.Type, variants ...string) flag.Flag {
	f := flag.Flag{Key: key, Kind: kind, Type: typ, Enabled: true, DefaultVariant: variants[0]}
	for i := 0; i < len(variants); i += 2 {
		f.Variants = append(f.Variants, flag.Variant{Name: variants[i], Value: json.RawMessage(variants[i+1])})
	}
	return f
}

// release gives a boolean flag that is off.
func release(key string) flag.Flag {
	return newFlag(key, flag.KindRelease, flag.TypeBoolean, "off", "false", "on", "true")
}

// trialOn gives a trial with both arms of the same share in per cent, named as the flag.
func trialOn(f flag.Flag, step int, percent int) flag.Allocation {
	share := flag.Weight(percent * flag.TotalWeight / 100)
	a := flag.Allocation{
		Trial: f.Key + "-trial", Flag: f.Key, Version: fmt.Sprintf("%s-trial.1.%d", f.Key, step), Step: step, Salt: f.Key + "-salt",
		Treatment: f.Variants[1].Name, Control: f.Variants[0].Name,
		Strata: []flag.Stratum{{Treatment: share, Control: share}},
	}
	if f.Kind == flag.KindFault {
		a.Fault, a.Secret = true, secretOf(a.Trial)
	}
	return a
}

// secretOf gives a secret that is always the same for an experiment.
func secretOf(trial string) string { return fmt.Sprintf("%032x", trial)[:32] }

// offline gives a client without a server that is at a state.
func offline(t testing.TB, set flag.Set, options ...Option) *Client {
	t.Helper()
	c, err := Open(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	if _, err := c.install(set); err != nil {
		t.Fatal(err)
	}
	return c
}

// userIn gives a key that is in the arm of the flag's trial.
func userIn(t testing.TB, c *Client, key string, a arm) string {
	t.Helper()
	for i := range 10_000 {
		user := fmt.Sprint("user-", i)
		ctx := WithContext(t.Context(), NewContext(user))
		var r eval.Result
		evaluate(c, ctx, key, any(nil), func(v any) (any, bool) { return v, true }, &r)
		if r.Role != 0 && armOf(r.Role) == a {
			return user
		}
	}
	t.Fatalf("nobody is in the %s of %s", a.name(), key)
	return ""
}
