package ofrep

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/control"
)

// wire serves the rig on a network in memory.
type wire struct {
	*rig
	server *http.Server
	client *http.Client
}

func newWire(t *testing.T, change ...func(*Config)) *wire {
	r := newRig(t, change...)
	l := memnet.Listen()
	w := &wire{rig: r, server: &http.Server{Handler: r.server}}
	go w.server.Serve(l)
	tr := &http.Transport{DialContext: l.Dial, DisableCompression: true}
	w.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		r.server.Stop()
		tr.CloseIdleConnections()
		w.server.Close()
	})
	return w
}

// listener is one connected client.
type listener struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
}

// get asks for a stream.
func (w *wire) get(path string, headers ...string) *http.Response {
	w.t.Helper()
	req := w.request("GET", path, "", headers...)
	req.URL.Scheme, req.URL.Host, req.RequestURI = "http", "server", ""
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	return res
}

func (w *wire) listen(path string, headers ...string) *listener {
	w.t.Helper()
	res := w.get(path, headers...)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		body, _ := io.ReadAll(res.Body)
		w.t.Fatalf("%d %s", res.StatusCode, body)
	}
	return &listener{w.t.(*testing.T), res.Body, bufio.NewReaderSize(res.Body, 16)}
}

// block reads up to the next empty line; "" is the end.
func (l *listener) block() string {
	var b strings.Builder
	for {
		line, err := l.in.ReadString('\n')
		if err != nil {
			return ""
		}
		if line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

// refetch reads an event that says to ask again, and gives its position.
func (l *listener) refetch() string {
	l.t.Helper()
	block := l.block()
	var event struct {
		Type, Etag   string
		LastModified int64
	}
	fields := map[string]string{}
	for line := range strings.Lines(block) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		fields[name] = value
	}
	if err := json.Unmarshal([]byte(fields["data"]), &event); err != nil {
		l.t.Fatalf("%v in %q", err, block)
	}
	if fields["event"] != "message" || fields["id"] != event.Etag || event.Type != "refetchEvaluation" || event.Etag == "" {
		l.t.Fatalf("event %q", block)
	}
	if age := time.Now().Unix() - event.LastModified; age < 0 || age > 3600 {
		l.t.Fatalf("modified %d s ago: %q", age, block)
	}
	return event.Etag
}

func (r *rig) position() string { return positionOf(r.main().Head()) }

func TestStreamTellsOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.put(boolean("f"))
		w.post(pathFlags, ``).want(200)
		time.Sleep(time.Minute)
		l := w.listen(pathStream)
		if got := l.block(); got != "id: "+w.position()+"\n" {
			t.Fatalf("began with %q", got)
		}
		for i := range 3 {
			w.put(boolean("f", func(f *flag.Flag) { f.Description = fmt.Sprint(i) }))
			if got := l.refetch(); got != w.position() {
				t.Fatalf("told of %s at %s", got, w.position())
			}
		}
	})
}

func TestStreamIsSilentAboutWhatNobodySees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.post(pathFlags, ``).want(200)
		time.Sleep(time.Minute)
		l := w.listen(pathStream)
		l.block()
		w.token("more", control.NewToken{Kind: control.TokenSDK})
		start := time.Now()
		if got := l.block(); got != ":\n" || time.Since(start) < 15*time.Second || time.Since(start) > 20*time.Second {
			t.Errorf("after %s came %q, a sign of life is due every 15 to 20 s", time.Since(start), got)
		}
		w.put(boolean("f"))
		l.refetch()
	})
}

func TestStreamResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.put(boolean("f"))
		before := w.position()
		w.put(boolean("g"))
		seen := w.position()
		w.token("more", control.NewToken{Kind: control.TokenSDK}) // moves the log, and nothing else
		history, revision, _ := parsePosition(seen)
		w.post(pathFlags, ``).want(200)
		time.Sleep(time.Minute)
		for _, c := range []struct {
			name, lastID string
			behind       bool
		}{
			{name: "behind", lastID: before, behind: true},
			{name: "of another history", lastID: "other:99", behind: true},
			{name: "newest change", lastID: w.position()},
			{name: "ahead of this replica", lastID: fmt.Sprintf("%s:%d", history, revision+50)},
			{name: "nonsense", lastID: "x"},
			{name: "none"},
		} {
			l := w.listen(pathStream, "Last-Event-ID: "+c.lastID)
			if c.behind {
				l.refetch()
			} else if got := l.block(); !strings.HasPrefix(got, "id: ") {
				t.Errorf("%s: got %q", c.name, got)
			}
			l.body.Close()
		}
	})
}

// TestStreamAfterRecentChange: a client evaluates, a change comes, and only then the client's
// stream opens.
func TestStreamAfterRecentChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.post(pathFlags, ``).want(200)
		time.Sleep(time.Hour)
		w.put(boolean("f"))
		time.Sleep(20 * time.Second)
		if got := w.listen(pathStream).refetch(); got != w.position() {
			t.Errorf("told of %s", got)
		}
	})
}

func TestStreamEndsWithItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.token("short", control.NewToken{Kind: control.TokenSDK, ExpiresIn: time.Hour})
		expiring, revoked := w.listen(pathStream, "as: short"), w.listen(pathStream, "as: client")
		expiring.refetch()
		revoked.refetch()
		start := time.Now()
		if _, err := w.main().RevokeToken(t.Context(), w.ids["client"], ana); err != nil {
			t.Fatal(err)
		}
		if got := revoked.block(); got != "" || time.Since(start) > time.Second {
			t.Errorf("a revoked key still got %q after %s", got, time.Since(start))
		}
		for got := ":\n"; got == ":\n"; {
			got = expiring.block()
		}
		if age := time.Since(start); age < time.Hour || age > time.Hour+keepAliveEvery {
			t.Errorf("the stream of a key of one hour lived %s", age)
		}
		if n := w.rig.server.Stats().Streams; n != 0 {
			t.Errorf("%d streams are still counted", n)
		}
	})
}

func TestStreamEndsWithItsEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		l := w.listen(pathStream + "?flagSetId=staging")
		l.refetch()
		w.drop("staging")
		if got := l.block(); got != "" {
			t.Errorf("the stream of a deleted environment goes on with %q", got)
		}
	})
}

func TestStreamDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		l := w.listen(pathStream)
		l.refetch()
		w.rig.server.Stop()
		if got := l.block(); !strings.HasPrefix(got, "retry: ") {
			t.Errorf("got %q", got)
		}
		if got := l.block(); got != "" {
			t.Errorf("the stream goes on with %q", got)
		}
		if res := w.get(pathStream); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("a new stream gets %d", res.StatusCode)
		}
		w.post(pathFlags, ``).want(200)
	})
}

func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, func(c *Config) { c.Limits.Streams, c.Limits.StreamsPerKey = 3, 2 })
		first := w.listen(pathStream)
		w.listen(pathStream)
		status := func(as string) int { return w.get(pathStream, "as: "+as).StatusCode }
		if got := status("sdk"); got != 429 {
			t.Errorf("the third stream of a key gets %d", got)
		}
		w.listen(pathStream, "as: client")
		if got := status("admin"); got != 429 {
			t.Errorf("the fourth stream gets %d", got)
		}
		first.body.Close()
		synctest.Wait()
		w.listen(pathStream)
	})
}

// address gives where an answer says that the stream is.
func (a answer) address() string {
	a.t.Helper()
	streams := a.whole().EventStreams
	if len(streams) != 1 || streams[0].Type != "sse" {
		a.t.Fatalf("streams %+v", streams)
	}
	return streams[0].Endpoint.RequestURI
}

func TestAddressOfTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		for _, c := range []struct {
			as, where string
			token     bool
		}{
			{as: "client", where: "default", token: true}, {as: "sdk", where: "default"},
			{as: "admin", where: "staging"}, {as: "elsewhere", where: "staging"},
		} {
			address := w.post(pathFlags, ``, "as: "+c.as, "Flagd-Selector: flagSetId="+c.where).address()
			if strings.Contains(address, w.tokens[c.as]) != c.token || !strings.HasPrefix(address, pathStream+"?flagSetId="+c.where+"&") {
				t.Errorf("%s gets %s", c.as, address)
			}
			if again := w.post(pathFlags, ``, "as: "+c.as, "Flagd-Selector: flagSetId="+c.where).address(); again != address {
				t.Errorf("%s gets another address: %s, then %s", c.as, address, again)
			}
			l := w.listen(address, "as: nobody")
			l.refetch()
			if _, err := w.services[c.where].PutFlag(t.Context(), boolean("of-"+c.as), ana); err != nil {
				t.Fatal(err)
			}
			if got := l.refetch(); got != positionOf(w.services[c.where].Head()) {
				t.Errorf("%s is told of %s", c.as, got)
			}
			l.body.Close()
		}
	})
}

func TestServerKeysAreNotForURLs(t *testing.T) {
	r := newRig(t)
	r.server.Stop() // who gets in all the same does not stay
	for name, status := range map[string]int{"sdk": 403, "admin": 403} {
		r.send("GET", pathStream+"?token="+r.tokens[name], ``, "as: nobody").want(status)
	}
	r.send("GET", pathStream+"?token=st_client_x", ``, "as: nobody").want(401)
	r.send("GET", pathStream+"?ticket=x", ``, "as: nobody").want(401)
	r.send("GET", pathStream, ``, "as: nobody").want(401)
	r.send("GET", pathStream+"?flagSetId=moon", ``).want(400)
}

func TestTicketEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		first := w.post(pathFlags, ``)
		time.Sleep(ticketLife - time.Second)
		w.listen(first.address(), "as: nobody").body.Close() // use prolongs it
		time.Sleep(ticketLife - time.Second)
		w.listen(first.address(), "as: nobody").body.Close()
		time.Sleep(ticketLife)
		if got := w.get(first.address(), "as: nobody").StatusCode; got != 401 {
			t.Errorf("an old ticket gets %d", got)
		}
		// The client asks again, and must get another address although no flag has changed.
		second := w.post(pathFlags, ``, "If-None-Match: "+first.header.Get("ETag"))
		w.listen(second.address(), "as: nobody").body.Close()
		if _, err := w.main().RevokeToken(t.Context(), w.ids["sdk"], ana); err != nil {
			t.Fatal(err)
		}
		if got := w.get(second.address(), "as: nobody").StatusCode; got != 401 {
			t.Errorf("the ticket of a revoked key gets %d", got)
		}
	})
}

func TestTicketsAreBounded(t *testing.T) {
	var tickets tickets
	r, now := &http.Request{Header: http.Header{}}, time.Now()
	for i := range maxTickets {
		tickets.issue(fmt.Sprint(i), r, now)
	}
	if got := tickets.issue("more", r, now); got != "" {
		t.Errorf("one more ticket than allowed: %q", got)
	}
	if got := tickets.issue("more", r, now.Add(ticketLife)); got == "" || len(tickets.byText) != 1 || len(tickets.byOwner) != 1 {
		t.Errorf("ticket %q; %d, %d are kept", got, len(tickets.byText), len(tickets.byOwner))
	}
}

func TestPrefix(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Prefix = "/my flags/" })
	if got := r.post(pathFlags, ``, "as: client").address(); !strings.HasPrefix(got, "/my%20flags"+pathStream+"?") {
		t.Error(got)
	}
}

// TestSlowReaderIsLetGo: a client that stops reading loses its stream, and holds nothing up.
func TestSlowReaderIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		w.listen(pathStream) // read no further
		for i := range 200 {
			w.put(boolean("f", func(f *flag.Flag) { f.Description = fmt.Sprint(i) }))
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		if n := w.rig.server.Stats().Streams; n != 0 {
			t.Errorf("%d streams are still open", n)
		}
	})
}
