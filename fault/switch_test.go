package fault

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestS2SwitchesCutSleepShortAndAreSticky(t *testing.T) {
	for name, which := range map[string]func(*Registry) *Switch{
		"registry": (*Registry).Switch, "process": func(*Registry) *Switch { return ProcessSwitch() },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := NewRegistry()
			s := which(r)
			defer s.On()
			p := r.Point("stock", Caps{MaxLatency: time.Hour})
			p.Arm(always(slow), nil)
			var made atomic.Int64
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() { _ = p.Do(ctxBG, func(context.Context) error { made.Add(1); return nil }) })
			}
			synctest.Wait()
			if p.Active() != 50 {
				t.Fatalf("%s: %d are held up", name, p.Active())
			}
			began := time.Now()
			s.Off("incident 7")
			s.Off("another reason")
			all.Wait()
			if took := time.Since(began); took != 0 || made.Load() != 50 {
				t.Errorf("%s: %d calls went on, after %v", name, made.Load(), took)
			}
			if reason, off := s.Engaged(); !off || reason != "incident 7" {
				t.Errorf("%s: off %v, because of %q", name, off, reason)
			}
			p.Arm(always(Fault{Kind: KindError}), NewLease(0)) // whatever is armed now
			if err := p.Do(ctxBG, succeed); err != nil || p.Armed() {
				t.Errorf("%s: off, but %v", name, err)
			}
			s.On()
			if err := p.Do(ctxBG, succeed); !errors.Is(err, ErrInjected) {
				t.Errorf("%s: on again, but %v", name, err)
			}
			if _, off := s.Engaged(); off {
				t.Errorf("%s: still off", name)
			}
		})
	}
	if _, off := (*Switch)(nil).Engaged(); off {
		t.Error("no switch is off")
	}
}

// In real time, with 1000 calls held up: a new call passes in less than 10 ms, and all of them are
// back in less than a second. That the switch itself waits for nothing is shown in fake time above; how
// fast 1000 goroutines get a processor is the machine's business.
func TestC2KillTakesLessThan10Milliseconds(t *testing.T) {
	var fresh, back time.Duration
	for range 50 { // the machine may be busy with something else
		fresh, back = kill(t)
		if fresh < 10*time.Millisecond && back < time.Second {
			t.Logf("a new call passed after %v, 1000 sleepers were back after %v", fresh, back)
			return
		}
	}
	t.Errorf("a new call passed after %v, 1000 sleepers were back after %v", fresh, back)
}

func kill(t *testing.T) (fresh, back time.Duration) {
	r := NewRegistry()
	p := r.Point("stock", Caps{MaxLatency: time.Hour, MaxActive: 1000})
	p.Arm(always(slow), nil)
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() { _ = p.Do(ctxBG, succeed) })
	}
	for p.Active() < 1000 {
		runtime.Gosched()
	}
	began := time.Now()
	r.Switch().Off("kill")
	if err := p.Do(ctxBG, succeed); err != nil {
		t.Error(err)
	}
	fresh = time.Since(began)
	all.Wait()
	return fresh, time.Since(began)
}

func TestS2ASwitchCatchesWhoGoesToSleepAtThatMoment(t *testing.T) {
	for range 300 {
		r := NewRegistry()
		p := r.Point("stock", Caps{MaxLatency: time.Hour})
		p.Arm(always(Fault{Kind: KindLatency, Min: time.Minute, Max: time.Minute}), nil)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { _ = p.Do(ctxBG, succeed) })
		}
		all.Go(func() { r.Switch().Off("race") })
		all.Wait() // a missed one sleeps for the length of the lease, and the test times out at best
		if p.Active() != 0 {
			t.Fatal("not all came back")
		}
	}
}

func TestS2TheFileKeepsFaultsOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stop")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctxBG)
		s := new(Switch)
		look := func(want bool) {
			t.Helper()
			time.Sleep(filePoll + time.Millisecond)
			if reason, off := s.Engaged(); off != want || off && !strings.Contains(reason, path) && reason != "by hand" {
				t.Errorf("off %v because of %q, want %v", off, reason, want)
			}
		}
		write := func() {
			t.Helper()
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		WatchFile(ctx, "", s)
		WatchFile(ctx, path, s)
		look(false)
		write()
		look(true)
		s.On()
		look(true) // the file is still there
		_ = os.Remove(path)
		look(false)
		write()
		look(true)
		s.Off("by hand")
		_ = os.Remove(path)
		look(true) // that was not the file's
		s.On()
		look(false)
		write()
		cancel()
		synctest.Wait()
		look(false)
		WatchFile(ctx, path, s) // looks before it returns
		if _, off := s.Engaged(); !off {
			t.Error("the file was there from the start")
		}
		ctx, cancel = context.WithCancel(ctxBG)
		s = new(Switch)
		WatchFile(ctx, filepath.Join(path, "below a file"), s)
		if reason, off := s.Engaged(); !off || !strings.Contains(reason, "cannot look") {
			t.Errorf("cannot be looked for, but %v %q", off, reason)
		}
		cancel()
	})
}

// The test binary starts itself, with the variable set.
func TestS2TheEnvironmentKeepsFaultsOff(t *testing.T) {
	if os.Getenv("FAULT_TEST_CHILD") != "" {
		err := armed(Fault{Kind: KindError}).Do(ctxBG, succeed)
		reason, off := ProcessSwitch().Engaged()
		_, _ = os.Stdout.WriteString("injected=" + map[bool]string{true: "yes", false: "no"}[err != nil] + " off=" + map[bool]string{true: "yes", false: "no"}[off] + " reason=" + reason + "\n")
		return
	}
	for value, want := range map[string]string{
		"":        `injected=no off=yes reason=SEATRIAL_FAULTS is ""`,
		"off":     `injected=no off=yes reason=SEATRIAL_FAULTS is "off"`,
		"0":       `injected=no off=yes reason=SEATRIAL_FAULTS is "0"`,
		"on":      "injected=yes off=no",
		"(unset)": "injected=yes off=no",
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestS2TheEnvironmentKeepsFaultsOff$")
		child.Env = []string{"FAULT_TEST_CHILD=1"}
		if value != "(unset)" {
			child.Env = append(child.Env, EnvFaults+"="+value)
		}
		if out, err := child.Output(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %s %v, want %s", value, out, err, want)
		}
	}
}
