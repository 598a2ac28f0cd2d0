package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// plane is what a client sees of a control plane: its state, its change stream, the parts of member
// lists, and where outcomes are reported to. It serves one client.
type plane struct {
	mu     sync.Mutex // guards set
	set    flag.Set
	parts  map[string][]byte // by digest
	events chan string       // that go out on the stream
}

func newPlane(set flag.Set) *plane {
	return &plane{set: set, parts: map[string][]byte{}, events: make(chan string)}
}

// openSeatrial gives a client that follows a control plane and reports outcomes to it.
func openSeatrial(tb testing.TB, set flag.Set) *seatrial.Client { return newPlane(set).open(tb) }

func (p *plane) open(tb testing.TB) *seatrial.Client {
	tb.Helper()
	server := httptest.NewServer(p.handler(tb))
	client, err := seatrial.Open(context.Background(), seatrial.WithServer(server.URL), seatrial.WithWait(30*time.Second), seatrial.WithFlushInterval(time.Second))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = client.Close(context.Background())
		server.CloseClientConnections()
		server.Close()
	})
	return client
}

func (p *plane) handler(tb testing.TB) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/snapshot", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(p.state(tb))
	})
	mux.HandleFunc("GET /api/v1/stream", func(w http.ResponseWriter, r *http.Request) { p.stream(tb, w, r) })
	mux.HandleFunc("GET /api/v1/parts/{digest}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(p.parts[r.PathValue("digest")])
	})
	mux.HandleFunc("POST /v1/metrics", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	return mux
}

// state is the set as the snapshot that clients get.
func (p *plane) state(tb testing.TB) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := json.Marshal(p.set)
	if err != nil {
		tb.Error(err)
	}
	return data
}

// bookmark is the event that tells clients where they should be.
func (p *plane) bookmark() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return event("bookmark", p.set.Revision, fmt.Appendf(nil, `{"history":"h","epoch":1,"revision":%d,"hash":%q}`, p.set.Revision, p.set.Hash))
}

// stream tells a client the state, unless it has it already, what is sent on p.events, and as
// often as the control plane does that it is still there.
func (p *plane) stream(tb testing.TB, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	alive := time.NewTicker(5 * time.Second)
	defer alive.Stop()
	next := ""
	if r.Header.Get("Last-Event-ID") == "" {
		next = event("snapshot", 1, p.state(tb))
	}
	for {
		if _, err := io.WriteString(w, next); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case next = <-p.events:
		case <-alive.C:
			next = p.bookmark()
		case <-r.Context().Done():
			return
		}
	}
}

// event is one event of the change stream, as its bytes.
func event(name string, revision int64, data []byte) string {
	return fmt.Sprintf("id: h:%d\nevent: %s\ndata: %s\n\n", revision, name, data)
}

// addPart keeps a part of a member list and gives its reference.
func (p *plane) addPart(part members.Part) flag.ListPart {
	digest := digestOf(part.Bytes())
	p.parts[digest] = part.Bytes()
	return flag.ListPart{Digest: digest, Bytes: int64(len(part.Bytes()))}
}
