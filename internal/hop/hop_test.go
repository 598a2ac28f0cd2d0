package hop

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seatrial/seatrial/resilience"
)

func TestAttemptsAddUp(t *testing.T) {
	ctx := context.Background()
	if n := Attempt(ctx); n != 1 {
		t.Errorf("a call of its own is attempt %d", n)
	}
	if n := Attempt(New(ctx, 0)); n != 1 {
		t.Errorf("for a first request: %d", n)
	}
	if n := Attempt(New(ctx, 3)); n != 3 {
		t.Errorf("for a third: %d", n)
	}
}

func TestR6ARepetitionIsNotRepeated(t *testing.T) {
	e := resilience.New("db", resilience.Policy{Retry: &resilience.RetryPolicy{MaxAttempts: 3, BaseDelay: time.Microsecond, MaxDelay: time.Microsecond}})
	for request, want := range map[int]int{1: 3, 2: 1} {
		calls := 0
		_, _ = resilience.Run(New(context.Background(), request), e, resilience.Call[int]{Do: func(ctx context.Context) (int, error) {
			calls++
			if n := Attempt(ctx); n != max(calls, request) {
				t.Errorf("request %d: call %d says that it is attempt %d", request, calls, n)
			}
			return 0, errors.New("down")
		}})
		if calls != want {
			t.Errorf("request %d: %d calls, want %d", request, calls, want)
		}
	}
}

func TestGivenUp(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{{nil, false}, {errors.New("down"), false}, {fmt.Errorf("no: %w", resilience.ErrExhausted), true}, {resilience.ErrOpen, true}} {
		h := New(context.Background(), 1)
		Note(context.WithValue(h, key{}, h), c.err)
		if h.GaveUp() != c.want {
			t.Errorf("%v: %v", c.err, h.GaveUp())
		}
	}
	Note(context.Background(), resilience.ErrOpen) // for no request
}
