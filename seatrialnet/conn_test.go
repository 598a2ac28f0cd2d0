package seatrialnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
)

var everything = fault.Caps{MaxLatency: fault.MaxLatency, MaxTotal: 1 << 30, MaxActive: 1 << 30, AllowAfter: []string{"*"},
	Kinds: []fault.Kind{fault.KindError, fault.KindLatency, fault.KindCancel, fault.KindReset, fault.KindLostReply, fault.KindPanic, fault.KindBandwidth, fault.KindTruncate, fault.KindCorrupt}}

// arm makes every connection of the point meet f.
func arm(p *fault.Point, f fault.Fault) {
	program := &fault.Program{Rate: 1, Faults: []fault.Fault{f}}
	p.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		return program, fault.Assignment{Experiment: "storm"}
	}), nil)
}

func armed(f fault.Fault) *fault.Point {
	p := fault.NewPoint("db", everything)
	arm(p, f)
	return p
}

// pair gives two ends in memory, the first with faults.
func pair(t *testing.T, p *fault.Point) (ours, theirs net.Conn) {
	a, b := net.Pipe()
	ours, theirs = Conn(a, p), b
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	return ours, theirs
}

// echo answers with what it reads, until the connection ends, and gives how much that was. Pipes
// have no buffer, so it goes on reading while an answer is not fetched.
func echo(c net.Conn) chan int {
	total, answers := make(chan int, 1), make(chan []byte, 1000)
	go func() {
		defer close(answers)
		sum, b := 0, make([]byte, 1000)
		for {
			n, err := c.Read(b)
			sum += n
			if err != nil {
				total <- sum
				return
			}
			answers <- bytes.Clone(b[:n])
		}
	}()
	go func() {
		for b := range answers {
			_, _ = c.Write(b)
		}
	}()
	return total
}

// ask writes a request of 100 bytes and reads the answer.
func ask(c net.Conn) (answer []byte, err error) {
	if _, err := c.Write(bytes.Repeat([]byte("x"), 100)); err != nil {
		return nil, err
	}
	b := make([]byte, 100)
	n, err := io.ReadFull(c, b)
	return b[:n], err
}

const slow = 10 * time.Second

func TestEveryKindOnAConnection(t *testing.T) {
	whole := strings.Repeat("x", 100)
	cases := []struct {
		name   string
		fault  fault.Fault
		answer string
		err    error // in its tree
		took   time.Duration
		served int // bytes that reached the peer
	}{
		{name: "error", fault: fault.Fault{Kind: fault.KindError}, err: fault.ErrInjected},
		{name: "error after", fault: fault.Fault{Kind: fault.KindError, Phase: fault.After}, err: fault.ErrInjected, served: 100},
		{name: "reset", fault: fault.Fault{Kind: fault.KindReset}, err: syscall.ECONNRESET},
		{name: "reset after", fault: fault.Fault{Kind: fault.KindReset, Phase: fault.After}, err: syscall.ECONNRESET, served: 100},
		{name: "lost reply", fault: fault.Fault{Kind: fault.KindLostReply}, err: syscall.ECONNRESET, served: 100},
		{name: "latency", fault: fault.Fault{Kind: fault.KindLatency, Min: slow, Max: slow}, answer: whole, took: 2 * slow, served: 100},
		{name: "latency after", fault: fault.Fault{Kind: fault.KindLatency, Phase: fault.After, Min: slow, Max: slow}, answer: whole, took: 2 * slow, served: 100},
		{name: "black hole", fault: fault.Fault{Kind: fault.KindLatency, Phase: fault.Instead, Min: slow, Max: slow}, err: os.ErrDeadlineExceeded, took: slow},
		{name: "cancel", fault: fault.Fault{Kind: fault.KindCancel}, err: context.Canceled},
		{name: "bandwidth", fault: fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 20}, answer: whole, took: 2 * 99 * 50 * time.Millisecond, served: 100},
		{name: "truncate", fault: fault.Fault{Kind: fault.KindTruncate, AfterBytes: 60}, err: io.ErrUnexpectedEOF, served: 60},
		{name: "corrupt", fault: fault.Fault{Kind: fault.KindCorrupt, Share: 1}, answer: "other bytes", served: 100},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := armed(c.fault)
				ours, theirs := pair(t, p)
				total := echo(theirs)
				if c.fault.Kind == fault.KindCancel {
					p.Begin(context.Background(), fault.Call{}).End() // no matter
					_, _ = ours.Write(nil)                            // decides; then the timer comes
					synctest.Wait()
				}
				began := time.Now()
				answer, err := ask(ours)
				took := time.Since(began)
				_ = ours.Close()
				served := <-total
				if served != c.served || took != c.took {
					t.Errorf("%d bytes reached the peer, after %v", served, took)
				}
				if c.err != nil {
					if !errors.Is(err, c.err) || !errors.Is(err, fault.ErrInjected) {
						t.Errorf("error %v", err)
					}
					if n, ok := err.(net.Error); !ok || n.Timeout() != (c.err == os.ErrDeadlineExceeded) {
						t.Errorf("%v is no network error, or the wrong one", err)
					}
					return
				}
				if err != nil || len(answer) != 100 || (string(answer) == c.answer) != (c.answer == whole) {
					t.Errorf("answer %q, %v", answer, err)
				}
			})
		})
	}
}

func TestABrokenConnectionStaysBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := armed(fault.Fault{Kind: fault.KindReset})
		ours, theirs := pair(t, p)
		echo(theirs)
		_, first := ours.Write([]byte("x"))
		p.Off()
		_, second := ours.Write([]byte("x"))
		_, third := ours.Read(make([]byte, 1))
		if !errors.Is(first, syscall.ECONNRESET) || second != first || third != first {
			t.Errorf("%v, then %v and %v", first, second, third)
		}
		if err := ours.Close(); err != nil {
			t.Errorf("closing it: %v", err)
		}
	})
}

// What comes after a gap never passes for what was lost.
func TestAConnectionThatWasCutShortStaysSo(t *testing.T) {
	for _, way := range []string{"read", "written"} {
		for _, again := range []string{"off", "armed anew"} {
			synctest.Test(t, func(t *testing.T) {
				p := armed(fault.Fault{Kind: fault.KindTruncate, AfterBytes: 4})
				ours, theirs := pair(t, p)
				use := func() error { _, err := ours.Write([]byte("0123456")); return err }
				if way == "read" {
					use = func() error { _, err := io.ReadFull(ours, make([]byte, 7)); return err }
					go func() { _, _ = theirs.Write(make([]byte, 1000)) }()
				} else {
					go func() { _, _ = io.Copy(io.Discard, theirs) }()
				}
				first := use()
				if p.Off(); again == "armed anew" {
					arm(p, fault.Fault{Kind: fault.KindTruncate, AfterBytes: 100})
				}
				if second := use(); !errors.Is(first, io.ErrUnexpectedEOF) || second != first {
					t.Errorf("%s, %s: %v, then %v", way, again, first, second)
				}
			})
		}
	}
}

// What has lost its reply can still be written to.
func TestALostReplyIsOfWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := armed(fault.Fault{Kind: fault.KindLostReply})
		ours, theirs := pair(t, p)
		go func() {
			_, _ = theirs.Write([]byte("greeting"))
			_, _ = io.Copy(theirs, theirs)
		}()
		b := make([]byte, 8)
		if _, err := io.ReadFull(ours, b); err != nil || string(b) != "greeting" {
			t.Errorf("what is no reply is lost: %q, %v", b, err)
		}
		for range 2 {
			if _, err := ours.Write([]byte("12345678")); err != nil {
				t.Errorf("written: %v", err)
			}
			if _, err := ours.Read(b); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
		}
		p.Off()
		_, _ = ours.Write([]byte("12345678"))
		if _, err := io.ReadFull(ours, b); err != nil || string(b) != "12345678" {
			t.Errorf("the fault is over: %q, %v", b, err)
		}
	})
}

func TestDeadlinesWorkWhileAFaultHolds(t *testing.T) {
	const limit = time.Second
	never := func(c net.Conn) {}
	set := func(c net.Conn) { _ = c.SetDeadline(time.Now().Add(limit)) }
	cases := []struct {
		name          string
		before        func(net.Conn) // the operation
		during        func(net.Conn) // 0.5 s after it began
		timeout       bool
		took          time.Duration
		closed, reads bool
	}{
		{name: "write deadline", before: set, during: never, timeout: true, took: limit},
		{name: "read deadline", before: set, during: never, timeout: true, took: limit, reads: true},
		{name: "set while it holds", before: never, during: func(c net.Conn) { _ = c.SetDeadline(time.Now()) }, timeout: true, took: limit / 2},
		{name: "set while a read holds", before: never, during: func(c net.Conn) { _ = c.SetReadDeadline(time.Unix(1, 0)) }, timeout: true, took: limit / 2, reads: true},
		{name: "moved on", before: set, during: func(c net.Conn) { _ = c.SetWriteDeadline(time.Now().Add(2 * limit)) }, timeout: true, took: limit/2 + 2*limit},
		{name: "taken away", before: set, during: func(c net.Conn) { _ = c.SetWriteDeadline(time.Time{}) }, took: slow},
		{name: "of the other direction", before: func(c net.Conn) { _ = c.SetReadDeadline(time.Now().Add(limit)) }, during: never, took: slow},
		{name: "closed", before: never, during: func(c net.Conn) { _ = c.Close() }, took: limit / 2, closed: true},
		{name: "closed while a read holds", before: never, during: func(c net.Conn) { _ = c.Close() }, took: limit / 2, closed: true, reads: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := pair(t, armed(fault.Fault{Kind: fault.KindLatency, Min: slow, Max: slow}))
				b := []byte("12345678")
				op := ours.Write
				if c.reads {
					op = ours.Read
					go func() { _, _ = theirs.Write(b) }()
				} else {
					go func() { _, _ = theirs.Read(make([]byte, 8)) }()
				}
				c.before(ours)
				time.AfterFunc(limit/2, func() { c.during(ours) })
				began := time.Now()
				_, err := op(b)
				if took := time.Since(began); took != c.took || errors.Is(err, os.ErrDeadlineExceeded) != c.timeout || errors.Is(err, net.ErrClosed) != c.closed {
					t.Errorf("%v after %v", err, took)
				}
				if n, ok := err.(net.Error); c.timeout && (!ok || !n.Timeout()) {
					t.Errorf("%v is no timeout to a server", err)
				}
			})
		})
	}
}

// A read that a deadline cuts short loses nothing: http.Server does that all the time.
func TestWhatWasReadTooLateIsReadNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := armed(fault.Fault{Kind: fault.KindLatency, Min: slow, Max: slow})
		ours, theirs := pair(t, p)
		go func() { _, _ = theirs.Write([]byte("12345678")); _ = theirs.Close() }()
		b := make([]byte, 5)
		_ = ours.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := ours.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if _, err := ours.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		_ = ours.SetReadDeadline(time.Time{})
		p.Off()
		if rest, err := io.ReadAll(struct{ io.Reader }{ours}); string(rest) != "12345678" || err != nil {
			t.Errorf("then %q, %v", rest, err)
		}
	})
}

// The connection's own way to copy knows nothing of what was read before.
func TestWhatWasReadTooLateIsCopiedNext(t *testing.T) {
	ours, theirs := tcp(t, nil)
	p := armed(fault.Fault{Kind: fault.KindLatency, Min: time.Hour, Max: time.Hour})
	ours = Conn(ours, p)
	_, _ = theirs.Write([]byte("12345678"))
	_ = ours.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := ours.Read(make([]byte, 5)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	_ = ours.SetReadDeadline(time.Time{})
	p.Off()
	_, _ = theirs.Write([]byte("9"))
	_ = theirs.Close()
	var all bytes.Buffer
	if _, err := io.Copy(&all, ours); all.String() != "123456789" || err != nil {
		t.Errorf("copied %q, %v", all.String(), err)
	}
}

func TestS2KillCutsConnectionsShort(t *testing.T) {
	for _, f := range []fault.Fault{{Kind: fault.KindLatency, Min: time.Hour, Max: time.Hour}, {Kind: fault.KindLatency, Phase: fault.Instead, Min: time.Hour, Max: time.Hour}, {Kind: fault.KindBandwidth, BytesPerSecond: 1}} {
		synctest.Test(t, func(t *testing.T) {
			p := armed(f)
			ours, theirs := pair(t, p)
			echo(theirs)
			time.AfterFunc(time.Second, p.Off)
			began := time.Now()
			if answer, err := ask(ours); len(answer) != 100 || err != nil || time.Since(began) != time.Second {
				t.Errorf("%s: %d bytes, %v after %v", f.Kind, len(answer), err, time.Since(began))
			}
		})
	}
}

func TestS6LatencyOfEachOperationIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fault.NewPoint("db", fault.Caps{MaxLatency: time.Second})
		arm(p, fault.Fault{Kind: fault.KindLatency, Min: time.Hour, Max: time.Hour})
		ours, theirs := pair(t, p)
		echo(theirs)
		began := time.Now()
		for range 3 {
			if _, err := ask(ours); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("6 operations took %v", took)
		}
	})
}

// Connections of pools are older than experiments, and outlive them.
func TestOpenConnectionsMeetEveryArmingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fault.NewPoint("db", everything)
		ours, theirs := pair(t, p)
		echo(theirs)
		asked := 0
		latency := &fault.Program{Rate: 1, Faults: []fault.Fault{{Kind: fault.KindLatency, Min: time.Second, Max: time.Second}}}
		source := fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) { asked++; return latency, fault.Assignment{} })
		round := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			if _, err := ask(ours); err != nil || time.Since(began) != want {
				t.Errorf("%v after %v, want %v", err, time.Since(began), want)
			}
		}
		round(0)
		p.Arm(source, nil)
		round(2 * time.Second)
		round(2 * time.Second)
		if asked != 1 || p.Active() != 1 || p.Injected() != 1 {
			t.Errorf("asked %d times, %d active, %d injected", asked, p.Active(), p.Injected())
		}
		p.Off()
		round(0)
		p.Arm(source, nil)
		round(2 * time.Second)
		if asked != 2 || p.Active() != 1 {
			t.Errorf("asked %d times, %d active", asked, p.Active())
		}
		_ = ours.Close()
		if p.Active() != 0 {
			t.Errorf("closed, %d active", p.Active())
		}
		_, _ = ours.Write([]byte("x"))
		p.Arm(source, nil)
		if _, _ = ours.Write([]byte("x")); asked != 2 {
			t.Error("a closed connection asks")
		}
	})
}

func TestAPanicIsThatOfTheFault(t *testing.T) {
	ours, _ := pair(t, armed(fault.Fault{Kind: fault.KindPanic}))
	defer func() {
		if e, ok := recover().(*fault.Error); !ok || e.Kind != fault.KindPanic {
			t.Errorf("panics with %v", e)
		}
	}()
	_, _ = ours.Read(nil)
	t.Error("no panic")
}

func TestNothingToWrap(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _ = a.Close(); _ = b.Close() }()
	if Conn(a, nil) != a || Conn(nil, fault.NewPoint("db", fault.Caps{})) != nil || Listener(nil, fault.NewPoint("db", fault.Caps{})) != nil {
		t.Error("wraps nothing")
	}
	if Conn(a, fault.NewPoint("db", fault.Caps{})).(interface{ NetConn() net.Conn }).NetConn() != a {
		t.Error("the connection is lost")
	}
}

// spy tells which way bytes went.
type spy struct {
	net.Conn
	own int
}

func (s *spy) ReadFrom(r io.Reader) (int64, error) {
	s.own++
	return io.Copy(struct{ io.Writer }{s.Conn}, r)
}
func (s *spy) WriteTo(w io.Writer) (int64, error) {
	s.own++
	return io.Copy(w, struct{ io.Reader }{s.Conn})
}
func (s *spy) Read([]byte) (int, error)    { return 0, io.EOF }
func (s *spy) Write(b []byte) (int, error) { return len(b), nil }

func TestTheConnectionsOwnWaysAreUsedWhileNothingHappens(t *testing.T) {
	a, b := net.Pipe()
	_ = b.Close()
	s, p := &spy{Conn: a}, fault.NewPoint("db", everything)
	c := Conn(s, p)
	use := func() int {
		s.own = 0
		_, _ = c.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		_, _ = c.(io.WriterTo).WriteTo(io.Discard)
		return s.own
	}
	if use() != 2 {
		t.Error("off: not used")
	}
	arm(p, fault.Fault{Kind: fault.KindCorrupt, Share: 1})
	if use() != 0 {
		t.Error("under a fault: used")
	}
	p.Off()
	if use() != 2 {
		t.Error("off again: not used")
	}
}

func TestADeadlineThatIsMovedClosesNothingTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		ended := func(done <-chan struct{}) bool {
			synctest.Wait()
			select {
			case <-done:
				return true
			default:
				return false
			}
		}
		first := d.Done()
		d.set(time.Now().Add(time.Second))
		d.set(time.Now().Add(3 * time.Second))
		time.Sleep(2 * time.Second)
		if ended(first) || d.Err() != nil || d.Done() != first {
			t.Error("over before its time")
		}
		time.Sleep(time.Second)
		if !ended(first) || d.Err() != os.ErrDeadlineExceeded || !ended(d.Done()) {
			t.Error("not over")
		}
		d.set(time.Time{})
		again := d.Done()
		if ended(again) || d.Err() != nil {
			t.Error("moved, but over")
		}
		if _, ok := d.Deadline(); ok || d.Value("x") != nil {
			t.Error("has something")
		}
		d.close()
		if !ended(again) || d.Err() != net.ErrClosed {
			t.Error("closed, but not over")
		}
	})
}

// A net.Conn may be used by many at once. What this is for is the race detector.
func TestConcurrentUse(t *testing.T) {
	for _, f := range []fault.Fault{{Kind: fault.KindLatency, Min: 1, Max: 1}, {Kind: fault.KindBandwidth, BytesPerSecond: fault.MaxBytesPerSecond},
		{Kind: fault.KindTruncate, AfterBytes: 700}, {Kind: fault.KindCorrupt, Share: 0.5}, {Kind: fault.KindCancel, Min: 1, Max: 1}, {Kind: fault.KindLostReply}} {
		synctest.Test(t, func(t *testing.T) {
			p := armed(f)
			ours, theirs := pair(t, p)
			echo(theirs)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for range 20 {
						_, _ = ours.Write([]byte("0123456789"))
					}
				})
				all.Go(func() {
					for range 20 {
						_ = ours.SetReadDeadline(time.Now().Add(time.Second))
						_, _ = ours.Read(make([]byte, 10))
					}
				})
			}
			all.Go(func() { time.Sleep(time.Millisecond); p.Off(); arm(p, f) })
			all.Wait()
			_ = ours.Close()
			if p.Active() != 0 {
				t.Errorf("%s: %d active", f.Kind, p.Active())
			}
		})
	}
}
