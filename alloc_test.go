package seatrial_test

import (
	"context"
	"testing"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
)

// Seen from another package evaluations by key do not allocate either: the compiler may put them
// into their callers, where what is on the stack here could escape. And neither do calls and points
// while there is no experiment.
func TestEvaluationByKeyDoesNotAllocateElsewhere(t *testing.T) {
	client, err := seatrial.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	allowing, err := seatrial.Open(t.Context(), seatrial.WithFaults(fault.Caps{}))
	if err != nil {
		t.Fatal(err)
	}
	defer allowing.Close(t.Context())
	payment, orders := client.Dependency("payment"), allowing.Point("orders")
	succeed := func(context.Context) error { return nil }
	ctx := seatrial.WithContext(context.Background(), seatrial.NewContext("u1"))
	for name, evaluate := range map[string]func(){
		"Bool":   func() { client.Bool(ctx, "f", false) },
		"String": func() { client.String(ctx, "f", "") },
		"Int":    func() { client.Int(ctx, "f", 0) },
		"Float":  func() { client.Float(ctx, "f", 0) },
		"Do":     func() { _ = payment.Do(ctx, succeed) },
		"Carry":  func() { client.Carry(ctx) },
		"Point":  func() { _ = orders.Inject(ctx) },
		"Begin":  func() { orders.Begin(ctx, fault.Call{Operation: "/", Bytes: true}).End() },
	} {
		if n := testing.AllocsPerRun(100, evaluate); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
