package seatrial

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/fault"
)

// S2: whichever way faults are stopped, it is felt within a second by calls that are held up and by
// new ones, with the control plane there or gone, at the client's points and at those of the process;
// and the client says why.
func TestS2StopsCutFaultsShort(t *testing.T) {
	lever := faultSet(2, slow)
	lever.FaultsOff = true
	tests := map[string]struct {
		stop   func(c *Client, p *plane, file string)
		undo   func(c *Client, p *plane, file string) // nil: it is for good
		why    string
		needs  bool // the control plane
		within time.Duration
	}{
		"call": {func(c *Client, _ *plane, _ string) { c.StopFaults("it hurts"); c.StopFaults("again") }, nil, "it hurts", false, 0},
		"file": {
			func(_ *Client, _ *plane, file string) { touch(t, file) },
			func(_ *Client, _ *plane, file string) { _ = os.Remove(file) }, "faults.off", false, 250 * time.Millisecond,
		},
		"lever": {
			func(_ *Client, p *plane, _ string) { p.publish(lever) },
			func(_ *Client, p *plane, _ string) { p.publish(faultSet(3, slow)) }, "control plane", true, 0,
		},
		"process": {
			func(*Client, *plane, string) { fault.ProcessSwitch().Off("everybody out") },
			func(*Client, *plane, string) { fault.ProcessSwitch().On() }, "everybody out", false, 0,
		},
	}
	for name, test := range tests {
		for _, gone := range []bool{false, true} {
			if gone && test.needs {
				continue
			}
			t.Run(name+map[bool]string{true: ", control plane gone"}[gone], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					set := faultSet(1, slow)
					in, _ := usersOf(t, set)
					p := newPlane(t, set)
					file := filepath.Join(t.TempDir(), "faults.off")
					c := p.open(allowed(), WithFaultsFile(file))
					defer fault.ProcessSwitch().On()
					if gone {
						p.fail(503)
						_ = p.listener.Close()
					}
					everywhere := fault.Register("payment")
					began := time.Now()
					var wg sync.WaitGroup
					for range 20 {
						wg.Go(func() { _ = c.Dependency("payment").Do(in, succeed) })
						wg.Go(func() { _ = everywhere.Inject(in) })
					}
					time.Sleep(time.Second)
					synctest.Wait()
					if c.Dependency("payment").Point().Active() != 20 || everywhere.Active() != 20 {
						t.Fatalf("held up: %d and %d calls of 20; status %+v", c.Dependency("payment").Point().Active(), everywhere.Active(), c.Status())
					}
					test.stop(c, p, file)
					wg.Wait()
					if took := time.Since(began) - time.Second; took > test.within {
						t.Errorf("calls were let go after %v", took)
					}
					if _ = c.Dependency("payment").Do(in, succeed); time.Since(began)-time.Second > test.within {
						t.Error("a new call is held up")
					}
					if s := c.Status(); s.FaultsAllowed || !strings.Contains(s.FaultsOff, test.why) {
						t.Errorf("status: %v, %q", s.FaultsAllowed, s.FaultsOff)
					}
					if test.undo == nil {
						return
					}
					test.undo(c, p, file)
					time.Sleep(time.Second)
					ctx, cancel := context.WithTimeout(in, time.Second)
					defer cancel()
					if err := c.Dependency("payment").Do(ctx, succeed); !errors.Is(err, fault.ErrInjected) || c.Status().FaultsOff != "" {
						t.Errorf("undone: %v, %q", err, c.Status().FaultsOff)
					}
				})
			})
		}
	}
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file that is there at the start counts before the first call, and so does one that cannot be
// looked for; the environment names it where the code does not.
func TestS2FaultsFileAtTheStart(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	touch(t, there)
	files := map[string]struct {
		file string
		off  bool
	}{
		"there":               {there, true},
		"not there":           {filepath.Join(dir, "no"), false},
		"below a file":        {filepath.Join(there, "x"), true},
		"none":                {"", false},
		"a name out of range": {strings.Repeat("x", 5000), true},
	}
	for name, test := range files {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvFaultsFile, test.file)
			synctest.Test(t, func(t *testing.T) {
				set := faultSet(1, failing)
				in, _ := usersOf(t, set)
				c := newPlane(t, set).open(allowed())
				if hit := c.Dependency("payment").Do(in, succeed) != nil; hit == test.off || (c.Status().FaultsOff != "") != test.off {
					t.Errorf("hit %v; %q", hit, c.Status().FaultsOff)
				}
			})
		})
	}
}

func TestStatusTellsWhyThereAreNoFaults(t *testing.T) {
	why := func(c *Client) string { s := c.Status(); return s.FaultsOff }
	if got := why(offline(t, setAt(1))); !strings.Contains(got, "application") {
		t.Errorf("not allowed: %q", got)
	}
	c := offline(t, setAt(1), allowed())
	if got := why(c); !strings.Contains(got, "no word") {
		t.Errorf("no control plane: %q", got)
	}
	_ = c.Close(t.Context())
	if got := why(c); !strings.Contains(got, "closed") {
		t.Errorf("closed: %q", got)
	}
	(*Client)(nil).StopFaults("")
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, setAt(1))
		c := p.open(allowed())
		if got := why(c); got != "" {
			t.Errorf("allowed: %q", got)
		}
		p.setSilent(true)
		time.Sleep(time.Minute)
		if got := why(c); !strings.Contains(got, "30s") {
			t.Errorf("silent: %q", got)
		}
	})
	t.Setenv(EnvFaults, "off")
	if got := why(offline(t, setAt(1), allowed())); !strings.Contains(got, EnvFaults) {
		t.Errorf("environment: %q", got)
	}
}

// The lever works with the stream down, through the snapshot that is polled.
func TestS2LeverByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, _ := usersOf(t, set)
		p := newPlane(t, set)
		c := p.open(allowed())
		off := faultSet(2, failing)
		off.FaultsOff = true
		next, err := set.Apply(set.Diff(off))
		if err != nil || !next.FaultsOff {
			t.Fatal(err)
		}
		if _, err := c.install(next); err != nil {
			t.Fatal(err)
		}
		if err := c.Dependency("payment").Do(in, succeed); err != nil {
			t.Error(err)
		}
		if got := c.Carry(in); got != in {
			t.Error("decisions are made while faults are put off")
		}
	})
}

// What arrives while the switch of the process is off is in force when it is on again.
func TestTheProcessSwitchGoesOnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, _ := usersOf(t, faultSet(1, failing))
		p := newPlane(t, setAt(1))
		c := p.open(allowed())
		c.Dependency("payment")
		defer fault.ProcessSwitch().On()
		fault.ProcessSwitch().Off("drill")
		p.publish(faultSet(2, failing))
		synctest.Wait()
		for _, name := range []string{"payment", "stock"} { // before, and new
			if err := c.Dependency(name).Do(in, succeed); err != nil {
				t.Errorf("off: %v", err)
			}
		}
		fault.ProcessSwitch().On()
		if err := c.Dependency("payment").Do(in, succeed); !errors.Is(err, fault.ErrInjected) || !c.Status().FaultsAllowed {
			t.Errorf("on again: %v; %q", err, c.Status().FaultsOff)
		}
	})
}
