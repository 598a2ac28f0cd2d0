package seatrial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// valueAt is a state whose integer flag "n" says its revision.
func valueAt(revision int64) flag.Set {
	return setAt(revision, newFlag("n", flag.KindConfig, flag.TypeInteger, "a", fmt.Sprint(revision)))
}

// wantRevision checks where the client is, and that it evaluates accordingly.
func wantRevision(t *testing.T, c *Client, want int64) {
	t.Helper()
	if got := c.Status().Revision; got != want || c.Int(t.Context(), "n", -1) != want {
		t.Errorf("at revision %d with value %d, want %d", got, c.Int(t.Context(), "n", -1), want)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		c := p.open()
		wantRevision(t, c, 1)
		for revision := int64(2); revision < 50; revision++ {
			p.publish(valueAt(revision))
			synctest.Wait()
			wantRevision(t, c, revision)
		}
		time.Sleep(time.Hour)
		s := c.Status()
		if s.State != StateReady || !s.Connected || s.Error != nil || s.Environment != "production" || s.History != "h1" {
			t.Errorf("status %+v", s)
		}
		if streams, snapshots := p.seen(); streams != 1 || snapshots != 0 {
			t.Errorf("%d streams and %d snapshots, want 1 and 0: a quiet hour needs no more", streams, snapshots)
		}
	})
}

// Each event meets a client at revision 5 of a plane that is at revision 9.
func TestEvents(t *testing.T) {
	at := func(change func(*flag.Delta)) string {
		d := valueAt(5).Diff(valueAt(6))
		change(&d)
		return sse("delta", d)
	}
	marked := func(change func(*mark)) string {
		s := valueAt(5)
		m := markOf(&s)
		change(&m)
		return sse("bookmark", m)
	}
	other := func(change func(*flag.Set)) string {
		s := valueAt(7)
		change(&s)
		return sse("snapshot", s)
	}
	tests := map[string]struct {
		event     string
		revision  int64 // of the client soon after
		snapshots int   // fetched
		reconnect bool  // the stream ends
	}{
		"delta":                            {event: at(func(*flag.Delta) {}), revision: 6},
		"delta, seen":                      {event: at(func(d *flag.Delta) { d.Parent, d.Revision, d.Hash = 4, 5, "hash-5" }), revision: 5},
		"delta, old":                       {event: at(func(d *flag.Delta) { d.Parent, d.Revision = 2, 3 }), revision: 5},
		"delta, same revision, other":      {event: at(func(d *flag.Delta) { d.Parent, d.Revision, d.Hash = 4, 5, "x" }), revision: 9, snapshots: 1},
		"delta, gap":                       {event: at(func(d *flag.Delta) { d.Parent, d.Revision = 7, 8 }), revision: 9, snapshots: 1},
		"delta, other history":             {event: at(func(d *flag.Delta) { d.History = "h2" }), revision: 9, snapshots: 1},
		"delta, earlier epoch":             {event: at(func(d *flag.Delta) { d.Epoch = 0 }), revision: 9, snapshots: 1},
		"delta, cannot be used":            {event: at(func(d *flag.Delta) { d.Flags[0].Type = "no type" }), revision: 9, snapshots: 1},
		"delta, malformed":                 {event: "event: delta\ndata: {\n\n", revision: 9, reconnect: true},
		"snapshot":                         {event: other(func(*flag.Set) {}), revision: 7},
		"snapshot, older":                  {event: other(func(s *flag.Set) { s.Revision = 4 }), revision: 5},
		"snapshot, malformed":              {event: "event: snapshot\ndata: x\n\n", revision: 9, reconnect: true},
		"bookmark":                         {event: marked(func(*mark) {}), revision: 5},
		"bookmark, server ahead":           {event: marked(func(m *mark) { m.Revision, m.Hash = 9, "hash-9" }), revision: 9, snapshots: 1},
		"bookmark, server behind":          {event: marked(func(m *mark) { m.Revision, m.Hash = 4, "hash-4" }), revision: 5},
		"bookmark, contradiction":          {event: marked(func(m *mark) { m.Hash = "x" }), revision: 9, snapshots: 1},
		"bookmark, contradiction, deposed": {event: marked(func(m *mark) { m.Hash, m.Epoch = "x", 0 }), revision: 5},
		"bookmark, malformed":              {event: "event: bookmark\ndata: []\n\n", revision: 9, reconnect: true},
		"goaway":                           {event: "event: goaway\ndata: {\"retryMs\":0}\n\n", revision: 9, reconnect: true},
		"goaway without a time":            {event: "event: goaway\ndata: ?\n\n", revision: 9, reconnect: true},
		"unknown event":                    {event: "event: news\ndata: ?\n\n", revision: 5},
		"comment and field":                {event: ": hello\nretry: 5\nwhat: ever\n\n", revision: 5},
		"too large":                        {event: "data: " + strings.Repeat("x", maxEvent) + "\n\n", revision: 9, snapshots: 1, reconnect: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, valueAt(5))
				c := p.open()
				p.change(valueAt(9))
				p.send(test.event)
				time.Sleep(3 * time.Second) // the first bookmark comes after 5 s
				wantRevision(t, c, test.revision)
				streams, snapshots := p.seen()
				if snapshots != test.snapshots || (streams > 1) != test.reconnect {
					t.Errorf("%d streams and %d snapshots; want a new stream: %v, snapshots: %d", streams, snapshots, test.reconnect, test.snapshots)
				}
				if test.reconnect && !strings.HasPrefix(p.positions[1], "h1:") {
					t.Errorf("resumed from %q", p.positions[1])
				}
				time.Sleep(10 * time.Second) // by a bookmark at the latest
				wantRevision(t, c, 9)
			})
		})
	}
}

// A snapshot may take longer than the stream may be silent.
func TestSlowSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		p.slow = 25 * time.Second
		c := p.open()
		p.change(valueAt(2)) // the next bookmark tells, in 5 s
		time.Sleep(31 * time.Second)
		wantRevision(t, c, 2)
		if streams, _ := p.seen(); streams != 1 {
			t.Errorf("%d streams, want the one", streams)
		}
	})
}

func TestHistoryChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(100))
		c := p.open()
		restored := valueAt(3)
		restored.History, restored.Hash = "h2", "restored"
		waited := make(chan error, 1)
		go func() { waited <- c.WaitRevision(t.Context(), 101) }()
		synctest.Wait()
		p.change(restored)
		p.send(sse("snapshot", restored))
		if err := <-waited; err != nil {
			t.Error(err)
		}
		wantRevision(t, c, 3)
		if s := c.Status(); s.History != "h2" || s.State != StateReady {
			t.Errorf("status %+v", s)
		}
	})
}

// A snapshot that cannot be used changes nothing, and keeps neither faults nor freshness alive.
func TestUnusableState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		c := p.open()
		broken := valueAt(2)
		broken.Flags[0].Type = "no type"
		p.publish(broken)
		time.Sleep(2 * time.Minute)
		wantRevision(t, c, 1)
		s := c.Status()
		if s.State != StateStale || s.Error == nil || !strings.Contains(s.Error.Error(), "cannot be used") {
			t.Errorf("status %+v", s)
		}
		if _, snapshots := p.seen(); snapshots > 15 {
			t.Errorf("%d snapshots were fetched in two minutes", snapshots)
		}
		p.publish(valueAt(3))
		time.Sleep(time.Minute)
		wantRevision(t, c, 3)
		if s := c.Status(); s.State != StateReady || s.Error != nil {
			t.Errorf("status %+v", s)
		}
	})
}

func TestServerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		c := p.open()
		p.fail(http.StatusServiceUnavailable)
		time.Sleep(30 * time.Second)
		if s := c.Status(); s.State != StateReady || s.Connected {
			t.Errorf("after 30 s: %+v", s)
		}
		time.Sleep(24 * time.Hour)
		s := c.Status()
		if s.State != StateStale || s.Connected || s.Error == nil {
			t.Errorf("after a day: %+v", s)
		}
		wantRevision(t, c, 1)
		if streams, _ := p.seen(); streams > 24*60*4 {
			t.Errorf("%d attempts in a day", streams)
		}
		p.change(valueAt(2))
		p.fail(0)
		time.Sleep(2 * time.Minute)
		wantRevision(t, c, 2)
		if s := c.Status(); s.State != StateReady || s.Error != nil {
			t.Errorf("when it is back: %+v", s)
		}
	})
}

func TestRefused(t *testing.T) {
	tests := map[string]struct {
		status int
		retry  string
		most   int // streams in an hour
		want   string
	}{
		"unknown key": {status: 401, most: 13, want: "the SDK key is refused: the server does not know it"},
		"wrong kind":  {status: 403, most: 13, want: "issue one of kind sdk"},
		"retry after": {status: 503, retry: "240", most: 16, want: "503"},
		"too many":    {status: 429, most: 200, want: "429"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, valueAt(1))
				p.status, p.retry = test.status, test.retry
				c := p.open(WithWait(0))
				time.Sleep(time.Hour)
				streams, _ := p.seen()
				if streams > test.most || streams < 5 {
					t.Errorf("%d streams in an hour, want at most %d", streams, test.most)
				}
				if s := c.Status(); s.State != StateNotReady || !strings.Contains(fmt.Sprint(s.Error), test.want) {
					t.Errorf("status %+v, want error %q", s, test.want)
				}
			})
		})
	}
}

// A network that swallows streams: polling keeps the client up to date, and the stream is given
// up and tried again.
func TestPollWhileSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		p.setSilent(true)
		c := p.open(WithWait(2 * time.Minute))
		wantRevision(t, c, 1)
		p.change(valueAt(2))
		time.Sleep(time.Minute)
		wantRevision(t, c, 2)
		if s := c.Status(); s.State != StateReady {
			t.Errorf("status %+v", s)
		}
		time.Sleep(time.Hour)
		streams, snapshots := p.seen()
		if streams < 30 || snapshots != 2 {
			t.Errorf("%d streams, %d snapshots: want the stream tried again, and a snapshot only when it changed", streams, snapshots)
		}
	})
}

func TestWaitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		p.status = http.StatusUnauthorized
		began := time.Now()
		_, err := Open(t.Context(), WithServer("http://plane"), WithKey("key"), WithHTTPClient(&http.Client{Transport: p.transport}), WithWait(10*time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "SDK key") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// Close ends every goroutine at once, wherever the client is; else the bubble would not end.
func TestCloseEndsAll(t *testing.T) {
	situations := map[string]func(p *plane){
		"streaming": func(*plane) {},
		"silent":    func(p *plane) { p.setSilent(true) },
		"refused":   func(p *plane) { p.fail(http.StatusForbidden) },
		"gone":      func(p *plane) { _ = p.listener.Close(); p.fail(http.StatusServiceUnavailable) },
	}
	for name, situation := range situations {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlane(t, valueAt(1))
				c := p.open(WithFile(t.TempDir() + "/lkg.json"))
				situation(p)
				time.Sleep(90 * time.Second)
				began := time.Now()
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("took %v", took)
				}
				ended := make(chan struct{})
				go func() { c.running.Wait(); close(ended) }()
				synctest.Wait()
				select {
				case <-ended:
				default:
					t.Error("goroutines of the client are left")
				}
			})
		})
	}
}

func TestEventReader(t *testing.T) {
	const bom = "\ufeff"
	tests := map[string]struct {
		in   string
		want []string // name:id:data
	}{
		"empty":              {"", nil},
		"plain":              {"data: a\n\n", []string{"message::a"}},
		"name and id":        {"event: e\nid: 5\ndata: a\n\n", []string{"e:5:a"}},
		"no space":           {"event:e\ndata:a\n\n", []string{"e::a"}},
		"two spaces":         {"data:  a\n\n", []string{"message:: a"}},
		"several lines":      {"data: a\ndata: b\ndata\n\n", []string{"message::a\nb\n"}},
		"CR":                 {"data: a\r\rdata: b\r\r", []string{"message::a", "message::b"}},
		"CRLF":               {"data: a\r\n\r\ndata: b\r\n\r\n", []string{"message::a", "message::b"}},
		"comment":            {": x\n\n:\n\ndata: a\n\n", []string{"message::a"}},
		"without data":       {"event: e\nid: 5\n\ndata: a\n\n", []string{"message::a"}},
		"cut off":            {"data: a\n\ndata: b\n", []string{"message::a"}},
		"byte order mark":    {bom + "data: a\n\n", []string{"message::a"}},
		"mark not at start":  {"data: a\n\n" + bom + "data: b\n\n", []string{"message::a"}},
		"empty data":         {"data\n\n", []string{"message::"}},
		"data with colon":    {"data: a:b\n\n", []string{"message::a:b"}},
		"unknown field":      {"retry: 1\ndata: a\n\n", []string{"message::a"}},
		"field is a prefix":  {"dat: a\ndatax: b\n\ndata: c\n\n", []string{"message::c"}},
		"blank lines before": {"\n\n\ndata: a\n\n", []string{"message::a"}},
	}
	for name, test := range tests {
		r := newEventReader(strings.NewReader(test.in), 100)
		var got []string
		for {
			e, err := r.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
			got = append(got, fmt.Sprintf("%s:%s:%s", e.name, e.id, e.data))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if _, err := newEventReader(strings.NewReader("data: "+strings.Repeat("x", 200)), 100).next(); !errors.Is(err, errEventTooLarge) {
		t.Errorf("one long line: %v", err)
	}
	if _, err := newEventReader(strings.NewReader(strings.Repeat("data: xxxxx\n", 50)), 100).next(); !errors.Is(err, errEventTooLarge) {
		t.Errorf("many lines: %v", err)
	}
}

func FuzzEventReader(f *testing.F) {
	f.Add("event: e\r\nid: 1\r\ndata: a\r\ndata: b\r\n\r\n")
	f.Add("\ufeff: c\rdata\r\r")
	f.Fuzz(func(t *testing.T, in string) {
		const limit = 64
		r := newEventReader(strings.NewReader(in), limit)
		for {
			e, err := r.next()
			if err != nil {
				return
			}
			if len(e.data) > limit || strings.ContainsAny(e.name, "\r\n") || strings.Contains(string(e.data), "\r") {
				t.Fatalf("event %+v of %q", e, in)
			}
		}
	})
}

// headers notes one header of every request.
type headers struct {
	http.RoundTripper
	name string
	mu   sync.Mutex
	seen map[string]int
}

func (h *headers) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.seen[r.Header.Get(h.name)]++
	h.mu.Unlock()
	return h.RoundTripper.RoundTrip(r)
}

// Every request says which environment it is for.
func TestWithEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, setAt(1))
		noted := &headers{RoundTripper: p.transport, name: "Seatrial-Environment", seen: map[string]int{}}
		c := p.open(WithEnvironment("staging"), WithHTTPClient(&http.Client{Transport: noted}))
		_ = c.Close(context.Background())
		if len(noted.seen) != 1 || noted.seen["staging"] == 0 {
			t.Errorf("environments asked for: %v", noted.seen)
		}
	})
}

// Who waits for a revision or for a flush does not wait for ever when the client is closed meanwhile.
func TestCloseEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		p.judge = func(int) (int, string) { return http.StatusServiceUnavailable, "" }
		c := p.open(WithFlushInterval(5 * time.Minute))
		work(t, c, 1)
		waited := make(chan error, 2)
		go func() { waited <- c.WaitRevision(noContext, 2) }()
		go func() { waited <- c.Flush(noContext) }()
		synctest.Wait()
		began := time.Now()
		_ = c.Close(noContext)
		for range 2 {
			if err := <-waited; err == nil {
				t.Error("came to nothing, and says nothing")
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// otherTransport is what applications put in the place of http.DefaultTransport, to trace it.
type otherTransport struct{ http.RoundTripper }

func TestOpenWithAnotherDefaultTransport(t *testing.T) {
	was := http.DefaultTransport
	defer func() { http.DefaultTransport = was }()
	http.DefaultTransport = otherTransport{was}
	c, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
}

// A snapshot that is under way when the client is closed is no trouble that anybody should hear of.
func TestCloseDuringASnapshotIsNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, valueAt(1))
		p.slow = 20 * time.Second
		c := p.open()
		p.change(valueAt(2))
		time.Sleep(7 * time.Second) // the next bookmark has told
		if err := c.Close(t.Context()); err != nil || c.Status().Error != nil {
			t.Errorf("%v; status %+v", err, c.Status())
		}
		time.Sleep(p.slow)
	})
}
