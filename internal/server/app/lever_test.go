package app_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
)

// leverFleet is a server with clients that call payment all the time.
type leverFleet struct {
	*loop
	clients []*seatrial.Client
	held    []atomic.Int64 // calls of each client that are going on
	done    atomic.Int64
}

func newLeverFleet(t *testing.T, n int) *leverFleet {
	options := []seatrial.Option{seatrial.WithServer(loopURL), seatrial.WithService("shop"), seatrial.WithFaults(fault.Caps{}),
		seatrial.WithFlushInterval(time.Second), seatrial.WithWait(time.Minute)}
	f := &leverFleet{held: make([]atomic.Int64, n)}
	var server *app.Server
	f.loop, server = newLoopWith(t)
	for i := range n {
		key := newToken(t, server, control.NewToken{Name: fmt.Sprint("shop-", i), Kind: control.TokenSDK})
		c, err := seatrial.Open(t.Context(), append(options, seatrial.WithHTTPClient(f.http), seatrial.WithKey(key))...)
		if err != nil {
			t.Fatal(err)
		}
		f.clients = append(f.clients, c)
	}
	return f
}

func (f *leverFleet) close() {
	for _, c := range f.clients {
		if err := c.Close(context.Background()); err != nil {
			f.t.Error(err)
		}
	}
}

// call is a request of a user that calls payment, which answers at once.
func (f *leverFleet) call(i, user int) {
	f.held[i].Add(1)
	defer func() { f.held[i].Add(-1); f.done.Add(1) }()
	ctx, work := f.clients[i].Begin(context.Background())
	ctx = seatrial.WithContext(ctx, seatrial.NewContext(fmt.Sprintf("user-%d-%d", i, user)))
	work.End(f.clients[i].Dependency("payment").Do(ctx, func(context.Context) error { return nil }))
}

// S2, end to end: a server, three clients on its change stream, and calls that are held up for 10 s
// each by an experiment. The lever lets all of them go within a second, and keeps the next ones free.
func TestS2LeverReleasesEveryClientWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLeverFleet(t, 3)
		defer f.close()
		var traffic sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		defer traffic.Wait()
		defer stop()
		for i := range f.clients {
			traffic.Go(func() {
				for user := 0; ctx.Err() == nil; user++ {
					traffic.Go(func() { f.call(i, user%200) })
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		time.Sleep(2 * time.Minute) // points are reported once a minute
		f.must("POST", "/api/v1/flags", `{"key":"slow","kind":"fault","type":"object","enabled":true,"defaultVariant":"off","variants":[{"name":"off","value":null},
			{"name":"on","value":{"point":"payment","rate":1,"faults":[{"kind":"latency","min":"10s","max":"10s"}]}}]}`, nil)
		f.must("POST", "/api/v1/trials", `{"name":"slow-payment","goal":"survive","flag":"slow","treatment":"on","control":"off","hypothesis":"orders go on",
			"interval":"1s","steadyTime":"5s","deadline":"30m","maxUnits":100000,"steps":[{"share":50000,"minTime":"20m","minUnits":100}],
			"guardrails":[{"metric":"errors","mode":"enforce","relative":0.5,"absolute":0.4}]}`, nil)
		f.awaitHeld()
		if s := f.trial("slow-payment").State; s.Phase != trial.PhaseRunning && s.Phase != trial.PhaseHolding {
			t.Fatalf("the experiment is %s: %s", s.Phase, s.Why)
		}

		var moved struct {
			control.LeverEntry
			Complete bool             `json:"complete"`
			Halted   []control.Halted `json:"halted"`
		}
		f.must("PUT", "/api/v1/chaos", `{"off":true,"reason":"incident 4711"}`, &moved)
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range f.clients {
			if n := f.held[i].Load(); n > 0 {
				t.Errorf("client %d: %d calls are still held up a second after the lever was moved", i, n)
			}
			if s := f.clients[i].Status(); s.FaultsAllowed || s.FaultsOff == "" {
				t.Errorf("client %d does not know: %+v", i, s)
			}
		}
		if !moved.Off || !moved.Complete || len(moved.Halted) != 1 {
			t.Errorf("the lever: %+v", moved)
		}
		if s := f.trial("slow-payment").State; s.Result != trial.ResultAborted {
			t.Errorf("the experiment is %s: %s", s.Phase, s.Why)
		}
		before := f.done.Load()
		time.Sleep(5 * time.Second)
		if n := f.done.Load() - before; n < 3*5*20*9/10 {
			t.Errorf("%d calls in 5 s afterwards: some are still held up", n)
		}
	})
}

// awaitHeld waits until each client has calls that are held up.
func (f *leverFleet) awaitHeld() {
	f.t.Helper()
	for range 300 {
		time.Sleep(time.Second)
		all := true
		for i := range f.held {
			all = all && f.held[i].Load() >= 20
		}
		if all {
			return
		}
	}
	f.t.Fatal("the fault never hit: " + f.trial("slow-payment").State.Why)
}
