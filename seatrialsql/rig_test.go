package seatrialsql

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/resilience"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func open(t *testing.T, options ...seatrial.Option) *seatrial.Client {
	t.Helper()
	c, err := seatrial.Open(context.Background(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// subject is a client with one dependency, "db", into which a test may inject faults.
func subject(t *testing.T, p resilience.Policy) *seatrial.Client {
	t.Helper()
	return open(t, seatrial.WithPolicy("db", p), seatrial.WithFaults(fault.Caps{Kinds: every}))
}

var every = []fault.Kind{fault.KindError, fault.KindLatency, fault.KindCancel, fault.KindReset, fault.KindLostReply,
	fault.KindPanic, fault.KindBandwidth, fault.KindTruncate, fault.KindCorrupt}

// inject arms the point: of the operations, the n-th with that name is hit by the n-th fault; beyond: not hit.
func inject(c *seatrial.Client, faults ...fault.Fault) *fault.Point {
	p := c.Dependency("db").Point()
	var n atomic.Int64
	p.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		i := n.Add(1)
		if i > int64(len(faults)) || faults[i-1].Kind == "" {
			return nil, fault.Assignment{}
		}
		return &fault.Program{Rate: 1, Faults: faults[i-1 : i]}, fault.Assignment{Experiment: "storm"}
	}), nil)
	return p
}

func record() (Option, func() []sdk.ReadOnlySpan) {
	spans := tracetest.NewSpanRecorder()
	return WithTracerProvider(sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))), spans.Ended
}

func attr(s sdk.ReadOnlySpan, key string) string {
	for _, kv := range s.Attributes() {
		if kv.Key == attribute.Key(key) {
			return kv.Value.String()
		}
	}
	return ""
}
