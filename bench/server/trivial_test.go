package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// trivialVariable holds the sizes of the bodies, of one flag and of all, with a comma between.
const trivialVariable = "BENCH_TRIVIAL"

// serveTrivially prints its address and answers each request with fixed bytes after having read it.
func serveTrivially(sizes string) error {
	var single, bulk int
	if _, err := fmt.Sscanf(sizes, "%d,%d", &single, &bulk); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	mux := http.NewServeMux()
	mux.Handle("POST "+singlePath, fixed(single))
	mux.Handle("POST "+bulkPath, fixed(bulk))
	return (&http.Server{Handler: mux}).Serve(l)
}

func fixed(size int) http.Handler {
	text, length := []byte(strings.Repeat("x", size)), strconv.Itoa(size)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(text)
	})
}

// startTrivial runs the trivial handler as a process.
func startTrivial(tb testing.TB, single, bulk int) *process {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d", trivialVariable, single, bulk))
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	p := start(tb, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	p.address = strings.TrimSpace(line)
	return p
}
