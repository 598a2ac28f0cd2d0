package flagd_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/flagd"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// rig is a server with two environments, "default" and "staging". The bearer token of a request is
// the role of its maker; "revoked" after revoke was called is nobody's.
type rig struct {
	t        testing.TB
	url      string
	server   *flagd.Server
	services map[string]*control.Service
	http     *http.Server
	memory   *memnet.Listener
	client   *http.Client

	mu      sync.Mutex
	revoked map[string]bool
}

func makeRig(t testing.TB, change ...func(*flagd.Config)) *rig {
	t.Helper()
	r := &rig{t: t, services: map[string]*control.Service{}, revoked: map[string]bool{}}
	for _, name := range []string{"default", "staging"} {
		log := storetest.NewMemory()
		service, err := control.New(context.Background(), control.Config{Log: log, Journal: log, Environment: name})
		if err != nil {
			t.Fatal(err)
		}
		r.services[name] = service
	}
	cfg := flagd.Config{Authenticate: r.authenticate, Resolve: r.resolve, Export: exportPlainly}
	for _, c := range change {
		c(&cfg)
	}
	r.server = flagd.New(cfg)
	mux := http.NewServeMux()
	r.server.Mount(mux.Handle)
	r.http = &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	r.http.Protocols.SetHTTP1(true)
	r.http.Protocols.SetUnencryptedHTTP2(true)
	return r
}

// newRig serves on a socket.
func newRig(t testing.TB, change ...func(*flagd.Config)) *rig {
	t.Helper()
	r := makeRig(t, change...)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go r.http.Serve(ln)
	t.Cleanup(func() { r.http.Close() })
	r.url = "http://" + ln.Addr().String()
	return r
}

// newMemoryRig serves on a network in memory, for bubbles of fake time. Close ends it.
func newMemoryRig(t testing.TB, change ...func(*flagd.Config)) *rig {
	t.Helper()
	r := makeRig(t, change...)
	r.memory = memnet.Listen()
	go r.http.Serve(r.memory)
	r.url = "http://memory"
	return r
}

func (r *rig) close() {
	r.server.Stop()
	r.http.Close()
	r.client.CloseIdleConnections()
}

// h2 speaks HTTP/2 on the network in memory.
func (r *rig) h2() *http.Client {
	if r.client == nil {
		r.client = h2()
		r.client.Transport.(*http.Transport).DialContext = r.memory.Dial
	}
	return r.client
}

func (r *rig) authenticate(req *http.Request) (control.Principal, error) {
	role, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if role == "" || r.revoked[role] {
		return control.Principal{}, &control.Error{Code: control.CodeUnauthenticated, Message: "no valid key: send one"}
	}
	return control.Principal{ID: role, Name: role, Role: control.Role(role)}, nil
}

func (r *rig) revoke(role string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked[role] = true
}

// set puts a service, or none, in the place of an environment's.
func (r *rig) set(environment string, s *control.Service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services[environment] = s
}

func (r *rig) resolve(_ control.Principal, environment string) (*control.Service, error) {
	if environment == "" {
		environment = "default"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.services[environment]
	if s == nil {
		return nil, &control.Error{Code: control.CodeNotFound, Message: "there is no environment " + environment}
	}
	return s, nil
}

// exportPlainly writes what tests look at: keys and the flag set's metadata.
func exportPlainly(set flag.Set) ([]byte, error) {
	flags := map[string]any{}
	for _, f := range set.Flags {
		flags[f.Key] = map[string]any{"state": "DISABLED", "variants": map[string]any{}}
	}
	return json.Marshal(map[string]any{"flags": flags, "metadata": map[string]any{"flagSetId": set.Environment, "version": set.Revision}})
}

var ana = control.WriteOptions{Actor: "ana"}

func (r *rig) put(environment string, flags ...flag.Flag) {
	r.t.Helper()
	for _, f := range flags {
		if _, err := r.services[environment].PutFlag(r.t.Context(), f, ana); err != nil {
			r.t.Fatal(err)
		}
	}
}

// putSegment stores a segment of these members.
func (r *rig) putSegment(key string, members ...string) {
	r.t.Helper()
	if _, err := r.services["default"].PutSegment(r.t.Context(), flag.Segment{Key: key, Members: members}, ana); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) remove(key string) {
	r.t.Helper()
	if _, err := r.services["default"].DeleteFlag(r.t.Context(), key, ana); err != nil {
		r.t.Fatal(err)
	}
}

// token makes a change that is nothing to evaluators.
func (r *rig) token() {
	r.t.Helper()
	if _, _, err := r.services["default"].CreateToken(r.t.Context(), control.NewToken{Name: "x", Kind: control.TokenSDK}, ana); err != nil {
		r.t.Fatal(err)
	}
}

// try starts a trial of a boolean flag.
func (r *rig) try(key string) {
	r.t.Helper()
	spec := trial.Spec{
		Name: "try-" + key, Flag: key, Goal: trial.GoalPromote, Treatment: "on", Control: "off",
		Steps:      []trial.Step{{Share: 10_000}},
		Guardrails: []trial.Guardrail{{Name: "errors", Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Relative: 0.2}},
	}
	if _, err := r.services["default"].StartTrial(r.t.Context(), spec, ana); err != nil {
		r.t.Fatal(err)
	}
}

// h2 speaks HTTP/2 without TLS.
func h2() *http.Client {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &p}}
}

// dial gives a connection of grpc-go.
func (r *rig) dial() *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient("dns:///"+strings.TrimPrefix(r.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// as sends a role and, if not empty, a selector with every request of a connect client.
func as(role, selector string) connect.ClientOption {
	return connect.WithInterceptors(headers{role, selector})
}

type headers struct{ role, selector string }

func (h headers) set(to http.Header) {
	to.Set("Authorization", "Bearer "+h.role)
	if h.selector != "" {
		to.Set("flagd-selector", h.selector)
	}
}

func (h headers) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		h.set(r.Header())
		return next(ctx, r)
	}
}

func (h headers) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		h.set(conn.RequestHeader())
		return conn
	}
}

func (h headers) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func object(t testing.TB, m map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func variants(kv ...string) (list []flag.Variant) {
	for i := 0; i < len(kv); i += 2 {
		list = append(list, flag.Variant{Name: kv[i], Value: json.RawMessage(kv[i+1])})
	}
	return list
}

// boolFlag is a flag that is off for everybody.
func boolFlag(key string, change ...func(*flag.Flag)) flag.Flag {
	f := flag.Flag{Key: key, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off", Variants: variants("on", "true", "off", "false")}
	for _, c := range change {
		c(&f)
	}
	return f
}

func forSegment(key string) func(*flag.Flag) {
	return func(f *flag.Flag) { f.Rules = []flag.Rule{{When: &flag.Condition{Segment: key}, Serve: "on"}} }
}
