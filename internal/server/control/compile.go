package control

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// retryLists is how long a state is evaluated without a member list that could not be loaded,
// before that is tried again.
const retryLists = 10 * time.Second

// compiled is a state in the form that evaluates.
type compiled struct {
	snapshot *eval.Snapshot
	err      error
	again    time.Time // zero: it is whole
}

// compiler compiles set when first asked, once for all; but again from time to time as long as a
// list is missing. Only the first who ask wait for it.
func (s *Service) compiler(set *flag.Set) func() (*eval.Snapshot, error) {
	var compiling sync.Mutex
	var done atomic.Pointer[compiled]
	return func() (*eval.Snapshot, error) {
		c := done.Load()
		switch {
		case c == nil:
			compiling.Lock()
		case c.again.IsZero() || s.cfg.Now().Before(c.again) || !compiling.TryLock():
			return c.snapshot, c.err
		}
		defer compiling.Unlock()
		if now := done.Load(); now != c { // somebody else was faster
			return now.snapshot, now.err
		}
		c = s.compile(set)
		done.Store(c)
		return c.snapshot, c.err
	}
}

func (s *Service) compile(set *flag.Set) *compiled {
	var c compiled
	if s.cfg.Lists == nil {
		c.snapshot, c.err = eval.Compile(*set)
		return &c
	}
	c.snapshot, c.err = eval.CompileWith(*set, s.cfg.Lists.Set)
	if c.err == nil && len(c.snapshot.MissingLists()) > 0 {
		c.again = s.cfg.Now().Add(retryLists)
	}
	return &c
}
