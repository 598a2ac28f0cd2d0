package stream_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/stream"
)

// rig is a hub behind a server in memory.
type rig struct {
	t      *testing.T
	hub    *stream.Hub
	log    *fakeLog
	server *http.Server
	client *http.Client
	sub    stream.Subscriber
}

func newRig(t *testing.T, config stream.Config) *rig {
	log := &fakeLog{window: 1 << 20, changed: make(chan struct{})}
	r := &rig{t: t, log: log, hub: stream.New(log, config), sub: stream.Subscriber{Owner: "key"}}
	l := memnet.Listen()
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := r.hub.Serve(w, req, r.sub); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})}
	go r.server.Serve(l)
	tr := &http.Transport{DialContext: l.Dial, DisableCompression: true}
	r.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		r.hub.Stop()
		tr.CloseIdleConnections()
		r.server.Close()
	})
	return r
}

func (r *rig) publish(history string, revisions ...int64) {
	for _, n := range revisions {
		r.log.publish(history, n, n-1)
	}
}

// event is one received event with what every payload has in common.
type event struct {
	name, id string
	History  string `json:"history"`
	Parent   int64  `json:"parent"`
	Revision int64  `json:"revision"`
	Hash     string `json:"hash"`
	RetryMS  *int64 `json:"retryMs"`
	Flags    []flag.Flag
}

func (e event) String() string {
	return fmt.Sprintf("%s %s", e.name, e.id)
}

// reader is one connected client.
type reader struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
}

func (r *rig) connect(lastEventID string) *reader {
	r.t.Helper()
	res := r.request(lastEventID)
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		r.t.Fatalf("status %d: %s", res.StatusCode, body)
	}
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		r.t.Fatalf("content type %q", got)
	}
	return &reader{t: r.t, body: res.Body, in: bufio.NewReaderSize(res.Body, 16)}
}

func (r *rig) request(lastEventID string) *http.Response {
	r.t.Helper()
	req, _ := http.NewRequestWithContext(r.t.Context(), "GET", "http://hub/", nil)
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { res.Body.Close() })
	return res
}

func (c *reader) next() (event, error) {
	var e event
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return e, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			return e, nil
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return e, fmt.Errorf("data %q: %w", value, err)
			}
		}
	}
}

func (c *reader) expect(want ...string) event {
	c.t.Helper()
	var e event
	for _, w := range want {
		var err error
		if e, err = c.next(); err != nil {
			c.t.Fatalf("waiting for %q: %v", w, err)
		}
		if e.String() != w {
			c.t.Fatalf("got event %q, want %q", e, w)
		}
	}
	return e
}

func TestSnapshotThenDeltasThenBookmarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 7)
		c := r.connect("")
		if e := c.expect("snapshot h:7"); e.Flags[0].Description != flagAt(7).Description || e.Hash != "hash-7" {
			t.Errorf("snapshot carries %+v", e)
		}
		r.publish("h", 8)
		if e := c.expect("delta h:8"); e.Parent != 7 || e.Flags[0].Description != flagAt(8).Description {
			t.Errorf("delta carries %+v", e)
		}
		start := time.Now()
		e := c.expect("bookmark h:8", "bookmark h:8", "bookmark h:8")
		if got := time.Since(start); got > 15*time.Second || got < 14*time.Second {
			t.Errorf("three bookmarks took %v", got)
		}
		if e.Hash != "hash-8" || e.Revision != 8 || e.History != "h" {
			t.Errorf("bookmark carries %+v", e)
		}
	})
}

func TestEveryRevisionOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 1)
		const clients, last = 20, 200
		done := make(chan error, clients)
		for range clients {
			c := r.connect("")
			go func() {
				at := int64(0)
				for at < last {
					e, err := c.next()
					switch {
					case err != nil:
						done <- err
						return
					case e.name == "bookmark" && e.Revision != at,
						e.name == "delta" && (e.Parent != at || e.Revision != at+1),
						e.name == "snapshot" && e.Revision <= at,
						e.name != "bookmark" && e.Flags[0].Description != flagAt(e.Revision).Description:
						done <- fmt.Errorf("at revision %d: %+v", at, e)
						return
					}
					at = e.Revision
				}
				done <- nil
			}()
		}
		for n := int64(2); n <= last; n++ {
			r.publish("h", n)
			if n%17 == 0 {
				time.Sleep(time.Second)
			}
		}
		for range clients {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestResume(t *testing.T) {
	for _, c := range []struct {
		name, lastID string
		window       int
		want         []string
	}{
		{name: "up to date", lastID: "h:5", want: []string{"bookmark h:5"}},
		{name: "in the window", lastID: "h:3", want: []string{"delta h:4", "delta h:5"}},
		{name: "oldest of the window", lastID: "h:1", want: []string{"delta h:2", "delta h:3", "delta h:4", "delta h:5"}},
		{name: "before the window", lastID: "h:2", window: 2, want: []string{"snapshot h:5"}},
		{name: "another history", lastID: "g:5", want: []string{"snapshot h:5"}},
		{name: "another history, higher", lastID: "g:9", want: []string{"snapshot h:5"}},
		{name: "nonsense", lastID: "one two three", want: []string{"snapshot h:5"}},
		{name: "negative", lastID: "h:-1", want: []string{"snapshot h:5"}},
		{name: "nothing", lastID: "", want: []string{"snapshot h:5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, stream.Config{})
				if c.window > 0 {
					r.log.window = c.window
				}
				r.publish("h", 1, 2, 3, 4, 5)
				conn := r.connect(c.lastID)
				conn.expect(c.want...)
				r.publish("h", 6)
				conn.expect("delta h:6")
			})
		})
	}
}

func TestNoLowerRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 5)
		c := r.connect("")
		c.expect("snapshot h:5")
		r.publish("h", 6)
		c.expect("delta h:6")
		if res := r.request("h:7"); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a client ahead of the server got %d", res.StatusCode)
		}
	})
}

func TestNewHistoryMeansSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("old", 50, 51)
		c := r.connect("old:51")
		c.expect("bookmark old:51")
		r.publish("new", 3) // lower number, another history
		c.expect("snapshot new:3")
		r.publish("new", 4)
		c.expect("delta new:4")
	})
}

func TestStateWithoutDeltaMeansSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 1, 2)
		c := r.connect("h:2")
		c.expect("bookmark h:2")
		r.log.publish("h", 9, -1)
		c.expect("snapshot h:9")
		r.connect("h:2").expect("snapshot h:9")
	})
}

func TestMergedDelta(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 1, 2)
		r.log.publish("h", 6, 2)
		r.publish("h", 7)
		r.connect("h:2").expect("delta h:6", "delta h:7")
		r.connect("h:6").expect("delta h:7")
		r.connect("h:4").expect("snapshot h:7") // inside the merged delta
	})
}

func TestSlowReaderSkipsToTheNewestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 1)
		c := r.connect("")
		c.expect("snapshot h:1")
		// It stops reading; what is on the way fills up and blocks, then thousands follow.
		const onTheWay, last = 100, 3000
		for n := int64(2); n <= last; n++ {
			r.publish("h", n)
			if n <= onTheWay {
				synctest.Wait()
			}
		}
		time.Sleep(4 * time.Second)
		events := 0
		for e := (event{}); e.Revision < last; events++ {
			var err error
			if e, err = c.next(); err != nil {
				t.Fatal(err)
			}
		}
		if events > onTheWay {
			t.Errorf("needed %d events to catch up with %d changes", events, last-1)
		}
		if s := r.hub.Stats(); s.Skipped == 0 || s.Slow != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestStuckReaderIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 1)
		r.connect("") // and never reads
		quick := r.connect("")
		quick.expect("snapshot h:1")
		r.publish("h", 2)
		quick.expect("delta h:2")
		go func() {
			for {
				if _, err := quick.next(); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Minute)
		if s := r.hub.Stats(); s.Streams != 1 || s.Slow != 1 {
			t.Errorf("after a minute: %+v", s)
		}
	})
}

func TestStopSaysGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		r.publish("h", 1)
		c := r.connect("")
		c.expect("snapshot h:1")
		stopped := make(chan error, 1)
		go func() {
			r.hub.Stop()
			stopped <- r.server.Shutdown(t.Context())
		}()
		e := c.expect("goaway ")
		if e.RetryMS == nil || *e.RetryMS < 100 || *e.RetryMS > 1100 {
			t.Errorf("goaway carries %+v", e)
		}
		if _, err := c.next(); err != io.EOF {
			t.Errorf("after goaway: %v", err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := r.hub.Serve(nil, httptest.NewRequest("GET", "/", nil), stream.Subscriber{}); control.CodeOf(err) != control.CodeUnavailable {
			t.Errorf("a stopped hub said %v", err)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{MaxStreams: 3, MaxPerOwner: 2})
		if res := r.request(""); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("before the first state: %d", res.StatusCode)
		}
		r.publish("h", 1)
		first := r.connect("")
		r.connect("")
		if res := r.request(""); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("third stream of one key: %d", res.StatusCode)
		}
		r.sub.Owner = "other"
		r.connect("")
		if res := r.request(""); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("fourth stream of the server: %d", res.StatusCode)
		}
		first.body.Close()
		synctest.Wait()
		r.connect("").expect("snapshot h:1")
		if s := r.hub.Stats(); s.Refused != 2 || s.Opened != 4 || s.Streams != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRevokedKeyLosesItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{})
		var revoked atomic.Bool
		r.sub.Valid = func() bool { return !revoked.Load() }
		r.publish("h", 1)
		c := r.connect("")
		c.expect("snapshot h:1", "bookmark h:1")
		revoked.Store(true)
		start := time.Now()
		c.expect("goaway ")
		if _, err := c.next(); err != io.EOF || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestStreamsDoNotLiveForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stream.Config{MaxAge: time.Hour})
		r.publish("h", 1)
		c := r.connect("")
		start := time.Now()
		for e, err := c.next(); e.name != "goaway"; e, err = c.next() {
			if err != nil {
				t.Fatal(err)
			}
		}
		if lived := time.Since(start); lived < 40*time.Minute || lived > 80*time.Minute {
			t.Errorf("lived for %v", lived)
		}
	})
}
