package seatrialnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/fault"
)

// tcp gives a TCP connection with faults on our end.
func tcp(t *testing.T, p *fault.Point) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	ours = Conn(raw, p)
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	return ours, theirs
}

func TestAResetIsARealOneToThePeer(t *testing.T) {
	ours, theirs := tcp(t, armed(fault.Fault{Kind: fault.KindReset}))
	if _, err := ours.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("here: %v", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("there: %v", err)
	}
	ours, theirs = tcp(t, armed(fault.Fault{Kind: fault.KindError}))
	_, _ = ours.Write([]byte("x"))
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an error is a plain end there: %v", err)
	}
}

func TestWhatATCPConnectionCanDoIsKept(t *testing.T) {
	ours, theirs := tcp(t, fault.NewPoint("db", fault.Caps{}))
	c, ok := ours.(interface {
		CloseRead() error
		CloseWrite() error
		SyscallConn() (syscall.RawConn, error)
		SetKeepAlive(bool) error
		SetKeepAlivePeriod(time.Duration) error
		SetLinger(int) error
		SetNoDelay(bool) error
		io.ReaderFrom
		io.WriterTo
	})
	if !ok {
		t.Fatalf("%T lacks something", ours)
	}
	go func() { _, _ = io.Copy(theirs, theirs); _ = theirs.Close() }()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, bytes.Repeat([]byte("y"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, _ := os.Open(path)
	defer func() { _ = f.Close() }()
	go func() { _, _ = c.ReadFrom(f); _ = c.CloseWrite() }()
	var back bytes.Buffer
	if n, err := c.WriteTo(&back); n != 1<<20 || err != nil || strings.Trim(back.String(), "y") != "" {
		t.Errorf("%d came back, %v", n, err)
	}
	a, b := net.Pipe()
	defer func() { _ = a.Close(); _ = b.Close() }()
	if _, ok := Conn(a, fault.NewPoint("db", fault.Caps{})).(interface{ CloseWrite() error }); ok {
		t.Error("a pipe can close one half now")
	}
	dir, _ := os.MkdirTemp("", "sock") // short: paths of sockets are
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	u, err := (&Dialer{Point: fault.NewPoint("db", fault.Caps{})}).Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	if _, ok := u.(interface{ CloseWrite() error }); !ok {
		t.Error("a Unix connection cannot close one half any more")
	}
	if _, ok := u.(interface{ SetNoDelay(bool) error }); ok {
		t.Error("a Unix connection has no Nagle")
	}
}

// network is a dialer of pipes, whose dials can be counted.
type network struct{ dials atomic.Int64 }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.dials.Add(1)
	ours, theirs := net.Pipe()
	echo(theirs)
	return ours, nil
}

func TestEveryKindAtADial(t *testing.T) {
	const delay = 20 * time.Millisecond
	cases := []struct {
		name    string
		fault   fault.Fault
		dialled bool
		err     error
		answers bool
	}{
		{name: "error", fault: fault.Fault{Kind: fault.KindError}, err: fault.ErrInjected},
		{name: "reset", fault: fault.Fault{Kind: fault.KindReset, Phase: fault.Instead}, err: syscall.ECONNRESET},
		{name: "latency", fault: fault.Fault{Kind: fault.KindLatency, Min: delay, Max: delay}, dialled: true, answers: true},
		{name: "latency after", fault: fault.Fault{Kind: fault.KindLatency, Phase: fault.After, Min: delay, Max: delay}, dialled: true, answers: true},
		{name: "black hole", fault: fault.Fault{Kind: fault.KindLatency, Phase: fault.Instead, Min: delay, Max: delay}, err: os.ErrDeadlineExceeded},
		{name: "cancel", fault: fault.Fault{Kind: fault.KindCancel}, err: context.Canceled},
		{name: "reset after", fault: fault.Fault{Kind: fault.KindReset, Phase: fault.After}, dialled: true},
		{name: "lost reply", fault: fault.Fault{Kind: fault.KindLostReply}, dialled: true},
		{name: "corrupt", fault: fault.Fault{Kind: fault.KindCorrupt, Share: 1}, dialled: true, answers: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var n network
			p := armed(c.fault)
			d := &Dialer{Point: p, Base: n.dial}
			ctx, cancel := context.WithCancel(context.Background())
			conn, err := d.DialContext(ctx, "tcp", "db.internal:5432")
			cancel() // of the dial only
			if (n.dials.Load() == 1) != c.dialled {
				t.Errorf("dialled %d times", n.dials.Load())
			}
			if c.err != nil {
				var op *net.OpError
				if !errors.Is(err, c.err) || !errors.Is(err, fault.ErrInjected) || !errors.As(err, &op) || op.Op != "dial" || op.Timeout() != (c.err == os.ErrDeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if p.Active() != 0 || conn != nil {
					t.Errorf("%d active", p.Active())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ask(conn); (err == nil) != c.answers {
				t.Errorf("the connection: %v", err)
			}
			_ = conn.Close()
			if p.Active() != 0 {
				t.Errorf("%d active", p.Active())
			}
		})
	}
}

func TestACancelledConnectionIsClosedUnderItsUser(t *testing.T) {
	var n network
	d := &Dialer{Point: armed(fault.Fault{Kind: fault.KindCancel, Min: 20 * time.Millisecond, Max: 20 * time.Millisecond}), Base: n.dial}
	ctx, cancel := context.WithCancel(context.Background())
	c, err := d.DialContext(ctx, "tcp", "db:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	cancel()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) || !errors.Is(err, fault.ErrInjected) {
		t.Errorf("the read that was going on: %v", err)
	}
}

func TestTheDialsContextDecidesForTheConnection(t *testing.T) {
	type key struct{}
	var seen []any
	p := fault.NewPoint("db", everything)
	source := fault.SourceFunc(func(ctx context.Context) (*fault.Program, fault.Assignment) {
		seen = append(seen, ctx.Value(key{}), ctx.Err())
		return nil, fault.Assignment{}
	})
	p.Arm(source, nil)
	var n network
	d := &Dialer{Point: p, Base: n.dial}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "ann"))
	c, err := d.DialContext(ctx, "tcp", "db:1")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, _ = ask(c)
	p.Arm(source, nil)
	_, _ = ask(c)
	_ = c.Close()
	if want := []any{"ann", nil, "ann", nil}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("asked for %v, want %v", seen, want)
	}
	for _, address := range []string{"auth.internal:443", "blocked:1"} {
		p := fault.NewPoint("db", fault.Caps{Deny: []string{"blocked:*"}})
		arm(p, fault.Fault{Kind: fault.KindReset})
		c, err := (&Dialer{Point: p, Base: n.dial}).Dial("tcp", address)
		if err != nil {
			t.Fatalf("%s is on the deny list, but %v", address, err)
		}
		arm(p, fault.Fault{Kind: fault.KindReset})
		if _, err := ask(c); err != nil {
			t.Errorf("%s is on the deny list, but %v", address, err)
		}
		_ = c.Close()
	}
	c, err = (&Dialer{Base: n.dial}).Dial("tcp", "db:1")
	if _, wrapped := c.(interface{ NetConn() net.Conn }); err != nil || wrapped {
		t.Errorf("without a point: %v, wrapped %v", err, wrapped)
	}
	_ = c.Close()
}

func TestADialThatPanicsGivesItsPlaceBack(t *testing.T) {
	p := armed(fault.Fault{Kind: fault.KindCorrupt, Share: 1})
	d := &Dialer{Point: p, Base: func(context.Context, string, string) (net.Conn, error) { panic("base") }}
	func() {
		defer func() { _ = recover() }()
		_, _ = d.Dial("tcp", "db:1")
	}()
	if p.Active() != 0 {
		t.Errorf("%d active", p.Active())
	}
}

// server serves HTTP over connections with faults.
func server(t *testing.T, p *fault.Point, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Listener = Listener(s.Listener, p)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func get(c *http.Client, url string) (string, error) {
	res, err := c.Get(url)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	return string(body), err
}

// Servers give up a listener whose Accept fails: faults must not make it.
func TestAServerOutlivesItsFaults(t *testing.T) {
	p := fault.NewPoint("edge", everything)
	s := server(t, p, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	fresh := func() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }
	for _, f := range []fault.Fault{{Kind: fault.KindError}, {Kind: fault.KindReset}, {Kind: fault.KindCancel}, {Kind: fault.KindTruncate, AfterBytes: 10},
		{Kind: fault.KindReset, Phase: fault.After}, {Kind: fault.KindError, Phase: fault.After}, {Kind: fault.KindLostReply}, {Kind: fault.KindLatency, Phase: fault.Instead, Min: 1, Max: 1}} {
		arm(p, f)
		if body, err := get(fresh(), s.URL); err == nil {
			t.Errorf("%s: got %q", f.Kind, body)
		}
		if p.Injected() == 0 {
			t.Errorf("%s: nothing was injected", f.Kind)
		}
		p.Off()
		if body, err := get(fresh(), s.URL); err != nil || body != "hello" {
			t.Errorf("after %s: %q, %v", f.Kind, body, err)
		}
	}
	arm(p, fault.Fault{Kind: fault.KindLatency, Min: 30 * time.Millisecond, Max: 30 * time.Millisecond})
	began := time.Now()
	if body, err := get(fresh(), s.URL); err != nil || body != "hello" || time.Since(began) < 60*time.Millisecond {
		t.Errorf("late: %q, %v after %v", body, err, time.Since(began))
	}
}

func TestC10AClientFindsDoubleCharging(t *testing.T) {
	var charged atomic.Int64
	s := server(t, nil, func(http.ResponseWriter, *http.Request) { charged.Add(1) })
	p := fault.NewPoint("db", everything)
	client := &http.Client{Transport: &http.Transport{DialContext: (&Dialer{Point: p}).DialContext}}
	defer client.CloseIdleConnections()
	once := &fault.Program{Rate: 1, Sequence: []fault.Step{{Count: 1, Fault: &fault.Fault{Kind: fault.KindLostReply}}}}
	p.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) { return once, fault.Assignment{} }), nil)
	var err error
	for range 3 {
		var res *http.Response
		if res, err = client.Post(s.URL, "text/plain", strings.NewReader("charge")); err == nil {
			_ = res.Body.Close()
			break
		}
		if _, injected := fault.From(err); !injected {
			t.Fatalf("failed on its own: %v", err)
		}
	}
	if err != nil || charged.Load() != 2 {
		t.Errorf("charged %d times, want twice; %v", charged.Load(), err)
	}
}

// Many clients, armed and disarmed all the time: nothing is lost, mixed up or left behind.
func TestConnectionsUnderChangingFaults(t *testing.T) {
	before := runtime.NumGoroutine()
	func() {
		p, q := fault.NewPoint("edge", everything), fault.NewPoint("db", everything)
		s := server(t, p, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(w, r.Body); err != nil {
				panic(http.ErrAbortHandler)
			}
		})
		defer s.Close()
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: (&Dialer{Point: q}).DialContext}}
		defer client.CloseIdleConnections()
		stop := make(chan struct{})
		var all, arming sync.WaitGroup
		faults := []fault.Fault{{Kind: fault.KindReset}, {Kind: fault.KindLatency, Max: time.Millisecond}, {Kind: fault.KindLostReply}, {Kind: fault.KindBandwidth, BytesPerSecond: 1 << 20},
			{Kind: fault.KindTruncate, AfterBytes: 300}, {Kind: fault.KindCancel, Max: time.Millisecond}, {Kind: fault.KindError, Phase: fault.After}}
		arming.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					arm(p, faults[i%len(faults)])
					arm(q, faults[i/2%len(faults)])
					runtime.Gosched()
					p.Off()
					q.Off()
				}
			}
		})
		for i := range 8 {
			all.Go(func() {
				want := strings.Repeat(fmt.Sprint(i), 500)
				for range 60 {
					res, err := client.Post(s.URL, "text/plain", strings.NewReader(want))
					if err != nil {
						continue
					}
					body, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if err == nil && string(body) != want {
						t.Errorf("got %q", body)
					}
				}
			})
		}
		all.Wait()
		close(stop)
		arming.Wait()
		for range 20 { // a client may meet connections once that died while idle
			if body, err := get(client, s.URL); err == nil && body == "" {
				return
			}
		}
		t.Error("with all faults off it does not work any more")
	}()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+3 && time.Now().Before(end); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before+3 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}
