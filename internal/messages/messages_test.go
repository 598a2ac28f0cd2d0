package messages

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
)

func struck(f fault.Fault, caps fault.Caps) (*fault.Point, *fault.Strike) {
	p := fault.NewPoint("stream", caps)
	p.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		return &fault.Program{Rate: 1, Faults: []fault.Fault{f}}, fault.Assignment{Experiment: "storm"}
	}), nil)
	return p, p.Begin(context.Background(), fault.Call{Messages: true})
}

func TestNoFault(t *testing.T) {
	var f Flow
	if err := f.Pass(context.Background(), 1<<40); err != nil {
		t.Error(err)
	}
}

func TestTruncateBySize(t *testing.T) {
	for _, c := range []struct {
		after int
		sizes []int
		pass  int
	}{
		{0, []int{1}, 0},
		{0, []int{0}, 0},
		{10, []int{4, 6, 1}, 2},
		{10, []int{11}, 0},
		{10, []int{4, 7, 1}, 1}, // the third would fit, but what came before it is lost
		{3, []int{0, 0, 0, 0}, 3},
	} {
		_, s := struck(fault.Fault{Kind: fault.KindTruncate, AfterBytes: c.after}, fault.Caps{})
		f := Flow{Strike: s}
		for i, size := range c.sizes {
			err := f.Pass(context.Background(), size)
			if (err == nil) != (i < c.pass) {
				t.Errorf("%+v: message %d: %v", c, i, err)
			}
			if err != nil && (!errors.Is(err, fault.ErrInjected) || !errors.Is(err, io.ErrUnexpectedEOF)) {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestWhatIsCutShortStaysSo(t *testing.T) {
	p, s := struck(fault.Fault{Kind: fault.KindTruncate}, fault.Caps{})
	f := Flow{Strike: s}
	first := f.Pass(context.Background(), 1)
	p.Off()
	if again := f.Pass(context.Background(), 1); first == nil || again != first {
		t.Errorf("%v, then %v", first, again)
	}
	g := Flow{Strike: s} // nothing was lost before the fault was over
	if err := g.Pass(context.Background(), 1); err != nil {
		t.Error(err)
	}
}

func TestS6BandwidthKeepsToTheLongestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := struck(fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 10}, fault.Caps{MaxLatency: 3 * time.Second})
		f := Flow{Strike: s}
		began := time.Now()
		if err := f.Pass(t.Context(), 20); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		for range 10 {
			if err := f.Pass(t.Context(), 1<<30); err != nil {
				t.Error(err)
			}
		}
		t.Logf("ten messages of 1 GiB took %v", time.Since(began))
		if time.Since(began) > 40*time.Second {
			t.Errorf("held up for %v", time.Since(began))
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := struck(fault.Fault{Kind: fault.KindBandwidth, BytesPerSecond: 1}, fault.Caps{})
		f := Flow{Strike: s}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := f.Pass(ctx, 5); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, fault.ErrInjected) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
