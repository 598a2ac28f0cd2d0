package load

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/examples/shop"
)

func TestOnlyThisMachine(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  Config
		want string // in the error; empty: none
	}{
		{"loopback", Config{URL: "http://127.0.0.1:8080"}, ""},
		{"name of loopback", Config{URL: "http://localhost:8080"}, ""},
		{"IPv6 loopback", Config{URL: "http://[::1]:8080"}, ""},
		{"elsewhere", Config{URL: "http://10.0.0.1"}, "only http on a loopback address"},
		{"name elsewhere", Config{URL: "http://shop.example.com"}, "only http on a loopback address"},
		{"no URL", Config{}, "only http on a loopback address"},
		{"too many users", Config{URL: "http://127.0.0.1", Users: 2_000_000}, "choose 1 to 1,000,000"},
		{"rate below 0", Config{URL: "http://127.0.0.1", Rate: -1}, "above 0"},
		{"too many at once", Config{URL: "http://127.0.0.1", Concurrency: 20_000}, "choose 1 to 10,000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.cfg)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

// answers is a shop: it takes some time for each checkout.
type answers struct {
	takes  time.Duration
	status int
	err    error

	mu    sync.Mutex
	users map[string]bool
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	var c shop.Checkout
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.users[c.User] = true
	a.mu.Unlock()
	timer := time.NewTimer(a.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: a.status, Body: http.NoBody, Request: r}, a.err
}

func TestLoadIsAnOpenLoop(t *testing.T) {
	for _, test := range []struct {
		name string
		shop *answers
		want Stats // of 10 s at 200 a second, 128 at once
	}{
		{"fast shop", &answers{takes: 10 * time.Millisecond, status: 201}, Stats{OK: 1_998}},
		{"failing shop", &answers{takes: 10 * time.Millisecond, status: 503}, Stats{Failed: 1_998}},
		{"unreachable shop", &answers{takes: 10 * time.Millisecond, err: errors.New("refused")}, Stats{Failed: 1_998}},
		// 128 slots of a second each: the rest is shed, and those at the end are cut off.
		{"slow shop", &answers{takes: time.Second, status: 201}, Stats{OK: 9 * 128, Shed: 2_000 - 1_280}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.shop.users = map[string]bool{}
				g, err := New(Config{URL: "http://127.0.0.1:1"})
				if err != nil {
					t.Fatal(err)
				}
				g.client = &http.Client{Transport: test.shop}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second-time.Millisecond)
				defer cancel()
				if err := g.Run(ctx); err != nil {
					t.Fatal(err)
				}
				if got := g.Stats(); got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
				if n := len(test.shop.users); test.want.Shed == 0 && n < 1_000 {
					t.Errorf("2,000 checkouts came from %d users, want most of the 2,000", n)
				}
			})
		})
	}
}

func TestUsers(t *testing.T) {
	users := Users(1, 2_000)
	if !reflect.DeepEqual(users, Users(1, 2_000)) {
		t.Error("the same seed gives other users")
	}
	ids := map[string]bool{}
	members := map[string]int{}
	for _, u := range users {
		ids[u.ID] = true
		for _, g := range u.Groups {
			members[g]++
		}
	}
	for _, u := range Users(2, 2_000) {
		if ids[u.ID] {
			t.Fatalf("%s is there for two seeds", u.ID)
		}
	}
	if len(ids) != 2_000 || !inRange(members["beta-testers"], 150, 250) || !inRange(members["internal-users"], 20, 60) {
		t.Errorf("%d users, groups %v; want 2,000, about 200 beta testers and 40 internal users", len(ids), members)
	}
}

func inRange(n, low, high int) bool { return n >= low && n <= high }

func TestCheckoutsAreOrders(t *testing.T) {
	known := map[string]bool{}
	for _, p := range shop.Catalogue() {
		known[p.ID] = true
	}
	c := newCheckouts(1, Users(1, 50))
	sizes := map[int]int{}
	for range 1_000 {
		order := c.next()
		sizes[len(order.Items)]++
		if order.User == "" || slices.ContainsFunc(order.Items, func(i shop.Item) bool { return !known[i.ID] || i.Quantity < 1 || i.Quantity > 3 }) {
			t.Fatalf("%+v is no order that the shop could take", order)
		}
	}
	if len(sizes) != 3 {
		t.Errorf("baskets have sizes %v, want 1, 2 and 3", sizes)
	}
}
