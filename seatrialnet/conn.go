package seatrialnet

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/fault"
)

// Conn gives c with the faults of the point done to it, one decision for the connection. A nil point
// gives c. What is returned has the method NetConn, which gives c; io.ReaderFrom and io.WriterTo; and
// those of CloseRead, CloseWrite, SyscallConn, SetKeepAlive, SetKeepAlivePeriod, SetLinger and
// SetNoDelay that c has as a TCP or Unix connection. As any net.Conn it is safe for concurrent use.
func Conn(c net.Conn, p *fault.Point) net.Conn {
	if p == nil || c == nil {
		return c
	}
	return wrap(newConn(context.Background(), c, p, ""))
}

// conn is a connection with faults.
type conn struct {
	net.Conn
	point   *fault.Point
	ctx     context.Context // for whom it is decided
	address string          // that was dialled
	serves  bool            // we give the answers: they are what is written

	fate           atomic.Pointer[fate] // nil: not decided, or nothing happens
	broken         atomic.Pointer[error]
	reads, writes  deadline
	mu             sync.Mutex // serialises decisions
	closed         bool
	delayed        sync.Mutex // of early and earlyErr
	hasEarly       atomic.Bool
	early          []byte // read, but held up longer than the deadline allowed
	earlyErr       error
	answerExpected atomic.Bool // there was a request under the fault
}

// fate is what was decided about the connection for one arming of its point.
type fate struct {
	arming uint64
	strike *fault.Strike // nil: nothing happens
	in     io.Reader     // the connection, as the fault lets it be read
	out    io.Writer
	life   context.Context // of KindCancel: ends with the connection
	forget func() bool     // stops waiting for that
}

func newConn(ctx context.Context, c net.Conn, p *fault.Point, address string) *conn {
	return &conn{Conn: c, point: p, ctx: context.WithoutCancel(ctx), address: address}
}

// call is what the point is told of a connection.
func call(address string) fault.Call {
	return fault.Call{Operation: address, Bytes: true, Connection: true}
}

// current gives the fate if there is a fault in force. A connection that is under none costs two
// atomic loads.
func (c *conn) current() *fate {
	f, arming := c.fate.Load(), c.point.Arming()
	if arming != 0 && (f == nil || f.arming != arming) {
		f = c.decide(arming)
	}
	if f == nil || !f.strike.Live() {
		return nil
	}
	return f
}

// decide asks the point, once for each arming.
func (c *conn) decide(arming uint64) *fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fate.Load()
	if c.closed || f != nil && f.arming == arming {
		return f
	}
	f.end()
	s := c.point.Begin(c.ctx, call(c.address))
	var life context.Context
	if s.Injection().Kind == fault.KindCancel {
		life, _ = s.Before(c.ctx)
	}
	return c.suffer(arming, s, life)
}

// oneReader lets one read at a time pass; connections can be read by several. Its slot is a channel,
// so that deadlines reach those that wait for it, and tests in fake time as well.
type oneReader struct {
	slot  chan struct{}
	limit context.Context
	r     io.Reader
}

func (o *oneReader) Read(b []byte) (int, error) {
	if err := enter(o.slot, o.limit); err != nil {
		return 0, err
	}
	defer func() { <-o.slot }()
	return o.r.Read(b)
}

// oneWriter lets one write at a time pass.
type oneWriter struct {
	slot  chan struct{}
	limit context.Context
	w     io.Writer
}

func (o *oneWriter) Write(b []byte) (int, error) {
	if err := enter(o.slot, o.limit); err != nil {
		return 0, err
	}
	defer func() { <-o.slot }()
	return o.w.Write(b)
}

// enter waits for the slot, or for the deadline.
func enter(slot chan struct{}, limit context.Context) error {
	for {
		select {
		case slot <- struct{}{}:
			return nil
		case <-limit.Done():
			if err := limit.Err(); err != nil { // else it was moved meanwhile
				return err
			}
		}
	}
}

// suffer makes the strike the connection's fate.
func (c *conn) suffer(arming uint64, s *fault.Strike, life context.Context) *fate {
	f := &fate{arming: arming, strike: s, in: c.Conn, out: c.Conn, life: life}
	switch s.Injection().Kind {
	case fault.KindBandwidth, fault.KindTruncate, fault.KindCorrupt:
		f.in = &oneReader{make(chan struct{}, 1), &c.reads, s.Reader(&c.reads, c.Conn)}
		f.out = &oneWriter{make(chan struct{}, 1), &c.writes, s.Writer(&c.writes, c.Conn)}
	}
	if life != nil {
		f.forget = func() bool { return true }
		if closeIt := func() { c.cancelled(f) }; life.Err() != nil {
			closeIt()
		} else {
			f.forget = context.AfterFunc(life, closeIt)
		}
	}
	c.answerExpected.Store(false)
	c.fate.Store(f)
	return f
}

// cancelled closes the connection if it was the fault that ended its life.
func (c *conn) cancelled(f *fate) {
	if _, injected := fault.From(context.Cause(f.life)); injected {
		_ = c.fail(f.strike.After(f.life, context.Canceled), false)
	}
}

func (f *fate) end() {
	if f == nil {
		return
	}
	if f.forget != nil {
		f.forget()
	}
	f.strike.End()
}

// fail breaks the connection, for good, and gives the error of the first to break it.
func (c *conn) fail(err error, reset bool) error {
	if c.broken.CompareAndSwap(nil, &err) {
		abort(c.Conn, reset)
	}
	return *c.broken.Load()
}

// abort closes a connection, with a TCP RST if that is asked for and can be done.
func abort(c net.Conn, reset bool) {
	if t, ok := c.(interface{ SetLinger(int) error }); ok && reset {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// Read reads from the connection, if the fault lets it.
func (c *conn) Read(b []byte) (int, error) {
	if c.hasEarly.Load() {
		if n, err, ok := c.takeEarly(b); ok {
			return n, err
		}
	}
	f := c.current()
	if f == nil {
		n, err := c.Conn.Read(b)
		return n, c.why(err)
	}
	if err := c.before(f, &c.reads); err != nil {
		return 0, err
	}
	n, err := f.in.Read(b)
	if n > 0 {
		if err := c.arrived(f, b[:n], err); err != nil {
			return 0, err
		}
	}
	return n, c.cut(f, err)
}

// cut is why, and closes a connection whose bytes were cut short: what comes after the gap must not pass
// for what was lost, not even when the fault is over.
func (c *conn) cut(f *fate, err error) error {
	if _, injected := err.(*fault.Error); injected && f.strike.Injection().Kind == fault.KindTruncate {
		return c.fail(err, false)
	}
	return c.why(err)
}

// why gives the fault's error where it broke the connection.
func (c *conn) why(err error) error {
	if broken := c.broken.Load(); err != nil && broken != nil {
		return *broken
	}
	return err
}

// before does what happens before a read or write; with an error it is not to be made.
func (c *conn) before(f *fate, limit context.Context) error {
	if broken := c.broken.Load(); broken != nil {
		return *broken
	}
	switch i := f.strike.Injection(); {
	case i.Kind == fault.KindPanic:
		panic(f.strike.Fail(nil))
	case i.Kind == fault.KindLatency && i.Phase == fault.Instead:
		return c.blackHole(f, limit)
	case i.Phase == fault.After:
		return nil
	case i.Kind == fault.KindReset:
		return c.fail(f.strike.Fail(syscall.ECONNRESET), true)
	case i.Kind == fault.KindError:
		return c.fail(f.strike.Fail(nil), false)
	default:
		return nil
	}
}

// blackHole holds an operation up and then fails it, unless the fault was over before.
func (c *conn) blackHole(f *fate, limit context.Context) error {
	if err := f.strike.Hold(limit, f.strike.Injection().Delay); err != nil {
		return err
	}
	if !f.strike.Live() {
		return nil
	}
	return f.strike.Fail(errTimeout)
}

// arrived does what happens to bytes that were read, with the error that came with them.
func (c *conn) arrived(f *fate, got []byte, readErr error) error {
	if i := f.strike.Injection(); i.Kind == fault.KindLatency {
		err := f.strike.Hold(&c.reads, i.Delay)
		if err != nil {
			c.putEarly(got, readErr)
		}
		return err
	}
	if c.serves {
		c.answerExpected.Store(true)
		return nil
	}
	return c.loseAnswer(f)
}

// loseAnswer is asked when there is an answer, and gives an error if it is lost.
func (c *conn) loseAnswer(f *fate) error {
	i := f.strike.Injection()
	if i.Phase != fault.After || !c.answerExpected.Load() || !f.strike.Live() {
		return nil
	}
	switch i.Kind {
	case fault.KindReset:
		return c.fail(f.strike.Fail(syscall.ECONNRESET), true)
	case fault.KindError:
		return c.fail(f.strike.Fail(nil), false)
	case fault.KindLostReply:
		return f.strike.Fail(syscall.ECONNRESET)
	default:
		return nil
	}
}

// putEarly keeps what was read although it came too late for this read.
func (c *conn) putEarly(got []byte, err error) {
	c.delayed.Lock()
	defer c.delayed.Unlock()
	c.early, c.earlyErr = append(c.early, got...), err
	c.hasEarly.Store(true)
}

func (c *conn) takeEarly(b []byte) (n int, err error, ok bool) {
	if err := c.reads.Err(); err != nil {
		return 0, err, true
	}
	c.delayed.Lock()
	defer c.delayed.Unlock()
	if len(c.early) == 0 {
		return 0, nil, false
	}
	n = copy(b, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		err, c.early, c.earlyErr = c.earlyErr, nil, nil
		c.hasEarly.Store(false)
	}
	return n, err, true
}

// Write writes to the connection, if the fault lets it.
func (c *conn) Write(b []byte) (int, error) {
	f := c.current()
	if f == nil {
		n, err := c.Conn.Write(b)
		return n, c.why(err)
	}
	if err := c.before(f, &c.writes); err != nil {
		return 0, err
	}
	if c.serves {
		return c.reply(f, b)
	}
	c.answerExpected.Store(true)
	return c.send(f, b)
}

// reply writes for who gives the answers. One that is lost was written, as far as the writer knows;
// the peer sees a reset.
func (c *conn) reply(f *fate, b []byte) (int, error) {
	err := c.loseAnswer(f)
	switch {
	case err == nil:
		return c.send(f, b)
	case f.strike.Injection().Kind == fault.KindLostReply:
		_ = c.fail(err, true)
		return len(b), nil
	default:
		return 0, err
	}
}

// send writes, at the fault's pace.
func (c *conn) send(f *fate, b []byte) (int, error) {
	i := f.strike.Injection()
	if i.Kind != fault.KindLatency {
		n, err := f.out.Write(b)
		return n, c.cut(f, err)
	}
	if i.Phase == fault.Before {
		if err := f.strike.Hold(&c.writes, i.Delay); err != nil {
			return 0, err
		}
	}
	n, err := f.out.Write(b)
	if err == nil && i.Phase == fault.After {
		err = f.strike.Hold(&c.writes, i.Delay)
	}
	return n, c.why(err)
}

// ReadFrom writes what it reads from r: by the connection's own way, such as sendfile, unless it is
// under a fault when it begins.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if own, ok := c.Conn.(io.ReaderFrom); ok && c.current() == nil {
		n, err := own.ReadFrom(r)
		return n, c.why(err)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

// WriteTo writes what comes to w: by the connection's own way, such as splice, unless it is under a
// fault when it begins.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	if own, ok := c.Conn.(io.WriterTo); ok && !c.hasEarly.Load() && c.current() == nil {
		n, err := own.WriteTo(w)
		return n, c.why(err)
	}
	return io.Copy(w, struct{ io.Reader }{c})
}

// NetConn gives the connection without faults.
func (c *conn) NetConn() net.Conn { return c.Conn }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	c.reads.set(t)
	c.writes.set(t)
	return c.why(c.Conn.SetDeadline(t))
}

// SetReadDeadline cuts reads short, also those that a fault holds up.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.reads.set(t)
	return c.why(c.Conn.SetReadDeadline(t))
}

// SetWriteDeadline cuts writes short, also those that a fault holds up.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writes.set(t)
	return c.why(c.Conn.SetWriteDeadline(t))
}

// Close closes the connection and cuts short what a fault holds up. Closing a connection that a
// fault broke is no error.
func (c *conn) Close() error {
	c.reads.close()
	c.writes.close()
	c.mu.Lock()
	c.closed = true
	c.fate.Load().end()
	c.mu.Unlock()
	err := c.Conn.Close()
	if c.broken.Load() != nil && errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
