package storetest

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Memory is a log and journal in plain slices, as simple as the contract allows. Everything in it
// takes time linear in its length. Safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	head    control.Head
	changes []control.Change
	rows    []control.IntervalRow
	wake    chan struct{}
	closed  bool
	refuse  func(control.Draft) error
}

var (
	_ control.Log     = (*Memory)(nil)
	_ control.Journal = (*Memory)(nil)
)

// NewMemory gives an empty log.
func NewMemory() *Memory {
	history := strings.ToLower(rand.Text())
	return &Memory{head: control.Head{History: history, Epoch: 1, Hash: control.Genesis(history)}, wake: make(chan struct{})}
}

// Reopen gives a new, open store with what a closed one held.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{head: m.head, changes: slices.Clone(m.changes), rows: slices.Clone(m.rows), wake: make(chan struct{})}
}

// Refuse makes every Append fail with what f gives before anything is stored; nil ends that, and
// so does an f that gives nil. It stands for disks that are full or gone.
func (m *Memory) Refuse(f func(control.Draft) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = f
}

// Restart cuts the log to a revision above 0 and begins a new history there, as the acceptance of
// a loss does.
func (m *Memory) Restart(revision int64) {
	m.Rewind(revision)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.head.History, m.head.Epoch = strings.ToLower(rand.Text()), m.head.Epoch+1
	m.signal()
}

// Rewind cuts the log to a revision above 0 without a word, as a database does that fails over to
// a standby which lags behind.
func (m *Memory) Rewind(revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes = slices.Clone(m.changes[:revision])
	m.head.Revision, m.head.Hash = revision, m.changes[revision-1].Hash
	m.signal()
}

// Head implements [control.Log].
func (m *Memory) Head(context.Context) (control.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return control.Head{}, control.ErrClosed
	}
	return m.head, nil
}

// Append implements [control.Log].
func (m *Memory) Append(_ context.Context, expected int64, d control.Draft) (control.Change, error) {
	d, err := d.Normalize()
	if err == nil && d.Interval != nil {
		err = d.Interval.Check()
	}
	if err != nil {
		return control.Change{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return control.Change{}, control.ErrClosed
	}
	if m.refuse != nil {
		if err := m.refuse(d); err != nil {
			return control.Change{}, err
		}
	}
	for _, c := range m.changes {
		switch {
		case d.IdempotencyKey == "" || c.IdempotencyKey != d.IdempotencyKey:
		case !control.SameOps(c.Ops, d.Ops):
			return control.Change{}, control.ErrIdempotencyMismatch
		default:
			return c, nil
		}
	}
	if expected != m.head.Revision {
		return control.Change{}, control.ErrConflict
	}
	if d.Interval != nil {
		if err := m.put(*d.Interval); err != nil {
			return control.Change{}, err
		}
	}
	c := m.head.Next(d)
	m.changes = append(m.changes, c)
	m.head.Revision, m.head.Hash = c.Revision, c.Hash
	m.signal()
	return c, nil
}

// Read implements [control.Log].
func (m *Memory) Read(_ context.Context, after int64, limit int) ([]control.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, control.ErrClosed
	}
	from := min(max(after, 0), int64(len(m.changes)))
	to := min(from+int64(bound(limit)), int64(len(m.changes)))
	return slices.Clone(m.changes[from:to]), nil
}

// Wait implements [control.Log].
func (m *Memory) Wait(ctx context.Context, after int64) error {
	for {
		m.mu.Lock()
		closed, revision, wake := m.closed, m.head.Revision, m.wake
		m.mu.Unlock()
		switch {
		case closed:
			return control.ErrClosed
		case revision > after:
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close implements [control.Log].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.signal()
	return nil
}

// AppendIntervals implements [control.Journal].
func (m *Memory) AppendIntervals(_ context.Context, rows []control.IntervalRow) []error {
	errs, _ := control.CheckRows(rows)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, row := range rows {
		switch {
		case errs[i] != nil:
		case m.closed:
			errs[i] = control.ErrClosed
		default:
			errs[i] = m.put(row)
		}
	}
	return errs
}

// put keeps a row in order. The caller holds m.mu.
func (m *Memory) put(row control.IntervalRow) error {
	row.Interval, row.State = slices.Clone(row.Interval), slices.Clone(row.State)
	for i, old := range m.rows {
		if old.Trial != row.Trial || old.Attempt != row.Attempt || old.Seq != row.Seq {
			continue
		}
		if old.Revision >= row.Revision {
			return control.ErrConflict
		}
		m.rows[i] = row
		return nil
	}
	m.rows = append(m.rows, row)
	slices.SortStableFunc(m.rows, func(a, b control.IntervalRow) int { return a.Seq - b.Seq })
	return nil
}

// Intervals implements [control.Journal].
func (m *Memory) Intervals(_ context.Context, trial string, attempt, after, limit int) ([]control.IntervalRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, control.ErrClosed
	}
	var list []control.IntervalRow
	for _, row := range m.rows {
		if row.Trial == trial && row.Attempt == attempt && row.Seq > after && len(list) < bound(limit) {
			list = append(list, row)
		}
	}
	return list, nil
}

// Tail implements [control.Journal].
func (m *Memory) Tail(_ context.Context, trial string, attempt int, revision int64, after int) ([]control.IntervalRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, control.ErrClosed
	}
	var list []control.IntervalRow
	for _, row := range m.rows {
		if row.Trial != trial || row.Attempt != attempt || row.Revision != revision || row.Seq <= after {
			continue
		}
		if len(row.State) > 0 {
			list = nil
		}
		list = append(list, row)
	}
	return list[:min(len(list), control.MaxRead)], nil
}

// signal wakes who waits. The caller holds m.mu.
func (m *Memory) signal() {
	close(m.wake)
	m.wake = make(chan struct{})
}

func bound(limit int) int { return min(max(limit, 1), control.MaxRead) }
