package fault

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// open are caps that allow everything.
func open() Caps {
	return Caps{MaxLatency: MaxLatency, MaxActive: 1 << 30, MaxTotal: 1 << 30, Kinds: kinds, AllowAfter: []string{"*"}}
}

// programmed makes a point where every call meets the program.
func programmed(p *Program, caps Caps) *Point {
	point := NewPoint("stock", caps)
	point.Arm(SourceFunc(func(context.Context) (*Program, Assignment) { return p, Assignment{Experiment: "storm"} }), nil)
	return point
}

func hits(f Fault, caps Caps) *Point { return programmed(&Program{Rate: 1, Faults: []Fault{f}}, caps) }

// attempt makes a call that takes 1 s, through Do or Inject, and tells what came of it.
func attempt(p *Point, bare bool) (made bool, panicked any, took time.Duration, err error) {
	began := time.Now()
	defer func() { panicked, took = recover(), time.Since(began) }()
	if bare {
		return false, nil, 0, p.Inject(ctxBG)
	}
	err = p.Do(ctxBG, func(ctx context.Context) error {
		made = true
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
			return nil
		}
	})
	return made, nil, 0, err
}

func TestC10EveryKindInEveryPhase(t *testing.T) {
	const delay = 10 * time.Second
	reset, timeout, none := error(syscall.ECONNRESET), os.ErrDeadlineExceeded, error(nil)
	cases := []struct {
		kind    Kind
		phase   Phase
		made    bool
		err     error // in its tree; ErrInjected always is
		fails   bool
		panics  bool
		took    time.Duration
		inject  bool // fails at a point without a call of its own, too
		latency time.Duration
	}{
		{kind: KindError, fails: true, inject: true},
		{kind: KindError, phase: Instead, fails: true, inject: true},
		{kind: KindError, phase: After, made: true, fails: true, took: time.Second, inject: true},
		{kind: KindReset, err: reset, fails: true, inject: true},
		{kind: KindReset, phase: After, made: true, err: reset, fails: true, took: time.Second, inject: true},
		{kind: KindLostReply, made: true, err: reset, fails: true, took: time.Second, inject: true},
		{kind: KindLostReply, phase: Before, made: true, err: reset, fails: true, took: time.Second, inject: true},
		{kind: KindLatency, made: true, took: delay + time.Second, latency: delay},
		{kind: KindLatency, phase: After, made: true, took: delay + time.Second, latency: delay},
		{kind: KindLatency, phase: Instead, err: timeout, fails: true, took: delay, inject: true, latency: delay},
		{kind: KindCancel, made: true, err: context.Canceled, fails: true, took: 500 * time.Millisecond, latency: 500 * time.Millisecond},
		{kind: KindPanic, panics: true, inject: true},
		{kind: KindPanic, phase: After, made: true, panics: true, took: time.Second, inject: true},
		{kind: KindBandwidth, made: true, took: time.Second},
		{kind: KindTruncate, made: true, took: time.Second},
		{kind: KindCorrupt, made: true, took: time.Second},
		{kind: "explode", made: true, took: time.Second},
	}
	for _, c := range cases {
		t.Run(string(c.kind)+" "+string(c.phase), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := hits(Fault{Kind: c.kind, Phase: c.phase, Min: c.latency, Max: c.latency, Share: 1}, open())
				made, panicked, took, err := attempt(p, false)
				if made != c.made || took != c.took || (err != nil) != c.fails || (panicked != nil) != c.panics {
					t.Errorf("made %v, %v, panic %v, after %v", made, err, panicked, took)
				}
				if err != nil && (!errors.Is(err, ErrInjected) || c.err != none && !errors.Is(err, c.err)) {
					t.Errorf("error %v", err)
				}
				if e, ok := panicked.(*Error); c.panics && (!ok || e.Kind != KindPanic) {
					t.Errorf("panics with %v", panicked)
				}
				_, panicked, _, err = attempt(p, true)
				if (err != nil || panicked != nil) != c.inject {
					t.Errorf("at a point without a call: %v, panic %v", err, panicked)
				}
				if p.Active() != 0 {
					t.Errorf("%d active", p.Active())
				}
			})
		})
	}
}

// The test that finds double charging: the reply is lost, the caller tries again.
func TestC10LostRepliesFindDoubleCharging(t *testing.T) {
	p := programmed(&Program{Rate: 1, Sequence: []Step{{Count: 1, Fault: &Fault{Kind: KindLostReply}}}}, open())
	charged := 0
	for range 3 {
		if p.Do(ctxBG, func(context.Context) error { charged++; return nil }) == nil {
			break
		}
	}
	if charged != 2 {
		t.Errorf("charged %d times, want twice", charged)
	}
}

// temporary is what servers ask an error of Accept.
func temporary(err error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

var noContext context.Context // nil, as careless callers pass it

func TestAnInjectedErrorIsANetworkErrorWhereARealOneWouldBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := hits(Fault{Kind: KindLatency, Phase: Instead, Min: 1, Max: 1}, open()).Do(ctxBG, succeed)
		n, ok := err.(net.Error)
		if !ok || !n.Timeout() {
			t.Errorf("a call without an answer: %v", err)
		}
		err = hits(Fault{Kind: KindReset}, open()).Do(ctxBG, succeed)
		if n, ok := err.(net.Error); !ok || n.Timeout() || !temporary(n) {
			t.Errorf("a reset: %v", err)
		}
		if want := `fault: injected reset at point "stock" by experiment "storm": connection reset by peer`; err.Error() != want {
			t.Errorf("says %q, want %q", err, want)
		}
	})
}

// What is switched off while a call goes on does nothing to it any more.
func TestC2AFaultThatIsOverLeavesTheRestOfTheCallAlone(t *testing.T) {
	faults := map[string]Fault{
		"error after": {Kind: KindError, Phase: After}, "lost reply": {Kind: KindLostReply}, "panic": {Kind: KindPanic, Phase: After},
		"latency after": {Kind: KindLatency, Phase: After, Min: time.Hour, Max: time.Hour}, "cancel": {Kind: KindCancel, Min: time.Second, Max: time.Second},
	}
	for name, f := range faults {
		synctest.Test(t, func(t *testing.T) {
			p := hits(f, open())
			began := time.Now()
			err := p.Do(ctxBG, func(ctx context.Context) error { p.Off(); time.Sleep(2 * time.Second); return ctx.Err() })
			if err != nil || time.Since(began) != 2*time.Second || p.Injected() != 0 {
				t.Errorf("%s: %v after %v, %d injected", name, err, time.Since(began), p.Injected())
			}
			p = hits(f, open())
			if err := p.Do(ctxBG, func(ctx context.Context) error { time.Sleep(MaxLease); return ctx.Err() }); name != "cancel" && err != nil {
				t.Errorf("%s: after the lease: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // the black hole that is closed lets the call pass
		p := hits(Fault{Kind: KindLatency, Phase: Instead, Min: time.Hour, Max: time.Hour}, open())
		time.AfterFunc(time.Second, p.Off)
		if made, _, took, err := attempt(p, false); !made || err != nil || took != 2*time.Second {
			t.Errorf("made %v, %v after %v", made, err, took)
		}
	})
}

func TestSequences(t *testing.T) {
	doc := func(more string) *Program {
		p, err := ParseProgram([]byte(`{"point":"stock","rate":1,"sequence":[{"count":2,"fault":{"kind":"error"}},{"count":1},{"count":1,"fault":{"kind":"reset"}}]` + more + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	run := func(p *Point, calls int, ctx context.Context) string {
		var log strings.Builder
		for range calls {
			if i, hit := From(p.Do(ctx, succeed)); hit {
				log.WriteByte(i.Kind[0])
			} else {
				log.WriteByte('-')
			}
		}
		return log.String()
	}
	if got := run(programmed(doc(""), open()), 8, ctxBG); got != "ee-r----" {
		t.Errorf("once: %s", got)
	}
	if got := run(programmed(doc(`,"repeat":true`), open()), 9, ctxBG); got != "ee-ree-re" {
		t.Errorf("repeated: %s", got)
	}
	// Per unit of work, whatever others do.
	type work struct{ n uint64 }
	type key struct{}
	p, program := NewPoint("stock", open()), doc("")
	p.Arm(SourceFunc(func(ctx context.Context) (*Program, Assignment) {
		w := ctx.Value(key{}).(*work)
		w.n++
		return program, Assignment{Nth: w.n}
	}), nil)
	a, b := context.WithValue(ctxBG, key{}, &work{}), context.WithValue(ctxBG, key{}, &work{})
	if got := run(p, 1, a) + run(p, 5, b) + run(p, 4, a); got != "e"+"ee-r-"+"e-r-" {
		t.Errorf("interleaved: %s", got)
	}
	// Arming again begins anew.
	q := programmed(doc(""), open())
	first := run(q, 3, ctxBG)
	q.Arm(q.armed.Load().source, nil)
	if got := first + run(q, 3, ctxBG); got != "ee-ee-" {
		t.Errorf("armed again: %s", got)
	}
	for name, odd := range map[string]*Program{"no steps": {Rate: 1, Sequence: []Step{}}, "nonsense": {Rate: 1, Repeat: true, Sequence: []Step{{Count: -5}}}} {
		if got := run(programmed(odd, open()), 3, ctxBG); got != "---" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// All calls of a unit of work are in the sequence, or none: half a sequence would test nothing.
func TestTheRateOfASequenceIsOfUnitsOfWork(t *testing.T) {
	program := &Program{Rate: 0.3, Sequence: []Step{{Count: 3, Fault: &Fault{Kind: KindError}}}}
	caps := open().normalized()
	in := 0
	const works = 20_000
	for w := range uint64(works) {
		hit := 0
		for nth := uint64(1); nth <= 3; nth++ {
			if program.decide("stock", Assignment{Unit: "u", Work: w + 1, Call: 1000*w + nth, Nth: nth}, &caps).fault != nil {
				hit++
			}
		}
		if hit != 0 && hit != 3 {
			t.Fatalf("%d of 3 calls are in", hit)
		}
		in += hit / 3
	}
	within(t, "units of work in the sequence", in, works, 0.3)
}

func TestBeginIsNilWhereNothingHappens(t *testing.T) {
	var s *Strike
	ctx, err := s.Before(ctxBG)
	if ctx != ctxBG || err != nil || s.After(ctx, errReal) != errReal || s.Hold(ctx, time.Hour) != nil || s.Fail(errReal) != errReal || s.Live() {
		t.Error("a nil strike does something")
	}
	body := io.NopCloser(strings.NewReader("x"))
	if s.Body(body) != body || s.Write(io.Discard) != io.Discard || s.Reader(ctx, body) != io.Reader(body) || s.Writer(ctx, io.Discard) != io.Discard {
		t.Error("a nil strike wraps")
	}
	if s.Injection() != (Injection{}) {
		t.Error("a nil strike tells something")
	}
	s.End()
	var p *Point
	p.Arm(always(slow), nil)
	p.Off()
	p.Restrict(Caps{})
	if p.Begin(ctxBG, Call{}) != nil || p.Inject(ctxBG) != nil || p.Traffic() || p.Armed() || p.Active() != 0 || p.Injected() != 0 || p.Name() != "" {
		t.Error("a nil point does something")
	}
	if NewPoint("stock", Caps{}).Begin(ctxBG, Call{}) != nil {
		t.Error("a point that is off does something")
	}
	p = hits(Fault{Kind: KindError}, Caps{})
	s = p.Begin(noContext, Call{}) // what a careless caller does
	if s == nil || s.Injection().Kind != KindError {
		t.Error("no context, no fault")
	}
	s.End()
	s.End()
	if p.Active() != 0 {
		t.Errorf("ended twice: %d active", p.Active())
	}
	if _, err := s.Before(ctxBG); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
