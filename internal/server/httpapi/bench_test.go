package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
	"github.com/seatrial/seatrial/internal/server/notify"
	"github.com/seatrial/seatrial/internal/server/otlp"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// bench is an API on a store in memory, with a token of each role.
type bench struct {
	t       *testing.T
	service *control.Service
	auth    *auth.Auth
	traces  *traces.Store
	api     *API
	handler http.Handler
	log     bytes.Buffer
	tokens  map[control.Role]string
}

// newBench makes a bench; change may alter its configuration.
func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Memory, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	b := &bench{t: t, tokens: map[control.Role]string{}}
	loader := lists.NewLoader(lists.LoaderConfig{Blobs: store})
	if b.service, err = control.New(t.Context(), control.Config{Log: store, Journal: store, Lists: loader}); err != nil {
		t.Fatal(err)
	}
	if b.traces, err = traces.NewStore(traces.Limits{}); err != nil {
		t.Fatal(err)
	}
	b.auth = auth.New(b.service, false)
	receiver := otlp.NewReceiver(otlp.Config{Traces: b.traces})
	cfg := Config{
		Service: b.service, Auth: b.auth, Traces: b.traces,
		Webhooks:    notify.New(notify.Config{Changes: b.service, Cursors: store, Environment: "default"}),
		Lists:       lists.New(lists.Config{Segments: b.service, Loader: loader}),
		Environment: "default", Environments: newEnvironments(b.service),
		Stream: func(w http.ResponseWriter, _ *http.Request, owner string, valid func() bool) error {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Write([]byte("event: bookmark\ndata: {}\n\n"))
			return nil
		},
		OTLPTraces: http.HandlerFunc(receiver.ServeTraces), OTLPMetrics: http.HandlerFunc(receiver.ServeMetrics),
		OTLPError: otlp.Refuse, Console: plainConsole{},
		Logger: slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&cfg)
	}
	b.api = New(cfg)
	b.handler = b.api.Handler()
	for _, t := range []control.NewToken{
		{Name: "sdk", Kind: control.TokenSDK}, {Name: "viewer", Kind: control.TokenAPI, Role: control.RoleViewer},
		{Name: "editor", Kind: control.TokenAPI, Role: control.RoleEditor}, {Name: "admin", Kind: control.TokenAPI, Role: control.RoleAdmin},
	} {
		token, secret, err := b.service.CreateToken(b.t.Context(), t, control.WriteOptions{Actor: "test"})
		if err != nil {
			b.t.Fatal(err)
		}
		b.tokens[token.Role] = secret
	}
	return b
}

// plainConsole stands in for the pages.
type plainConsole struct{}

func (plainConsole) Home(w http.ResponseWriter, _ *http.Request, p control.Principal) error {
	if p.Name == "" {
		return errors.New("nobody is here")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := w.Write([]byte("<p>" + p.Name + "</p>"))
	return err
}

func (plainConsole) SignIn(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<p>Sign in: " + message + "</p>"))
}

// answer is what a request got.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// send makes a request. Headers are "Name: value"; the default token is the admin's, "as: role"
// chooses another, "as: nobody" none.
func (b *bench) send(method, path, body string, headers ...string) answer {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	role := control.RoleAdmin
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "as":
			role = control.Role(value)
		case "Host":
			r.Host = value
		default:
			r.Header.Set(name, value)
		}
	}
	if secret := b.tokens[role]; secret != "" && r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return answer{b.t, w.Code, w.Result().Header, w.Body.Bytes()}
}

// want fails unless the answer has the status.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// wantProblem fails unless the answer is a problem of that code, with the status that goes with it.
func (a answer) wantProblem(code control.Code) Problem {
	a.t.Helper()
	var p Problem
	a.want(kinds[code].status).json(&p)
	if p.Code != code || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("code %q as %s, want %q: %s", p.Code, a.header.Get("Content-Type"), code, a.body)
	}
	if p.Detail == "" || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		a.t.Fatalf("a problem has a detail and the request's id: %s", a.body)
	}
	return p
}

func (a answer) json(into any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
}

func (a answer) etag() string {
	a.t.Helper()
	tag := a.header.Get("ETag")
	if tag == "" {
		a.t.Fatalf("no ETag on %d %s", a.status, a.body)
	}
	return tag
}

const (
	searchFlag = `{"key":"search","kind":"release","type":"boolean","enabled":true,
		"variants":[{"name":"on","value":true},{"name":"off","value":false}],"defaultVariant":"off"}`
	staff     = `{"key":"staff","members":["u1","u2"]}`
	searchRun = `{"name":"new-search","flag":"search","treatment":"on","control":"off"}`
)
