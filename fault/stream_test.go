package fault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// begun gives a strike of f on a call with bytes.
func begun(f Fault, caps Caps) (*Strike, *Point) {
	p := hits(f, caps)
	return p.Begin(ctxBG, Call{Bytes: true}), p
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func TestBandwidth(t *testing.T) {
	f := Fault{Kind: KindBandwidth, BytesPerSecond: 1000}
	ways := map[string]func(*Strike) (int, error){
		"read": func(s *Strike) (int, error) {
			got, err := io.ReadAll(s.Body(io.NopCloser(bytes.NewReader(content(2000)))))
			if !bytes.Equal(got, content(2000)) {
				t.Error("other bytes came")
			}
			return len(got), err
		},
		"write": func(s *Strike) (int, error) {
			var out bytes.Buffer
			n, err := s.Write(&out).Write(content(2000))
			if !bytes.Equal(out.Bytes(), content(2000)) {
				t.Error("other bytes went")
			}
			return n, err
		},
	}
	for name, pass := range ways {
		synctest.Test(t, func(t *testing.T) {
			s, p := begun(f, open())
			began := time.Now()
			// The last piece, or the first, is free: 50 ms.
			if n, err := pass(s); n != 2000 || err != nil || time.Since(began) < 1900*time.Millisecond || time.Since(began) > 2*time.Second {
				t.Errorf("%s: %d bytes in %v, %v", name, n, time.Since(began), err)
			}
			if p.Injected() != 1 {
				t.Errorf("%s: %d injected", name, p.Injected())
			}
			s, _ = begun(f, Caps{MaxLatency: 500 * time.Millisecond})
			began = time.Now()
			if n, err := pass(s); n != 2000 || err != nil || time.Since(began) != 500*time.Millisecond {
				t.Errorf("%s: capped: %d bytes in %v, %v", name, n, time.Since(began), err)
			}
			s, p = begun(f, open())
			began = time.Now()
			time.AfterFunc(time.Second, p.Off)
			if n, err := pass(s); n != 2000 || err != nil || time.Since(began) != time.Second {
				t.Errorf("%s: switched off: %d bytes in %v, %v", name, n, time.Since(began), err)
			}
			s, _ = begun(f, open())
			ctx, cancel := context.WithTimeout(ctxBG, time.Second)
			defer cancel()
			got, err := io.ReadAll(s.Reader(ctx, bytes.NewReader(content(2000))))
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrInjected) || len(got) < 900 || len(got) > 1100 {
				t.Errorf("out of time: %d bytes, %v", len(got), err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // slower than a piece, and a connection has no total
		p := hits(Fault{Kind: KindBandwidth, BytesPerSecond: 2}, Caps{MaxLatency: 700 * time.Millisecond})
		s := p.Begin(ctxBG, Call{Bytes: true, Connection: true})
		began := time.Now()
		if _, err := s.Write(io.Discard).Write(content(11)); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("2 bytes a second: 11 in %v, %v", time.Since(began), err)
		}
	})
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct{ after, length, want int }{{100, 300, 100}, {0, 300, 0}, {300, 300, 300}, {299, 300, 299}, {500, 300, 300}, {0, 0, 0}} {
		for _, slowly := range []bool{false, true} {
			f := Fault{Kind: KindTruncate, AfterBytes: c.after}
			s, p := begun(f, open())
			var in io.Reader = bytes.NewReader(content(c.length))
			if slowly {
				in = iotest.OneByteReader(in)
			}
			got, err := io.ReadAll(s.Body(io.NopCloser(in)))
			cut := c.want < c.length
			if !bytes.Equal(got, content(c.want)) || (err != nil) != cut || cut && (!errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, ErrInjected)) || p.Injected() != uint64(btoi(cut)) {
				t.Errorf("%d of %d: read %d, %v; %d injected", c.after, c.length, len(got), err, p.Injected())
			}
			s, p = begun(f, open())
			var out bytes.Buffer
			w := s.Write(&out)
			n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(content(c.length))}, make([]byte, 64))
			if !bytes.Equal(out.Bytes(), content(c.want)) || int(n) != c.want || (err != nil) != cut || cut && !errors.Is(err, io.ErrUnexpectedEOF) || p.Injected() != uint64(btoi(cut)) {
				t.Errorf("%d of %d: wrote %d (%d), %v; %d injected", c.after, c.length, out.Len(), n, err, p.Injected())
			}
			if _, again := w.Write([]byte("x")); cut && again != err {
				t.Errorf("written on after the end: %v", again)
			}
		}
	}
	s, p := begun(Fault{Kind: KindTruncate, AfterBytes: 10}, open())
	r := s.Body(io.NopCloser(bytes.NewReader(content(300))))
	_, _ = io.ReadFull(r, make([]byte, 5))
	p.Off()
	if rest, err := io.ReadAll(r); len(rest) != 295 || err != nil {
		t.Errorf("switched off: %d more, %v", len(rest), err)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestS11CorruptionIsReplayed(t *testing.T) {
	const n = 100_000
	spoilt := func(share float64, call uint64, pieces int) (read, written []byte) {
		p := NewPoint("stock", open())
		p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) {
			return &Program{Rate: 1, Faults: []Fault{{Kind: KindCorrupt, Share: share}}}, Assignment{Unit: "u", Call: call}
		}), nil)
		s := p.Begin(ctxBG, Call{Bytes: true})
		defer s.End()
		given := content(n)
		read, _ = io.ReadAll(s.Body(io.NopCloser(bytes.NewReader(given))))
		var out bytes.Buffer
		w := s.Write(&out)
		for part := range slices.Chunk(given, pieces) {
			if k, err := w.Write(part); k != len(part) || err != nil {
				t.Fatalf("%d of %d written, %v", k, len(part), err)
			}
		}
		if !bytes.Equal(given, content(n)) {
			t.Fatal("the caller's bytes were changed")
		}
		return read, out.Bytes()
	}
	differ := func(a, b []byte) (d int) {
		for i := range a {
			if a[i] != b[i] {
				d++
			}
		}
		return d
	}
	for _, share := range []float64{0.001, 0.3, 1} {
		read, written := spoilt(share, 1, 100)
		within(t, "share of bytes read", differ(read, content(n)), n, share)
		within(t, "share of bytes written", differ(written, content(n)), n, share)
		again, writtenAgain := spoilt(share, 1, 33_333)
		if !bytes.Equal(read, again) || !bytes.Equal(written, writtenAgain) {
			t.Errorf("share %v: a replay changes other bytes", share)
		}
		if other, _ := spoilt(share, 2, 100); share < 1 && bytes.Equal(read, other) {
			t.Errorf("share %v: all calls have the same bytes changed", share)
		}
		if share < 1 && bytes.Equal(read, written) {
			t.Error("both ways have the same bytes changed")
		}
	}
}

func TestACancelledBodyNamesTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := begun(Fault{Kind: KindCancel, Min: time.Second, Max: time.Second}, open())
		ctx, _ := s.Before(ctxBG)
		if err := s.After(ctx, nil); err != nil {
			t.Fatal(err)
		}
		in, out := io.Pipe()
		go func() {
			_, _ = out.Write([]byte("begin"))
			<-ctx.Done()
			_ = out.CloseWithError(ctx.Err())
		}()
		got, err := io.ReadAll(s.Body(in))
		if string(got) != "begin" || !errors.Is(err, ErrInjected) || !errors.Is(err, context.Canceled) || p.Injected() != 1 {
			t.Errorf("%q, %v", got, err)
		}
		s.End()
	})
}

// What is not of the kind passes as it is, the very same reader and writer.
func TestOtherKindsLeaveTheBytesAlone(t *testing.T) {
	for _, k := range []Kind{KindError, KindLatency, KindReset, KindLostReply, KindPanic} {
		s, _ := begun(Fault{Kind: k}, open())
		body := io.NopCloser(strings.NewReader("x"))
		if s.Body(body) != body || s.Write(io.Discard) != io.Discard || s.Body(nil) != nil || s.Write(nil) != nil {
			t.Errorf("%s wraps", k)
		}
	}
}

// A reader stays a reader, whatever happens to it: iotest checks what readers must keep to.
func TestReadersKeepToTheContract(t *testing.T) {
	for _, f := range []Fault{{Kind: KindBandwidth, BytesPerSecond: MaxBytesPerSecond}, {Kind: KindTruncate, AfterBytes: 1000}, {Kind: KindCorrupt, Share: 0}, {Kind: KindCancel, Max: 0}} {
		s, _ := begun(f, open())
		if err := iotest.TestReader(s.Reader(ctxBG, bytes.NewReader(content(500))), content(500)); err != nil {
			t.Errorf("%s: %v", f.Kind, err)
		}
	}
}

func TestS10EveryFaultIsToldOnceWhenItTakesEffect(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			f := sensibleFault(rt)
			fails := rapid.Bool().Draw(rt, "fails")
			program, told := &Program{Rate: 1, Faults: []Fault{f}}, []Injection{}
			p := NewPoint("stock", open())
			type key struct{}
			ctx := context.WithValue(ctxBG, key{}, "mine")
			source := &observing{SourceFunc(func(context.Context) (*Program, Assignment) {
				return program, Assignment{Experiment: "storm", Variant: "hit"}
			}), func(ctx context.Context, i Injection) {
				if ctx.Value(key{}) != "mine" {
					t.Error("another context")
				}
				told = append(told, i)
			}}
			lease := NewLease(0)
			p.Arm(source, lease)
			effect := observedCall(p, ctx, lease, fails)
			if got := len(told) == 1; got != effect || len(told) > 1 || p.Injected() != uint64(len(told)) {
				t.Errorf("%+v: took effect %v, told %+v, counted %d", f, effect, told, p.Injected())
			}
			if len(told) == 1 && (told[0].Kind != f.Kind || told[0].Phase != f.Phase || told[0].Point != "stock" || told[0].Experiment != "storm" || told[0].Variant != "hit") {
				t.Errorf("told %+v", told[0])
			}
		})
	})
}

type observing struct {
	Source
	injected func(context.Context, Injection)
}

func (o *observing) Injected(ctx context.Context, i Injection) { o.injected(ctx, i) }

// observedCall makes a call of 1 s with 100 bytes of body, and tells from outside whether anything
// happened to it.
func observedCall(p *Point, ctx context.Context, lease *Lease, fails bool) (effect bool) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
				lease.Renew()
			}
		}
	}()
	began := time.Now()
	defer func() {
		if recover() != nil {
			effect = true
		}
	}()
	s := p.Begin(ctx, Call{Bytes: true})
	defer s.End()
	inner, err := s.Before(ctx)
	if err != nil {
		return true
	}
	select {
	case <-inner.Done():
		err = inner.Err()
	case <-time.After(time.Second):
		if fails {
			err = errReal
		}
	}
	if err = s.After(inner, err); err != nil {
		_, injected := From(err)
		return injected || time.Since(began) != time.Second
	}
	got, err := io.ReadAll(s.Body(io.NopCloser(bytes.NewReader(content(100)))))
	return err != nil || !bytes.Equal(got, content(100)) || time.Since(began) != time.Second
}
