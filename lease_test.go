//go:build unix

package seatrial

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// planeInterval, in the environment, makes this test binary a control plane that gets killed: how
// often it sends bookmarks.
const planeInterval = "SEATRIAL_TEST_PLANE_INTERVAL"

func TestMain(m *testing.M) {
	if every, err := time.ParseDuration(os.Getenv(planeInterval)); err == nil {
		fmt.Fprintln(os.Stderr, "child:", servePlane(every))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// servePlane serves the state that comes on the standard input, until that is closed. It prints its
// address.
func servePlane(every time.Duration) error {
	in := bufio.NewReader(os.Stdin)
	var set flag.Set
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &set)
	}
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		text := sse("snapshot", set)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			pause(r.Context(), every)
			text = bookmark(set)
		}
	})
	mux.HandleFunc("POST /v1/metrics", func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() { _, _ = io.Copy(io.Discard, in); os.Exit(0) }()
	return http.Serve(listener, mux)
}

// startPlane starts a control plane in a process of its own.
func startPlane(t *testing.T, set flag.Set, every time.Duration) (server string, process *os.Process) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), planeInterval+"="+every.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := json.NewEncoder(in).Encode(set); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + strings.TrimSpace(address), cmd.Process
}

// network is a dialer whose connections can be cut off without a sign: what is written goes nowhere,
// and nothing comes any more.
type network struct {
	cut  chan struct{}
	once sync.Once
}

func (n *network) dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	select {
	case <-n.cut:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, protocol, address)
	return &cutConn{Conn: conn, network: n, closed: make(chan struct{})}, err
}

type cutConn struct {
	net.Conn
	network *network
	closed  chan struct{}
	once    sync.Once
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	select {
	case <-c.network.cut:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (c *cutConn) Write(b []byte) (int, error) {
	select {
	case <-c.network.cut:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

func (c *cutConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// S1: with the control plane killed, stopped or cut off, every fault ends within the lease and a
// second, by real clocks, over real connections, in every client and at every point: what is held up
// is let go, and nothing more is injected. With SEATRIAL_TEST_REQUIRE=all under the lease of 30 s,
// else under one of 3 s, or a longer one if the machine is too busy to renew that.
func TestS1FaultsEndWithoutTheControlPlane(t *testing.T) {
	lease, every := 3*time.Second, 500*time.Millisecond
	if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
		lease, every = fault.MaxLease, 5*time.Second
	}
	for renewed := false; !renewed; lease, every = 2*lease, 2*every {
		t.Run(lease.String(), func(t *testing.T) {
			early := loseControlPlanes(t, lease, every)
			if renewed = early == 0 || 2*lease > fault.MaxLease; early > 0 && renewed {
				t.Errorf("%d faults ended before the loss", early)
			}
		})
	}
}

// loseControlPlanes gives how many faults ended before the control planes were lost; if there are
// any, it does not look at the others.
func loseControlPlanes(t *testing.T, lease, every time.Duration) (early int64) {
	clients, points := 100, 10
	if testing.Short() {
		clients = 10
	}
	losses := map[string]func(*os.Process, *network) error{
		"killed":  func(p *os.Process, _ *network) error { return p.Kill() },
		"stopped": func(p *os.Process, _ *network) error { return p.Signal(syscall.SIGSTOP) },
		"cut off": func(_ *os.Process, n *network) error { n.once.Do(func() { close(n.cut) }); return nil },
	}
	held := map[string]*held{}
	for name := range losses {
		held[name] = hold(t, lease, every, clients, points)
	}
	for name, lose := range losses {
		if err := lose(held[name].process, held[name].network); err != nil {
			t.Fatal(err)
		}
		held[name].lost.Store(int64(time.Since(held[name].began)))
		early += held[name].early.Load()
	}
	if early > 0 {
		return early
	}
	overdue := watchOverdue(t)
	for name, h := range held {
		h.wait(lease + time.Minute)
		last, bound := time.Duration(h.last.Load()), lease+time.Second+time.Duration(overdue.Load())
		t.Logf("%s: %d of %d faults ended, the last %v after the loss; bound %v", name, h.ends.Load(), clients*points, last, bound)
		if h.ends.Load() != int64(clients*points) || last > bound {
			t.Fail()
		}
	}
	return 0
}

// watchOverdue adds up from now on for how long the machine had no time for this process.
func watchOverdue(t *testing.T) *atomic.Int64 {
	var sum atomic.Int64
	go func() {
		const nap, usual = 10 * time.Millisecond, 20 * time.Millisecond
		for t.Context().Err() == nil {
			began := time.Now()
			time.Sleep(nap)
			sum.Add(int64(max(time.Since(began)-usual, 0)))
		}
	}()
	return &sum
}

// held are calls that are held up at the points of clients of one control plane.
type held struct {
	process     *os.Process
	network     *network
	began       time.Time
	lost        atomic.Int64 // when the control plane was lost, after began; 0: not yet
	calls       sync.WaitGroup
	ends, early atomic.Int64
	last        atomic.Int64 // how long after the loss the last fault ended
}

func hold(t *testing.T, lease, every time.Duration, clients, points int) *held {
	t.Helper()
	set := pointsSet(points)
	base := offline(t, set)
	h := &held{network: &network{cut: make(chan struct{})}, began: time.Now()}
	server, process := startPlane(t, set, every)
	h.process = process
	for range clients {
		c := openFor(t, server, h.network, lease)
		for i := range points {
			ctx := WithContext(t.Context(), NewContext(userIn(t, base, fmt.Sprint("f-", i), treatment)))
			h.calls.Go(func() { h.call(ctx, c.Dependency(fmt.Sprint("point-", i))) })
		}
		pause(t.Context(), every/time.Duration(clients)) // so that bookmarks come at all times
	}
	return h
}

// call calls until a call passes untouched.
func (h *held) call(ctx context.Context, d *Dependency) {
	for passed := false; !passed; {
		hits := d.Point().Injected()
		_ = d.Do(ctx, succeed)
		passed = d.Point().Injected() == hits
	}
	defer h.ends.Add(1)
	at := h.lost.Load()
	if at == 0 {
		h.early.Add(1)
		return
	}
	after := int64(time.Since(h.began)) - at
	for last := h.last.Load(); after > last && !h.last.CompareAndSwap(last, after); last = h.last.Load() {
	}
}

func (h *held) wait(longest time.Duration) {
	ended := make(chan struct{})
	go func() { h.calls.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(longest):
	}
}

// pointsSet is a state with a fault flag for each point: every call is held up for ten minutes.
func pointsSet(n int) flag.Set {
	var parts []any
	for i := range n {
		f := newFlag(fmt.Sprint("f-", i), flag.KindFault, flag.TypeObject, "none", "null", "fault",
			fmt.Sprintf(`{"point":"point-%d","rate":1,"faults":[{"kind":"latency","min":"10m","max":"10m"}]}`, i))
		parts = append(parts, f, trialOn(f, 0, 50))
	}
	return setAt(1, parts...)
}

// openFor opens a client under a lease of that length.
func openFor(t *testing.T, server string, n *network, lease time.Duration) *Client {
	t.Helper()
	transport := &http.Transport{DialContext: n.dial}
	shorter := optionFunc(func(c *config) { c.lease = lease })
	c, err := Open(t.Context(), WithServer(server), WithHTTPClient(&http.Client{Transport: transport}), WithWait(time.Minute), shorter,
		WithFaults(fault.Caps{MaxLatency: fault.MaxLatency}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		expired, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Close(expired)
		transport.CloseIdleConnections()
	})
	return c
}
