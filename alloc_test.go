package seatrial_test

import (
	"context"
	"testing"

	"github.com/seatrial/seatrial"
)

// Seen from another package evaluations by key do not allocate either: the compiler may put them
// into their callers, where what is on the stack here could escape.
func TestEvaluationByKeyDoesNotAllocateElsewhere(t *testing.T) {
	client, err := seatrial.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx := seatrial.WithContext(context.Background(), seatrial.NewContext("u1"))
	for name, evaluate := range map[string]func(){
		"Bool":   func() { client.Bool(ctx, "f", false) },
		"String": func() { client.String(ctx, "f", "") },
		"Int":    func() { client.Int(ctx, "f", 0) },
		"Float":  func() { client.Float(ctx, "f", 0) },
	} {
		if n := testing.AllocsPerRun(100, evaluate); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
