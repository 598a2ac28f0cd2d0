package ofrep

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// BenchmarkLoopback measures the throughput of evaluations on real sockets, client and server in
// one process, 32 connections that are kept alive, against a net/http handler that reads the body
// and writes fixed bytes of the same size. The rounds take turns, so that a busy machine slows
// all alike. The flags are those of a usual rollout: a segment, a rule, a split.
//
//	go test -run - -bench Loopback -benchtime 1x ./internal/server/ofrep
func BenchmarkLoopback(b *testing.B) {
	const rounds, each = 3, time.Second
	r := newRig(b)
	for i := range 50 {
		r.put(rolloutFlag(fmt.Sprintf("flag-%02d", i)))
	}
	for _, kind := range []struct{ name, path string }{{"single", pathFlags + "/flag-07"}, {"bulk50", pathFlags}} {
		b.Run(kind.name, func(b *testing.B) {
			ours := serve(b, r.server)
			size := len(r.post(kind.path, benchBody(0)).want(200).body)
			trivial := serve(b, fixed(strings.Repeat("x", size)))
			var here, there float64
			for b.Loop() {
				for range rounds {
					here += load(b, ours, kind.path, r.tokens["sdk"], each)
					there += load(b, trivial, kind.path, r.tokens["sdk"], each)
				}
			}
			seconds := float64(b.N) * rounds * each.Seconds()
			b.ReportMetric(here/seconds, "requests/s")
			b.ReportMetric(there/seconds, "trivial/s")
			b.ReportMetric(100*here/there, "%of-trivial")
			b.ReportMetric(float64(size), "body-bytes")
		})
	}
}

func rolloutFlag(key string) flag.Flag {
	return boolean(key, onFor("country", `"DE"`), func(f *flag.Flag) {
		f.Rules = append(f.Rules, flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 5_000}}}})
	})
}

func benchBody(i int) string {
	return `{"context":{"targetingKey":"user-` + strconv.Itoa(i) + `","country":"AT","plan":"pro","age":42}}`
}

// fixed reads the body and writes text.
func fixed(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = io.WriteString(w, text)
	})
}

func serve(b *testing.B, h http.Handler) (address string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	b.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// load asks on 32 connections for a while and counts the answers.
func load(b *testing.B, address, path, secret string, d time.Duration) float64 {
	b.Helper()
	var answers atomic.Int64
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for i := range 32 {
		all.Go(func() {
			n, err := ask(address, path, secret, i, end)
			if err != nil {
				b.Error(err)
			}
			answers.Add(n)
		})
	}
	all.Wait()
	return float64(answers.Load())
}

// ask sends requests one after the other, with as little work as it takes.
func ask(address, path, secret string, i int, end time.Time) (n int64, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	head := "POST " + path + " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer " + secret + "\r\nContent-Length: "
	out := make([]byte, 0, 1<<10)
	for time.Now().Before(end) {
		i += 32
		body := benchBody(i)
		out = append(append(append(append(out[:0], head...), strconv.Itoa(len(body))...), "\r\n\r\n"...), body...)
		if _, err := conn.Write(out); err != nil {
			return n, err
		}
		if err := skipAnswer(in); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func skipAnswer(in *bufio.Reader) error {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && string(line) != "HTTP/1.1 200 OK\r\n":
			return fmt.Errorf("answered with %q", line)
		case len(line) == 2:
			_, err = in.Discard(length)
			return err
		}
		if value, found := strings.CutPrefix(string(line), "Content-Length: "); found {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
}

// BenchmarkEvaluate measures an evaluation without sockets.
func BenchmarkEvaluate(b *testing.B) {
	r := newRig(b)
	for i := range 50 {
		r.put(rolloutFlag(fmt.Sprintf("flag-%02d", i)))
	}
	for _, kind := range []struct{ name, path string }{{"single", pathFlags + "/flag-07"}, {"bulk50", pathFlags}} {
		b.Run(kind.name, func(b *testing.B) {
			b.ReportAllocs()
			req := r.request("POST", kind.path, "")
			body := strings.NewReader("")
			req.Body = io.NopCloser(body)
			w := &nowhere{header: http.Header{}}
			for i := 0; b.Loop(); i++ {
				body.Reset(benchBody(i))
				r.server.ServeHTTP(w, req)
			}
			if w.status != 200 {
				b.Fatal(w.status)
			}
		})
	}
}

type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
