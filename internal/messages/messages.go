// Package messages does to whole messages, or rows, what faults of the kinds bandwidth and truncate
// do to bytes: adapters whose bytes are not theirs pass every message by its size.
package messages

import (
	"context"
	"io"
	"time"

	"github.com/seatrial/seatrial/fault"
)

// Flow is the messages of one call in one direction, for one goroutine at a time. The zero Flow lets
// everything pass.
type Flow struct {
	// Strike is the fault; see [fault.Call.Messages].
	Strike *fault.Strike

	passed int
	broken error
}

// Pass lets a message of that size in bytes pass, at least 1, if need be after a while. Where the
// fault cuts the call short it gives an error, a *fault.Error around io.ErrUnexpectedEOF: the
// message is lost, and so are all that come after. Waiting ends with ctx, then with a *fault.Error too.
func (f *Flow) Pass(ctx context.Context, size int) error {
	if f.Strike == nil || f.broken != nil {
		return f.broken
	}
	size = max(size, 1)
	switch i := f.Strike.Injection(); {
	case i.Kind == fault.KindTruncate && size > i.AfterBytes-f.passed && f.Strike.Live():
		f.broken = f.Strike.Fail(io.ErrUnexpectedEOF)
		return f.broken
	case i.Kind == fault.KindBandwidth:
		return f.Strike.Hold(ctx, duration(size, i.BytesPerSecond))
	}
	f.passed += size
	return nil
}

// duration is how long size bytes take.
func duration(size, perSecond int) time.Duration {
	return time.Duration(float64(size) / float64(max(perSecond, 1)) * float64(time.Second))
}
