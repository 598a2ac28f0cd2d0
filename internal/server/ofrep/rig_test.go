package ofrep

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// rig is a server on the real control plane, with two environments and a key of each kind.
type rig struct {
	t        testing.TB
	server   *Server
	mu       sync.Mutex
	services map[string]*control.Service // by environment
	tokens   map[string]string           // secrets, by role; "elsewhere" is an SDK key for staging only
	ids      map[string]string           // of the tokens
	log      bytes.Buffer
}

var ana = control.WriteOptions{Actor: "ana"}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, services: map[string]*control.Service{}, tokens: map[string]string{}, ids: map[string]string{}}
	for _, name := range []string{"default", "staging"} {
		log := storetest.NewMemory()
		service, err := control.New(t.Context(), control.Config{Log: log, Journal: log, Environment: name})
		if err != nil {
			t.Fatal(err)
		}
		r.services[name] = service
	}
	door := auth.New(r.main(), false)
	cfg := Config{
		Authenticate: func(req *http.Request) (control.Principal, error) {
			return door.Authorize(req, auth.AtLeast(control.RoleClient))
		},
		Resolve: r.resolve, Logger: slog.New(slog.NewTextHandler(&r.log, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	r.server = New(cfg)
	t.Cleanup(r.server.Stop)
	r.token("client", control.NewToken{Kind: control.TokenClient})
	r.token("sdk", control.NewToken{Kind: control.TokenSDK})
	r.token("admin", control.NewToken{Kind: control.TokenAPI, Role: control.RoleAdmin})
	r.token("elsewhere", control.NewToken{Kind: control.TokenSDK, Environment: "staging"})
	return r
}

func (r *rig) main() *control.Service { return r.services["default"] }

func (r *rig) resolve(p control.Principal, environment string) (*control.Service, error) {
	if environment == "" {
		if environment = p.Environment; environment == "" {
			environment = "default"
		}
	}
	if !p.May(environment) {
		return nil, &control.Error{Code: control.CodePermission, Message: "the key is for another environment"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.services[environment]; s != nil {
		return s, nil
	}
	return nil, &control.Error{Code: control.CodeNotFound, Message: "there is no environment " + environment}
}

// drop deletes an environment.
func (r *rig) drop(environment string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.services, environment)
}

func (r *rig) token(name string, t control.NewToken) {
	r.t.Helper()
	t.Name = name
	token, secret, err := r.main().CreateToken(r.t.Context(), t, ana)
	if err != nil {
		r.t.Fatal(err)
	}
	r.tokens[name], r.ids[name] = secret, token.ID
}

// put stores flags in the environment "default".
func (r *rig) put(flags ...flag.Flag) {
	r.t.Helper()
	for _, f := range flags {
		if _, err := r.main().PutFlag(r.t.Context(), f, ana); err != nil {
			r.t.Fatal(err)
		}
	}
}

// answer is what a request got.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// send makes a request. Headers are "Name: value"; "as: name" chooses the key, the default is the
// SDK's, "as: nobody" sends none.
func (r *rig) send(method, path, body string, headers ...string) answer {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, r.request(method, path, body, headers...))
	return answer{r.t, w.Code, w.Result().Header, w.Body.String()}
}

func (r *rig) request(method, path, body string, headers ...string) *http.Request {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	as := "sdk"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "as" {
			as = value
			continue
		}
		req.Header.Set(name, value)
	}
	if secret := r.tokens[as]; secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	return req
}

func (r *rig) post(path, body string, headers ...string) answer {
	r.t.Helper()
	return r.send("POST", path, body, headers...)
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// boolean is a release flag that is off for everybody.
func boolean(key string, change ...func(*flag.Flag)) flag.Flag {
	f := flag.Flag{
		Key: key, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: raw("true")}, {Name: "off", Value: raw("false")}},
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

// valued is a flag of one variant.
func valued(key string, kind flag.Kind, typ flag.Type, value string) flag.Flag {
	return flag.Flag{Key: key, Kind: kind, Type: typ, Enabled: true, DefaultVariant: "v",
		Variants: []flag.Variant{{Name: "v", Value: raw(value)}}}
}

func raw(text string) json.RawMessage { return json.RawMessage(text) }

func forClients(f *flag.Flag) { f.ClientSide = true }

// onFor serves on to the units whose attribute has the value.
func onFor(attribute, value string) func(*flag.Flag) {
	return func(f *flag.Flag) {
		f.Rules = append(f.Rules, flag.Rule{Serve: "on", When: &flag.Condition{
			Attribute: attribute, Op: flag.OpIn, Values: []json.RawMessage{raw(value)},
		}})
	}
}

func half(f *flag.Flag) {
	f.Rules = append(f.Rules, flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 50_000}, {Variant: "off", Weight: 50_000}}}})
}
