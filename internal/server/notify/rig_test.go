package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// rig is a control plane in memory with a receiver, in fake time.
type rig struct {
	*control.Service
	t       *testing.T
	cursors *storetest.MemoryCursors
	net     *memnet.Listener
	log     *strings.Builder
	logger  *slog.Logger // one for all notifiers: its handler guards log

	mu       sync.Mutex
	received []request
	reply    func(request) (status int, header http.Header)
}

// request is what the receiver got.
type request struct {
	id, host, body string
	header         http.Header
	at             time.Time
}

func (r request) json(t *testing.T) (b struct {
	Type, ID string
	Version  int
	Data     trialData
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &b); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	return b
}

var ana = control.WriteOptions{Actor: "token:1 (ana)"}

// inFakeTime runs a test with a rig in a bubble.
func inFakeTime(t *testing.T, test func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		service, err := control.New(t.Context(), control.Config{Log: log, Journal: log, Environment: "production"})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{Service: service, t: t, cursors: &storetest.MemoryCursors{}, net: memnet.Listen(), log: &strings.Builder{}}
		r.logger = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		server := &http.Server{Handler: http.HandlerFunc(r.receive)}
		go server.Serve(r.net)
		defer server.Close()
		test(r)
	})
}

func (r *rig) receive(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	got := request{id: q.Header.Get(headerID), host: q.Host, body: string(body), header: q.Header, at: time.Now()}
	r.mu.Lock()
	r.received = append(r.received, got)
	reply := r.reply
	r.mu.Unlock()
	if reply == nil {
		return
	}
	status, header := reply(got)
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
}

func (r *rig) answerWith(reply func(request) (int, http.Header)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reply = reply
}

func always(status int) func(request) (int, http.Header) {
	return func(request) (int, http.Header) { return status, nil }
}

func (r *rig) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]request(nil), r.received...)
}

// types lists what arrived: the types, or the ids.
func (r *rig) types() (list []string) {
	for _, q := range r.requests() {
		list = append(list, q.json(r.t).Type)
	}
	return list
}

func (r *rig) notifier(change ...func(*Config)) *Notifier {
	cfg := Config{Changes: r.Service, Cursors: r.cursors, Environment: "production", BaseURL: "https://seatrial.example.com",
		Logger: r.logger,
		dial:   r.net.Dial, jitter: func(limit time.Duration) time.Duration { return limit }}
	for _, c := range change {
		c(&cfg)
	}
	return New(cfg)
}

// run starts a notifier; stop ends it in good order.
func (r *rig) run(n *Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	return func() { cancel(); <-done }
}

func (r *rig) hook(name string, change ...func(*control.Webhook)) {
	r.t.Helper()
	w := control.Webhook{Name: name, URL: "http://" + name + ".example.com/in?key=s3cr3t", Enabled: true}
	for _, c := range change {
		c(&w)
	}
	if _, _, err := r.CreateWebhook(r.t.Context(), w, ana); err != nil {
		r.t.Fatal(err)
	}
}

// start starts a rollout on a flag of its own.
func (r *rig) start(name string) {
	r.t.Helper()
	f := flag.Flag{Key: "f-" + name, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}}
	if _, err := r.GetFlag(f.Key); err != nil {
		if _, err := r.CreateFlag(r.t.Context(), f, ana); err != nil {
			r.t.Fatal(err)
		}
	}
	spec := trial.Spec{Name: name, Flag: f.Key, Treatment: "on", Control: "off", Watch: trial.Duration(time.Minute)}
	if _, err := r.StartTrial(r.t.Context(), spec, ana); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) command(name string, verbs ...string) {
	r.t.Helper()
	for _, verb := range verbs {
		if _, err := r.CommandTrial(r.t.Context(), name, verb, ana); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) status(n *Notifier, name string) control.WebhookStatus {
	r.t.Helper()
	s, err := n.Status(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func wantTypes(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
