package fault_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/fault"
)

func Example() {
	payment := fault.NewPoint("payment", fault.Caps{MaxLatency: time.Second, AllowAfter: []string{"payment"}})
	charge := func() error {
		return payment.Do(context.Background(), func(context.Context) error {
			fmt.Println("charged")
			return nil
		})
	}
	fmt.Println("off:", charge())

	program, err := fault.ParseProgram([]byte(`{"point":"payment","rate":1,"faults":[
		{"kind":"error","status":503,"phase":"after","message":"reply lost"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	lease := fault.NewLease(10 * time.Second) // ends the experiment unless it is renewed
	payment.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
		return program, fault.Assignment{Experiment: "lost-replies", Unit: "user-7"}
	}), lease)
	err = charge()
	fmt.Println("armed:", err, errors.Is(err, fault.ErrInjected))

	lease.End()
	fmt.Println("ended:", charge())
	// Output:
	// charged
	// off: <nil>
	// charged
	// armed: fault: injected error at point "payment" by experiment "lost-replies": reply lost true
	// charged
	// ended: <nil>
}

func ExampleParseProgram() {
	_, err := fault.ParseProgram([]byte(`{"point":"payment","rate":1.5,"faults":[{"kind":"latency","min":"2s","max":"1s"}]}`))
	fmt.Println(err)
	// Output: fault program: /rate: is 1.5: it must be from 0 to 1 (1 is 100 %); /faults/0/max: is shorter than min, 2s
}
