package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/memnet"
)

func TestHTTPOverMemoryRunsInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Hour)
			io.WriteString(w, "hello "+r.URL.Path)
		})}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		tr := &http.Transport{DialContext: l.Dial}
		start := time.Now()
		res, err := (&http.Client{Transport: tr}).Get("http://anything/world")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != "hello /world" || time.Since(start) != 3*time.Hour {
			t.Fatalf("got %q after %v", body, time.Since(start))
		}
		tr.CloseIdleConnections()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Fatal(err)
		}
	})
}

func TestDialErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Dial(ctx, "tcp", "x:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody accepts: got %v", err)
		}
		if _, err := l.Dial(ctx, "tcp", "x:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("context already over: got %v", err)
		}
		waiting := make(chan error, 2)
		go func() { _, err := l.Dial(t.Context(), "tcp", "x:1"); waiting <- err }()
		synctest.Wait()
		l.Close()
		l.Close()
		if err := <-waiting; !errors.Is(err, memnet.ErrRefused) {
			t.Errorf("closed while waiting: got %v", err)
		}
		if _, err := l.Dial(t.Context(), "tcp", "x:1"); !errors.Is(err, memnet.ErrRefused) {
			t.Errorf("dial after close: got %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: got %v", err)
		}
	})
}

func TestAcceptEndsOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		done := make(chan error, 1)
		go func() { _, err := l.Accept(); done <- err }()
		synctest.Wait()
		l.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	})
}

func TestDeadlinesAndAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		accepted := make(chan net.Conn, 1)
		go func() { c, _ := l.Accept(); accepted <- c }()
		c, err := l.Dial(t.Context(), "tcp", "server:80")
		if err != nil {
			t.Fatal(err)
		}
		s := <-accepted
		if got := c.RemoteAddr().String(); got != "server:80" {
			t.Errorf("remote address %q", got)
		}
		if got := s.RemoteAddr(); got.String() != "client-1" || got.Network() != "memory" {
			t.Errorf("peer address %v", got)
		}
		if l.Addr().String() != "memory" {
			t.Errorf("listener address %v", l.Addr())
		}
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		s.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		c.Close()
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read after the peer closed: %v", err)
		}
	})
}
