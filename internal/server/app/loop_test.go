package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// TestDayOfARollout runs the whole loop for a day and a half of fake time: server, store, controller, change stream, client and
// OTLP, over a network in memory. Nothing in it is a stand-in but the network and the clock.
func TestDayOfARollout(t *testing.T) {
	for _, test := range []struct {
		name      string
		treatment float64 // share of the treatment's requests that fail; the control's is 1 %
		want      trial.Result
	}{ // clearly, so that it does not hang on when the client reports
		{name: "harmless", treatment: 0.004, want: trial.ResultPromoted},
		{name: "harmful", treatment: 0.06, want: trial.ResultRolledBack},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLoop(t)
				l.must("POST", "/api/v1/flags", `{"key":"search","kind":"release","type":"boolean","enabled":true,
					"variants":[{"name":"on","value":true},{"name":"off","value":false}],"defaultVariant":"off"}`, nil)
				started := time.Now()
				l.must("POST", "/api/v1/trials", `{"name":"new-search","goal":"promote","flag":"search","treatment":"on","control":"off",
					"interval":"10m","watch":"5h","deadline":"36h","steps":[
						{"share":5000,"minTime":"4h","minUnits":100},
						{"share":25000,"minTime":"6h","minUnits":100},
						{"share":50000,"minTime":"8h","minUnits":100,"requireSafe":true}],
					"guardrails":[{"name":"errors","metric":"errors","mode":"enforce","relative":0.5,"absolute":0.01,"unit":"unit"}]}`, nil)
				l.traffic(test.treatment, 36*time.Hour)
				ended := l.trial("new-search")
				if ended.State.Result != test.want {
					t.Fatalf("the rollout ended %q in phase %s at step %d: %s", ended.State.Result, ended.State.Phase, ended.State.Step+1, ended.State.Why)
				}
				if took := ended.State.EndedAt.Sub(started); test.want == trial.ResultPromoted && took < 23*time.Hour {
					t.Errorf("it was promoted after %s; its steps and its watch take 23 h, and up to an interval more each", took)
				}
				l.everybodyGets(test.want == trial.ResultPromoted)
			})
		})
	}
}

// loop is a server and a client on one network in memory.
type loop struct {
	t      *testing.T
	client *seatrial.Client
	http   *http.Client
	token  string
}

const loopURL = "http://127.0.0.1:8420"

func newLoop(t *testing.T, options ...func(*app.Config)) *loop {
	t.Helper()
	l, _ := newLoopWith(t, options...)
	return l
}

// newLoopWith is newLoop that gives the server, too.
func newLoopWith(t *testing.T, options ...func(*app.Config)) (*loop, *app.Server) {
	t.Helper()
	network := memnet.Listen()
	cfg := app.Config{Listener: network, DataDir: sqlite.Memory, Environment: "production", Bootstrap: io.Discard}
	for _, option := range options {
		option(&cfg)
	}
	server, err := app.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: network.Dial}
	l := &loop{t: t, http: &http.Client{Transport: transport}}
	l.token = newToken(t, server, control.NewToken{Name: "test", Kind: control.TokenAPI, Role: control.RoleEditor})
	l.client, err = seatrial.Open(t.Context(),
		seatrial.WithServer(loopURL), seatrial.WithHTTPClient(l.http), seatrial.WithService("search"),
		seatrial.WithKey(newToken(t, server, control.NewToken{Name: "search", Kind: control.TokenSDK})),
		seatrial.WithFlushInterval(5*time.Minute), seatrial.WithWait(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(l.client.Close(ctx), server.Close(ctx)); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	return l, server
}

func newToken(t testing.TB, server *app.Server, want control.NewToken) string {
	t.Helper()
	secret, err := server.CreateToken(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// traffic is 200 requests every 5 minutes, of 20 000 users.
func (l *loop) traffic(treatmentFails float64, span time.Duration) {
	random := rand.New(rand.NewPCG(1, 2))
	for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(5 * time.Minute) {
		for range 200 {
			fails := 0.01
			ctx, work := l.client.Begin(context.Background())
			ctx = seatrial.WithContext(ctx, seatrial.NewContext("user-"+strconv.Itoa(random.IntN(20_000))))
			if l.client.Bool(ctx, "search", false) {
				fails = treatmentFails
			}
			var err error
			if random.Float64() < fails {
				err = errors.New("no result")
			}
			work.End(err)
		}
	}
}

func (l *loop) everybodyGets(want bool) {
	l.t.Helper()
	for i := range 100 {
		ctx := seatrial.WithContext(context.Background(), seatrial.NewContext("user-"+strconv.Itoa(i)))
		if got := l.client.Bool(ctx, "search", !want); got != want {
			l.t.Fatalf("user-%d gets %v after the rollout, want %v", i, got, want)
		}
	}
}

func (l *loop) trial(name string) (entry control.TrialEntry) {
	l.t.Helper()
	l.must("GET", "/api/v1/trials/"+name, "", &entry)
	return entry
}

func (l *loop) must(method, path, body string, into any) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, loopURL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("%s%s%x", method, path, sha256.Sum256([]byte(body))))
	res, err := l.http.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		l.t.Fatalf("%s %s: %s: %s (%v)", method, path, res.Status, data, err)
	}
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			l.t.Fatal(err)
		}
	}
}
