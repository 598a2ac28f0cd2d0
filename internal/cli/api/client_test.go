package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// serve gives a client of a server that answers by h.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(srv.URL+"/", "secret")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServerMustBeAURL(t *testing.T) {
	for _, server := range []string{"", "localhost:8420", "ftp://x", "http://", "::"} {
		if _, err := New(server, ""); err == nil {
			t.Errorf("%q is accepted", server)
		}
	}
}

func TestWritesCarryTheirConditions(t *testing.T) {
	var got *http.Request
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { got = r; fmt.Fprint(w, `{"key":"search"}`) })
	if _, err := c.PutFlag(t.Context(), flag.Flag{Key: "a/b"}, Write{IfMatch: `"7"`, DryRun: true, Reason: "why not"}); err != nil {
		t.Fatal(err)
	}
	if got.URL.EscapedPath() != "/api/v1/flags/a%2Fb" {
		t.Errorf("path %s", got.URL.EscapedPath())
	}
	for name, want := range map[string]string{"Authorization": "Bearer secret", "If-Match": `"7"`, "Content-Type": "application/json"} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if got.Header.Get("Idempotency-Key") == "" {
		t.Error("a write without an idempotency key")
	}
	if q := got.URL.Query(); q.Get("dryRun") != "true" || q.Get("reason") != "why not" {
		t.Errorf("query %v", q)
	}
	if _, _, err := c.Flag(t.Context(), "search"); err != nil || got.Header.Get("Idempotency-Key") != "" {
		t.Errorf("a read with an idempotency key, or %v", err)
	}
}

func TestListsReadEveryPage(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		at, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		next := ""
		if at < 2 {
			next = strconv.Itoa(at + 1)
		}
		fmt.Fprintf(w, `{"items":[{"key":"flag-%d"}],"nextCursor":%q}`, at, next)
	})
	flags, err := c.Flags(t.Context())
	if err != nil || len(flags) != 3 || flags[2].Key != "flag-2" {
		t.Errorf("got %v, %v", flags, err)
	}
}

// log serves changes 1 to last as the server does.
func log(last int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		after, _ := strconv.Atoi(q.Get("after"))
		before, _ := strconv.Atoi(q.Get("before"))
		limit, _ := strconv.Atoi(q.Get("limit"))
		items, next := []Change{}, ""
		switch {
		case strings.HasSuffix(r.URL.Path, "/history"):
			if before == 0 {
				before = last + 1
			}
			for n := before - 1; n > 0 && len(items) < limit; n-- {
				items = append(items, Change{Revision: int64(n)})
			}
		case q.Get("order") == "newest":
			if before, _ = strconv.Atoi(q.Get("cursor")); before == 0 {
				before = last + 1
			}
			for n := before - 1; n > after && len(items) < limit; n-- {
				kind := []string{"flag", "trial"}[n%2]
				items = append(items, Change{Revision: int64(n), Ops: []Op{{Kind: kind, Key: "x"}}})
			}
			if len(items) == limit {
				next = strconv.FormatInt(items[limit-1].Revision, 10)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items, "nextCursor": next})
	}
}

func TestChangesAreTheNewestFirst(t *testing.T) {
	for _, test := range []struct {
		name        string
		filter      ChangeFilter
		first, last int64
		n           int
	}{
		{"all", ChangeFilter{}, 2500, 1, 2500},
		{"some", ChangeFilter{Limit: 10}, 2500, 2491, 10},
		{"after", ChangeFilter{After: 2490}, 2500, 2491, 10},
		{"a kind", ChangeFilter{Kind: "trial", Limit: 2}, 2499, 2497, 2},
		{"a history", ChangeFilter{Kind: "flag", Key: "x", Limit: 1500}, 2500, 1001, 1500},
		{"a history after", ChangeFilter{Kind: "flag", Key: "x", After: 2000}, 2500, 2001, 500},
		{"a whole history", ChangeFilter{Kind: "flag", Key: "x"}, 2500, 1, 2500},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := serve(t, log(2500)).Changes(t.Context(), test.filter)
			if err != nil || len(got) != test.n {
				t.Fatalf("%d changes, %v, want %d", len(got), err, test.n)
			}
			if got[0].Revision != test.first || got[len(got)-1].Revision != test.last {
				t.Errorf("from %d to %d, want %d to %d", got[0].Revision, got[len(got)-1].Revision, test.first, test.last)
			}
		})
	}
}

func TestRefusalsKeepTheServersWords(t *testing.T) {
	for _, test := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"detail", `{"title":"Not found","detail":"there is no flag \"x\""}`, 404, `there is no flag "x"`},
		{"one field", `{"title":"Not valid","detail":"/key: is empty","errors":[{"pointer":"/key","detail":"is empty"}]}`, 400, "Not valid\n  /key: is empty"},
		{"many fields", `{"title":"Not valid","errors":[{"pointer":"/a","detail":"x"},{"pointer":"","detail":"y"}]}`, 400, "Not valid\n  /a: x\n  y"},
		{"no document", `<html>`, 502, "GET /api/v1/flags/x: 502 Bad Gateway"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			_, _, err := c.Flag(t.Context(), "x")
			var p *Problem
			if !errors.As(err, &p) || p.Status != test.status || err.Error() != test.want {
				t.Errorf("got %q, want %q with status %d", err, test.want, test.status)
			}
			if NotFound(err) != (test.status == 404) {
				t.Errorf("NotFound is %v", NotFound(err))
			}
		})
	}
}

func TestAnswersThatAreNotUnderstood(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"items":7}`) })
	if _, err := c.Flags(t.Context()); err == nil || !strings.Contains(err.Error(), "use the same version on both sides") {
		t.Errorf("error %v", err)
	}
}

func TestNoAnswer(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c, err := New(srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	var away *Unreachable
	if _, err := c.Flags(t.Context()); !errors.As(err, &away) {
		t.Errorf("error %v, want *Unreachable", err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := c.Flags(ctx); !errors.Is(err, cause) {
		t.Errorf("error %v, want the cause of the context", err)
	}
}

// The client and the routes of what is planned, restored and reported.
func TestWhatIsAskedOfTheServer(t *testing.T) {
	at := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, want string // method, path with query, body
		ask        func(*Client) error
	}{
		{"schedules", "GET /api/v1/schedules?flag=f&limit=1000&state=pending ", func(c *Client) error {
			_, err := c.Schedules(t.Context(), ScheduleFilter{Flag: "f", State: "pending"})
			return err
		}},
		{"a schedule", "GET /api/v1/schedules/abc ", func(c *Client) error { _, err := c.Schedule(t.Context(), "abc"); return err }},
		{"a new schedule", `POST /api/v1/schedules?reason=launch {"flag":"f","at":"2026-12-01T09:00:00Z","patch":{"enabled":true}}`, func(c *Client) error {
			_, err := c.CreateSchedule(t.Context(), NewSchedule{Flag: "f", At: at, Patch: []byte(`{"enabled":true}`)}, Write{Reason: "launch"})
			return err
		}},
		{"a cancelled schedule", "DELETE /api/v1/schedules/abc ", func(c *Client) error {
			_, err := c.CancelSchedule(t.Context(), "abc", Write{})
			return err
		}},
		{"a restored flag", `POST /api/v1/flags/a%2Fb/restore {"revision":7}`, func(c *Client) error {
			_, err := c.RestoreFlag(t.Context(), "a/b", 7, Write{})
			return err
		}},
		{"stale flags", "GET /api/v1/stale ", func(c *Client) error { _, err := c.StaleFlags(t.Context()); return err }},
		{"layers", "GET /api/v1/layers?limit=1000 ", func(c *Client) error { _, err := c.Layers(t.Context()); return err }},
		{"a batch", `POST /api/v1/apply?dryRun=true {"deleteLayers":["l"],"ifMatch":[{"kind":"layer","key":"l","revision":3}]}`, func(c *Client) error {
			_, err := c.Apply(t.Context(), Batch{DeleteLayers: []string{"l"}, IfMatch: []Condition{{"layer", "l", 3}}}, Write{DryRun: true})
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), body)
				fmt.Fprint(w, `{}`)
			})
			if err := test.ask(c); err != nil || got != test.want {
				t.Errorf("asked %q (%v), want %q", got, err, test.want)
			}
		})
	}
}
