package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/resilience"
	"github.com/seatrial/seatrial/seatrialgrpc"
	"github.com/seatrial/seatrial/seatrialhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
)

// shop is three services, one behind the other, with their control plane: edge knows the users and
// calls orders over HTTP, which does not know them and calls stock over gRPC. Everything is real but
// the network and the clock.
type shop struct {
	*loop
	sdk                 *loop // the API as an SDK sees it
	edge, orders, stock *seatrial.Client
	shelves             pb.TestServiceClient // stock, as orders sees it
	users, strangers    *http.Client         // at the edge, and at orders
	fallback            bool                 // orders does without stock
	patience            time.Duration        // of the edge, with orders; 0: all the time in the world
	stubborn            bool                 // orders goes on when the edge is gone

	treated, spared []string // the users who need stock, by arm

	mu      sync.Mutex
	rounds  []map[string]bool // for each round, the users whose call to stock was hit
	hits    int
	carried map[string]string // the baggage that last came with a user's request to orders
}

// users who order from what is in stock make two of three; the others need nobody to look.
const customers = 150

func needsStock(user int) bool { return user%3 != 0 }

func name(user int) string { return fmt.Sprint("user-", user) }

func newShop(t *testing.T, orders ...seatrial.Option) *shop {
	t.Helper()
	l, server := newLoopWith(t)
	s := &shop{loop: l, carried: map[string]string{}}
	sdk := *l
	s.sdk, sdk.token = &sdk, newToken(t, server, control.NewToken{Name: "sdk", Kind: control.TokenSDK})
	s.edge = s.open(server, "edge")
	s.orders = s.open(server, "orders", append(orders, seatrial.WithFaults(fault.Caps{}))...)
	s.stock = s.open(server, "stock")
	s.shelves = s.serveStock()
	toOrders := serveHTTP(t, seatrialhttp.NewHandler(s.orders, http.HandlerFunc(s.order), seatrialhttp.WithPoint("orders.http")))
	s.strangers = &http.Client{Transport: toOrders}
	inner := &http.Client{Transport: seatrialhttp.NewTransport(s.edge, "orders", seatrialhttp.WithBase(toOrders))}
	s.users = &http.Client{Transport: serveHTTP(t, s.asUser(seatrialhttp.NewHandler(s.edge, s.front(inner))))}
	return s
}

func (s *shop) open(server *app.Server, service string, options ...seatrial.Option) *seatrial.Client {
	s.t.Helper()
	c, err := seatrial.Open(s.t.Context(), append([]seatrial.Option{
		seatrial.WithServer(loopURL), seatrial.WithHTTPClient(s.http), seatrial.WithService(service),
		seatrial.WithKey(newToken(s.t, server, control.NewToken{Name: service, Kind: control.TokenSDK})),
		seatrial.WithFlushInterval(time.Second), seatrial.WithWait(time.Minute),
	}, options...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// serveHTTP gives a way to a new service in memory.
func serveHTTP(t *testing.T, h http.Handler) *http.Transport {
	network := memnet.Listen()
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(network) }()
	transport := &http.Transport{DialContext: network.Dial}
	t.Cleanup(func() { transport.CloseIdleConnections(); _ = server.Close() })
	return transport
}

// shelves is the service stock.
type shelves struct {
	pb.UnimplementedTestServiceServer
}

func (shelves) UnaryCall(context.Context, *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return &pb.SimpleResponse{}, nil
}

func (s *shop) serveStock() pb.TestServiceClient {
	s.t.Helper()
	network := memnet.Listen()
	server := grpc.NewServer(grpc.UnaryInterceptor(seatrialgrpc.UnaryServerInterceptor(s.stock)))
	pb.RegisterTestServiceServer(server, shelves{})
	go func() { _ = server.Serve(network) }()
	conn, err := grpc.NewClient("passthrough:///stock", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(seatrialgrpc.UnaryClientInterceptor(s.orders, "stock")),
		grpc.WithContextDialer(func(ctx context.Context, at string) (net.Conn, error) { return network.Dial(ctx, "tcp", at) }))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(); server.Stop() })
	return pb.NewTestServiceClient(conn)
}

// asUser says at the edge who is served.
func (s *shop) asUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(seatrial.WithContext(r.Context(), seatrial.NewContext(r.Header.Get("User")))))
	})
}

// front is the edge: it shows a banner, which is being rolled out, and orders.
func (s *shop) front(orders *http.Client) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.edge.Bool(r.Context(), "banner", false)
		ctx := r.Context()
		if s.patience > 0 {
			limited, cancel := context.WithTimeout(ctx, s.patience)
			defer cancel()
			ctx = limited
		}
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://orders/"+r.URL.Path[1:]+"?for="+r.Header.Get("User"), nil)
		res, err := orders.Do(req)
		if err != nil {
			w.WriteHeader(http.StatusGatewayTimeout)
			return
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		w.WriteHeader(res.StatusCode)
	})
}

// order is the service orders. Who it is for is there for the test's own books only.
func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/stock" {
		return
	}
	user := r.URL.Query().Get("for")
	ctx := r.Context()
	if s.stubborn {
		ctx = context.WithoutCancel(ctx)
	}
	_, err := s.shelves.UnaryCall(ctx, &pb.SimpleRequest{})
	_, hit := fault.From(err)
	s.mu.Lock()
	s.carried[user] = r.Header.Get("Baggage")
	if hit {
		s.hits++
		s.rounds[len(s.rounds)-1][user] = true
	}
	s.mu.Unlock()
	if err != nil && !s.fallback {
		w.WriteHeader(http.StatusBadGateway)
	}
}

// round is one request of every user.
func (s *shop) round() {
	s.t.Helper()
	s.mu.Lock()
	s.rounds = append(s.rounds, map[string]bool{})
	s.mu.Unlock()
	var all sync.WaitGroup
	for user := range customers {
		all.Go(func() { s.visit(user) })
	}
	all.Wait()
}

func (s *shop) visit(user int) {
	path := "/window"
	if needsStock(user) {
		path = "/stock"
	}
	req, _ := http.NewRequestWithContext(s.t.Context(), "GET", "http://edge"+path, nil)
	req.Header.Set("User", name(user))
	res, err := s.users.Do(req)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.Header.Get(seatrial.MarksHeader) != "" {
		s.t.Errorf("%s is told of experiments", name(user))
	}
}

// visits are rounds, so many at most, with a pause after each; it stops early when until says so.
func (s *shop) visits(rounds int, pause time.Duration, until func() bool) {
	s.t.Helper()
	for ; rounds > 0 && (until == nil || !until()); rounds-- {
		s.round()
		time.Sleep(pause)
	}
}

// hitAtAll gives the users who were hit, and fails the test if they were not the same ones in every
// round from the first with a hit to the last.
func (s *shop) hitAtAll() (who []string, rounds int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	over := false
	for i, round := range s.rounds {
		now := sorted(round)
		switch {
		case len(now) == 0:
			over = rounds > 0
		case rounds > 0 && (over || !slices.Equal(now, who)):
			s.t.Errorf("round %d hit %d users, others than before: %d", i, len(now), len(who))
		default:
			who = now
			rounds++
		}
	}
	return who, rounds
}

func sorted(set map[string]bool) (list []string) {
	for key := range set {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}

// learn notes who needs stock and is in which arm of the experiment, by what every SDK gets.
func (s *shop) learn(set flag.Set) {
	s.t.Helper()
	at, err := eval.Compile(set)
	if err != nil {
		s.t.Fatal(err)
	}
	for user := range customers {
		if !needsStock(user) {
			continue
		}
		switch at.Evaluate("stock-down", &eval.Context{TargetingKey: name(user)}).Role {
		case eval.RoleTreatment:
			s.treated = append(s.treated, name(user))
		case eval.RoleControl:
			s.spared = append(s.spared, name(user))
		}
	}
	slices.Sort(s.treated)
}

// hide fails the test if people are shown the secret of the experiment, which SDKs get.
func (s *shop) hide(set flag.Set) {
	s.t.Helper()
	secret := ""
	for _, a := range set.Allocations {
		secret += a.Secret
	}
	if len(secret) < 32 {
		s.t.Fatalf("the secret is %q", secret)
	}
	for _, path := range []string{"/trials/no-stock", "/trials", "/changes", "/flags/stock-down"} {
		var shown json.RawMessage
		if s.must("GET", "/api/v1"+path, "", &shown); strings.Contains(string(shown), secret) {
			s.t.Errorf("GET %s shows the secret", path)
		}
	}
}

const banner = `{"key":"banner","kind":"release","type":"boolean","enabled":true,
	"variants":[{"name":"on","value":true},{"name":"off","value":false}],"defaultVariant":"off"}`

const rollout = `{"name":"new-banner","goal":"promote","flag":"banner","treatment":"on","control":"off","interval":"5s",
	"steps":[{"share":50000,"minTime":"3h","minUnits":100}],"guardrails":[{"metric":"errors","mode":"enforce","absolute":0.01}]}`

// start begins the rollout of the banner and the experiment with the fault program, once there was
// traffic for long enough that the point is known.
func (s *shop) start(program string) {
	s.t.Helper()
	s.must("POST", "/api/v1/flags", banner, nil)
	s.must("POST", "/api/v1/trials", rollout, nil)
	s.must("POST", "/api/v1/flags", `{"key":"stock-down","kind":"fault","type":"object","enabled":true,"defaultVariant":"off",
		"variants":[{"name":"off","value":null},{"name":"on","value":`+program+`}]}`, nil)
	synctest.Wait() // the clients have the rollout: whoever comes now takes part in it
	s.visits(3, 25*time.Second, nil)
	s.must("POST", "/api/v1/trials", `{"name":"no-stock","goal":"survive","flag":"stock-down","treatment":"on","control":"off",
		"hypothesis":"orders go on without stock","interval":"5s","steadyTime":"20s","deadline":"20m","maxUnits":100000,
		"steps":[{"share":50000,"minTime":"1m","minUnits":40}],"guardrails":[{"metric":"errors","mode":"enforce","absolute":0.2}]}`, nil)
	var set flag.Set
	s.sdk.must("GET", "/api/v1/snapshot", "", &set)
	s.learn(set)
	s.hide(set)
	time.Sleep(2 * time.Second) // so that no round is at the end of an interval
}

// run is the experiment, until it is over and a little more. It fails the test if a call was hit in
// the steady phase.
func (s *shop) run(program string) control.TrialEntry {
	s.t.Helper()
	s.start(program)
	if phase := s.trial("no-stock").State.Phase; phase != trial.PhaseSteady {
		s.t.Errorf("it begins %s", phase)
	}
	s.visits(100, 5*time.Second, func() bool {
		state := s.trial("no-stock").State
		if n := s.hitCalls(); state.InjectedAt.IsZero() && n > 0 {
			s.t.Errorf("%d calls were hit before the fault was on", n)
		}
		return state.Ended()
	})
	ended := s.trial("no-stock")
	before := s.hitCalls()
	s.visits(3, 5*time.Second, nil)
	if n := s.hitCalls() - before; n > 0 {
		s.t.Errorf("%d calls were hit after the end", n)
	}
	return ended
}

func (s *shop) hitCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

const down = `{"point":"stock","rate":1,"faults":[{"kind":"error","code":"UNAVAILABLE"}]}`

// The edge knows the users, orders behind it does not and calls stock, whose failure is tried. Both
// times the same calls are hit, of those in the treatment who need stock, at each visit, and of nobody
// else. With a fallback the system survives, without one the experiment finds that out.
func TestAnExperimentFromEndToEnd(t *testing.T) {
	for _, test := range []struct {
		name     string
		fallback bool
		want     trial.Result
	}{
		{"with a fallback", true, trial.ResultSurvived},
		{"without one", false, trial.ResultWeaknessFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t)
				s.fallback = test.fallback
				ended := s.run(down).State
				if ended.Result != test.want {
					t.Fatalf("%s: %s", ended.Result, ended.Why)
				}
				s.wantHit()
				s.wantCounted(ended)
				s.wantNotBlamed()
			})
		})
	}
}

// wantHit checks that those were hit, at each of their visits, who are in the treatment by what every
// SDK gets.
func (s *shop) wantHit() {
	s.t.Helper()
	who, rounds := s.hitAtAll()
	if rounds == 0 || !slices.Equal(who, s.treated) || len(s.spared) < 40 {
		s.t.Errorf("%d users were hit in %d rounds, want the %d of the treatment, and none of the %d of the control", len(who), rounds, len(s.treated), len(s.spared))
	}
}

// wantCounted checks what the experiment has counted: who came to the point, and what was injected.
func (s *shop) wantCounted(ended trial.State) {
	s.t.Helper()
	stock := outcome.Injection{Point: "stock", Kind: "error", Phase: "before", Calls: ended.Treatment.Injected}
	if !slices.Equal(ended.Injections, []outcome.Injection{stock}) || stock.Calls == 0 || stock.Calls > uint64(s.hitCalls()) || ended.Control.Injected > 0 {
		s.t.Errorf("injected %+v, of %d in the treatment and %d in the control; %d calls were hit", ended.Injections, ended.Treatment.Injected, ended.Control.Injected, s.hitCalls())
	}
	if b := ended.Baseline; b == nil || b.Treatment.Units != uint64(len(s.treated)) || b.Control.Units != uint64(len(s.spared)) {
		s.t.Errorf("the steady phase saw %+v, want %d and %d users", b, len(s.treated), len(s.spared))
	}
	// Once the fault is on the users are new. An experiment that ends at once does not wait for all.
	if n := ended.Treatment; n.Units != uint64(len(s.treated)) || n.Requests < n.Units || (n.BadUnits > 0) == s.fallback {
		s.t.Errorf("treatment %+v, want %d users", n, len(s.treated))
	}
	if n := ended.Control; n.Units > uint64(len(s.spared)) || n.Units < uint64(len(s.spared))/2 || n.Bad > 0 {
		s.t.Errorf("control %+v, want %d users", n, len(s.spared))
	}
}

// wantNotBlamed checks that the rollout at the edge knows nothing of the faults: requests that were
// hit, and no others, are left out of it.
func (s *shop) wantNotBlamed() {
	s.t.Helper()
	time.Sleep(10 * time.Second) // the rollout's next interval
	r := s.trial("new-banner").State
	if r.Phase != trial.PhaseRunning || r.Treatment.Bad+r.Control.Bad > 0 {
		s.t.Errorf("the rollout is %s with %+v and %+v: %s", r.Phase, r.Treatment, r.Control, r.Why)
	}
	excluded := s.edge.Status().Excluded
	if want := uint64(s.hitCalls()); excluded != want {
		s.t.Errorf("%d requests were left out of the rollout, want the %d that were hit", excluded, want)
	}
	if counted, want := r.Treatment.Requests+r.Control.Requests, uint64(customers*len(s.rounds))-excluded; counted != want {
		s.t.Errorf("the rollout has %d requests, want %d", counted, want)
	}
}

// A sequence that lets the first two calls of each request fail is survived by who tries three times.
func TestARetrySurvivesASequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, seatrial.WithPolicy("stock", resilience.Policy{Retry: &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond}}))
		ended := s.run(`{"point":"stock","rate":1,"sequence":[{"count":2,"fault":{"kind":"error","code":"UNAVAILABLE"}},{"count":1}]}`).State
		if ended.Result != trial.ResultSurvived || ended.Treatment.Bad > 0 || ended.Treatment.Injected != 2*ended.Treatment.Requests {
			t.Errorf("%s with %+v: %s", ended.Result, ended.Treatment, ended.Why)
		}
	})
}

// Some faults keep away the answer that would tell the edge of them: it gave up waiting, or the
// connection broke. What went wrong there must count all the same, or an experiment would be survived
// by those whom it did not hurt; and none of it is the rollout's fault.
func TestAnswersThatNeverComeCount(t *testing.T) {
	for name, program := range map[string]string{
		"too late": `{"point":"stock","rate":1,"faults":[{"kind":"latency","min":"3s","max":"3s"}]}`,
		"broken":   `{"point":"orders.http","rate":1,"faults":[{"kind":"reset"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t)
				s.patience, s.stubborn = time.Second, true
				ended := s.run(program).State
				if ended.Result != trial.ResultWeaknessFound || ended.Treatment.Units < 40 || ended.Control.Units < 40 || ended.Control.Bad > 0 {
					t.Errorf("%s with %+v and %+v: %s", ended.Result, ended.Treatment, ended.Control, ended.Why)
				}
				time.Sleep(10 * time.Second)
				if r := s.trial("new-banner").State; r.Phase != trial.PhaseRunning || r.Treatment.Bad+r.Control.Bad > 0 {
					t.Errorf("the rollout is %s with %+v and %+v: %s", r.Phase, r.Treatment, r.Control, r.Why)
				}
				if n := s.edge.Status().Excluded; n < ended.Treatment.Bad {
					t.Errorf("%d requests were left out of the rollout, of at least %d", n, ended.Treatment.Bad)
				}
			})
		})
	}
}

// Strangers at orders cannot make a fault hit them, whatever they write into the baggage: not with
// what they make up, nor with what came with somebody else's request and was changed.
func TestForgedDecisionsInjectNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.fallback = true
		s.start(down)
		s.visits(8, 5*time.Second, nil)
		genuine := func(who []string) string { return s.carried[who[0]] }
		flipped := strings.Replace(genuine(s.spared), "seatrial.fault=c", "seatrial.fault=t", 1)
		if !strings.HasPrefix(genuine(s.spared), "seatrial.fault=c") || !strings.HasPrefix(genuine(s.treated), "seatrial.fault=t") {
			t.Fatalf("carried %q and %q", genuine(s.spared), genuine(s.treated))
		}
		id := flipped[:len("seatrial.fault=t")+10] // of the experiment
		hit := func(baggage string) bool {
			before := s.hitCalls()
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://orders/stock?for=stranger", nil)
			req.Header.Set("Baggage", baggage)
			res, err := s.strangers.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return s.hitCalls() > before
		}
		for name, baggage := range map[string]string{
			"none": "", "no decision": "user=user-1", "a word": "seatrial.fault=treatment", "made up": "seatrial.fault=t" + strings.Repeat("A", 38),
			"of this experiment": id + strings.Repeat("A", 28), "the arm changed": flipped, "cut": genuine(s.treated)[:len("seatrial.fault=")+38],
		} {
			if hit(baggage) {
				t.Errorf("%s: %q hits a stranger", name, baggage)
			}
		}
		if !hit(genuine(s.treated)) {
			t.Error("a genuine decision hits nobody, so nothing was tried here")
		}
	})
}
