package fault

import (
	"context"
	"io"
	"time"
)

// Body gives rc with the fault done to what is read from it: slow, ending early, or with other
// bytes; and with the reason named where a cancellation ends it. Close passes through.
func (s *Strike) Body(rc io.ReadCloser) io.ReadCloser {
	if s == nil || rc == nil {
		return rc
	}
	switch s.injection.Kind {
	case KindBandwidth, KindTruncate, KindCorrupt, KindCancel:
		return struct {
			io.Reader
			io.Closer
		}{s.Reader(s.ctx, rc), rc}
	default:
		return rc
	}
}

// Write gives w with the fault done to what is written to it.
func (s *Strike) Write(w io.Writer) io.Writer {
	if s == nil {
		return w
	}
	return s.Writer(s.ctx, w)
}

// Reader gives r with the fault done to what is read, for one reader at a time. Where the fault
// makes it wait, ctx ends the wait.
func (s *Strike) Reader(ctx context.Context, r io.Reader) io.Reader {
	if s == nil || r == nil {
		return r
	}
	switch s.injection.Kind {
	case KindBandwidth:
		return &slowReader{pace{s: s, ctx: ctx}, r}
	case KindTruncate:
		return &shortReader{s: s, in: r, left: s.injection.AfterBytes}
	case KindCorrupt:
		return &spoiledReader{spoiler{s: s}, r}
	case KindCancel:
		return cancelledReader{s, r}
	default:
		return r
	}
}

// Writer gives w with the fault done to what is written, for one writer at a time. Where the fault
// makes it wait, ctx ends the wait.
func (s *Strike) Writer(ctx context.Context, w io.Writer) io.Writer {
	if s == nil || w == nil {
		return w
	}
	switch s.injection.Kind {
	case KindBandwidth:
		return &slowWriter{pace{s: s, ctx: ctx}, w}
	case KindTruncate:
		return &shortWriter{s: s, out: w, left: s.injection.AfterBytes}
	case KindCorrupt:
		return &spoiledWriter{spoiler: spoiler{s: s, salt: writes}, out: w}
	default:
		return w
	}
}

// pace lets bytes pass at the fault's speed, in pieces of 50 ms.
type pace struct {
	s   *Strike
	ctx context.Context
	due time.Time // when the next bytes may pass; zero: at once
}

const piecesPerSecond = 20

// next waits for its turn, and tells how many of n bytes may pass then.
func (p *pace) next(n int) (int, error) {
	if !p.s.Live() {
		return n, nil
	}
	if err := p.s.Hold(p.ctx, time.Until(p.due)); err != nil {
		return 0, err
	}
	return min(n, p.piece()), nil
}

func (p *pace) piece() int { return max(p.s.injection.BytesPerSecond/piecesPerSecond, 1) }

// passed counts n bytes, but no more than a piece: more pass at once only while the fault is over.
func (p *pace) passed(n int) {
	n = min(n, p.piece())
	p.due = time.Now().Add(time.Duration(float64(n) / float64(p.s.injection.BytesPerSecond) * float64(time.Second)))
}

type slowReader struct {
	pace
	in io.Reader
}

func (r *slowReader) Read(b []byte) (int, error) {
	n, err := r.next(len(b))
	if err != nil {
		return 0, err
	}
	n, err = r.in.Read(b[:n])
	r.passed(n)
	return n, err
}

type slowWriter struct {
	pace
	out io.Writer
}

func (w *slowWriter) Write(b []byte) (done int, err error) {
	for first := true; first || done < len(b); first = false {
		n, err := w.next(len(b) - done)
		if err != nil {
			return done, err
		}
		n, err = w.out.Write(b[done : done+n])
		w.passed(n)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// shortReader ends early. What was lost stays lost, also when the fault is over.
type shortReader struct {
	s      *Strike
	in     io.Reader
	left   int
	broken error
}

func (r *shortReader) Read(b []byte) (int, error) {
	if r.broken != nil {
		return 0, r.broken
	}
	if r.left > 0 && len(b) > r.left && r.s.Live() {
		b = b[:r.left]
	}
	n, err := r.in.Read(b)
	if r.left == 0 && n > 0 && r.s.Live() { // there would have been more
		r.broken = r.s.Fail(io.ErrUnexpectedEOF)
		return 0, r.broken
	}
	r.left -= min(n, r.left)
	return n, err
}

type shortWriter struct {
	s      *Strike
	out    io.Writer
	left   int
	broken error
}

func (w *shortWriter) Write(b []byte) (int, error) {
	if w.broken != nil {
		return 0, w.broken
	}
	if len(b) <= w.left || !w.s.Live() {
		n, err := w.out.Write(b)
		w.left -= min(n, w.left)
		return n, err
	}
	n, err := 0, error(nil)
	if w.left > 0 {
		n, err = w.out.Write(b[:w.left])
		w.left -= min(n, w.left)
	}
	if err == nil {
		w.broken = w.s.Fail(io.ErrUnexpectedEOF)
		err = w.broken
	}
	return n, err
}

// spoiler changes bytes by their place alone, so that a replay changes the same ones.
type spoiler struct {
	s    *Strike
	salt uint64
	at   uint64 // place of the next byte
}

// writes makes other bytes change of what is written than of what is read.
const writes = 0x5752

func (p *spoiler) spoil(b []byte) {
	if p.s.Live() {
		for i := range b {
			h := mix(p.s.draw ^ p.salt ^ mix(p.at+uint64(i)))
			if unit(h) < p.s.injection.Share {
				b[i] ^= byte(h) | 1 // never 0; the low bits do not decide
				p.s.tell()
			}
		}
	}
	p.at += uint64(len(b))
}

type spoiledReader struct {
	spoiler
	in io.Reader
}

func (r *spoiledReader) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	r.spoil(b[:n])
	return n, err
}

type spoiledWriter struct {
	spoiler
	out    io.Writer
	buffer [4 << 10]byte // what is given to be written belongs to the caller
}

func (w *spoiledWriter) Write(b []byte) (done int, err error) {
	for first := true; first || done < len(b); first = false {
		n := copy(w.buffer[:], b[done:])
		w.spoil(w.buffer[:n])
		n, err := w.out.Write(w.buffer[:n])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// cancelledReader names the reason when the context of the call was cancelled by the fault.
type cancelledReader struct {
	s  *Strike
	in io.Reader
}

func (r cancelledReader) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	if err != nil && err != io.EOF {
		err = r.s.blame(err)
	}
	return n, err
}
