package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Two servers die at random moves of the cursor and come back, while the receiver fails now and
// then and trials go on: every event arrives, and what arrives is in order, repetitions aside.
func TestNothingIsLostWhereverServersDie(t *testing.T) {
	seeds, repeated := uint64(40), 0
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		inFakeTime(t, func(r *rig) { repeated += dyingServers(r, rand.New(rand.NewPCG(seed, 1))) })
	}
	if repeated == 0 {
		t.Error("no event came twice, so no server died between a delivery and its cursor")
	}
	t.Logf("%d repetitions over %d histories", repeated, seeds)
}

func dyingServers(r *rig, random *rand.Rand) (repeated int) {
	t := r.t
	r.hook("ci")
	var mu sync.Mutex // guards what follows
	dying, calm := map[string]context.CancelCauseFunc{}, false
	guarded := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
	draw := func(n int) (i int) { guarded(func() { i = random.IntN(n) }); return i }
	killed := errors.New("killed")
	r.cursors.Moving = func(c control.Cursor) error {
		kill := draw(4) == 0
		mu.Lock()
		defer mu.Unlock()
		if c.Owner == "" { // released in good order: who is killed does not
			return map[bool]error{false: killed}[calm]
		}
		if calm || !kill {
			return nil
		}
		dying[c.Owner](killed)
		return killed
	}
	r.answerWith(func(request) (int, http.Header) {
		if draw(5) == 0 {
			return 503, nil
		}
		return 200, nil
	})
	done := make(chan struct{})
	var servers sync.WaitGroup
	for replica := range 2 {
		servers.Go(func() {
			for life := 0; ; life++ {
				select {
				case <-done:
					return
				default:
				}
				owner := fmt.Sprintf("%d.%d", replica, life)
				ctx, die := context.WithCancelCause(t.Context())
				go func() { <-done; die(context.Canceled) }()
				guarded(func() { dying[owner] = die })
				r.notifier(func(c *Config) { c.Owner = owner }).Run(ctx)
			}
		})
	}
	r.start("one")
	for range 15 {
		r.command("one", "pause", "resume")
		time.Sleep(time.Duration(draw(40)) * time.Second)
	}
	r.command("one", "abort")
	guarded(func() { calm = true })
	time.Sleep(3 * time.Hour)
	close(done)
	servers.Wait()
	want := []string{"trial.started"}
	for range 15 {
		want = append(want, "trial.paused", "trial.resumed")
	}
	want = append(want, "trial.aborted")
	return checkArrivals(r, want)
}

// checkArrivals checks that what arrived first of each event is what happened, in order.
func checkArrivals(r *rig, want []string) (repeated int) {
	seen := map[string]bool{}
	var got []string
	for _, q := range r.requests() {
		if seen[q.id] {
			repeated++
			continue
		}
		seen[q.id] = true
		got = append(got, q.json(r.t).Type)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		r.t.Errorf("got %v\nwant %v", got, want)
	}
	return repeated
}
