package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/resilience"
)

// twoFlushes is the longest that two flushes of a client take which flushes every 5 s, give or take
// a tenth.
const twoFlushes = 11 * time.Second

// protected is a server with a client whose calls to a dependency are protected by a breaker.
type protected struct {
	t      *testing.T
	http   *http.Client
	token  string
	client *seatrial.Client
}

func newProtected(t *testing.T) *protected {
	t.Helper()
	network := memnet.Listen()
	server, err := app.Start(t.Context(), app.Config{Listener: network, DataDir: sqlite.Memory, Environment: "production", Bootstrap: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: network.Dial}
	p := &protected{t: t, http: &http.Client{Transport: transport}}
	p.token = newToken(t, server, control.NewToken{Name: "test", Kind: control.TokenAPI, Role: control.RoleViewer})
	p.client, err = seatrial.Open(t.Context(), seatrial.WithServer(loopURL), seatrial.WithHTTPClient(p.http), seatrial.WithService("checkout"),
		seatrial.WithKey(newToken(t, server, control.NewToken{Name: "checkout", Kind: control.TokenSDK})), seatrial.WithWait(time.Minute),
		seatrial.WithFlushInterval(5*time.Second), seatrial.WithFaults(fault.Caps{}),
		seatrial.WithPolicy("payment", resilience.Policy{Breaker: &resilience.BreakerPolicy{ConsecutiveFailures: 5, OpenFor: time.Minute}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(p.client.Close(ctx), server.Close(ctx)); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	return p
}

// get reads the items of a list.
func get[T any](p *protected, path string) []T {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), "GET", loopURL+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var page struct{ Items []T }
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s: %s, %v", path, res.Status, err)
	}
	return page.Items
}

type (
	dependency struct {
		Name, Service, State string
		Instances, Gone      int
		Since                time.Time
		Totals, PerMinute    struct{ Failure, RefusedOpen, Opened float64 }
	}
	point struct {
		Name, Faults string
		LastTraffic  time.Time
	}
	transition struct{ Dependency, Service, From, To string }
)

// A dependency fails, its breaker opens and closes again, and the server knows within two flushes.
func TestTheFleetIsKnownWithinTwoFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProtected(t)
		payment := p.client.Dependency("payment")
		call := func(err error) { _ = payment.Do(context.Background(), func(context.Context) error { return err }) }
		p.client.Dependency("idle")
		time.Sleep(twoFlushes)
		if all := get[dependency](p, "/api/v1/dependencies"); len(all) != 2 || all[1].Name != "payment" || all[1].Service != "checkout" || all[1].State != "closed" || all[1].Instances != 1 {
			t.Fatalf("before any call: %+v", all)
		}
		if points := get[point](p, "/api/v1/points"); len(points) != 2 || !points[1].LastTraffic.IsZero() || points[1].Faults != "allowed" {
			t.Errorf("before any call: %+v", points)
		}

		began := time.Now()
		for range 8 {
			call(errors.New("no capacity"))
		}
		time.Sleep(twoFlushes)
		open := get[dependency](p, "/api/v1/dependencies?service=checkout")[1]
		if open.State != "open" || open.Since.Before(began) || open.Totals.Failure != 5 || open.Totals.RefusedOpen != 3 || open.Totals.Opened != 1 || open.PerMinute.RefusedOpen != 3 {
			t.Errorf("5 calls failed, 3 were refused: %+v", open)
		}
		points := get[point](p, "/api/v1/points")
		if len(points) != 2 || points[0].Name != "idle" || !points[0].LastTraffic.IsZero() || points[1].LastTraffic.Before(began) {
			t.Errorf("traffic from %s on: %+v", began, points)
		}

		time.Sleep(time.Minute) // until the breaker tries again
		call(nil)
		time.Sleep(twoFlushes)
		if closed := get[dependency](p, "/api/v1/dependencies")[1]; closed.State != "closed" {
			t.Errorf("it works again: %+v", closed)
		}
		history := get[transition](p, "/api/v1/transitions?dependency=payment")
		if len(history) < 2 || history[0] != (transition{"payment", "checkout", "closed", "open"}) || history[len(history)-1].To != "closed" {
			t.Errorf("changes: %+v", history)
		}
		for i := range history[1:] {
			if history[i+1].From != history[i].To {
				t.Errorf("change %d does not begin where the one before ended: %+v", i+1, history)
			}
		}

		time.Sleep(10 * time.Minute) // in peace: it is heard of each minute
		if still := get[dependency](p, "/api/v1/dependencies")[1]; still.Instances != 1 || still.Gone != 0 {
			t.Errorf("a process without news: %+v", still)
		}
		if err := p.client.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if gone := get[dependency](p, "/api/v1/dependencies")[1]; gone.Instances != 0 || gone.Gone != 1 {
			t.Errorf("3 minutes after its end: %+v", gone)
		}
	})
}
