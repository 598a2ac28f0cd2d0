package stream_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/stream"
)

// Over HTTP/2 a deadline of writing that stays ends the stream when it passes, also while nothing is
// written. This needs real connections, and so real time: a tenth of a second.
func TestAStreamOutlivesItsDeadlinesOverHTTP2(t *testing.T) {
	log := &fakeLog{changed: make(chan struct{})}
	log.publish("h", 1, -1)
	hub := stream.New(log, stream.Config{WriteTimeout: 20 * time.Millisecond, BookmarkEvery: 50 * time.Millisecond})
	defer hub.Stop()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = hub.Serve(w, r, stream.Subscriber{Owner: "o", Valid: func() bool { return true }})
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	transport := &http.Transport{Protocols: server.Config.Protocols}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	bookmarks := 0
	for lines := bufio.NewScanner(res.Body); bookmarks < 2; {
		if !lines.Scan() {
			t.Fatalf("the stream ended after %d bookmarks: %v", bookmarks, lines.Err())
		}
		if strings.HasPrefix(lines.Text(), "event: bookmark") {
			bookmarks++
		}
	}
	if res.ProtoMajor != 2 {
		t.Errorf("the answer came by %s", res.Proto)
	}
}
