package stream_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/stream"
)

// Over HTTP/2 a deadline of writing that stays ends the stream when it passes, also while nothing is
// written.
func TestAStreamOutlivesItsDeadlinesOverHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{changed: make(chan struct{})}
		log.publish("h", 1, -1)
		hub := stream.New(log, stream.Config{})
		defer hub.Stop()
		network, protocols := memnet.Listen(), new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = hub.Serve(w, r, stream.Subscriber{Owner: "o", Valid: func() bool { return true }})
		})}
		go func() { _ = server.Serve(network) }()
		defer server.Close()
		transport := &http.Transport{Protocols: protocols, DialContext: network.Dial}
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get("http://memory")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		bookmarks := 0
		for lines := bufio.NewScanner(res.Body); bookmarks < 3; {
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
	})
}
