package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

func testEmpty(t *testing.T, b Backend) {
	s := open(t, b)
	head, err := s.Head(t.Context())
	if err != nil || head.Revision != 0 || head.Epoch < 1 || head.History == "" || head.Hash != control.Genesis(head.History) {
		t.Errorf("head %+v, error %v", head, err)
	}
	if list, err := s.Read(t.Context(), 0, 10); len(list) != 0 || err != nil {
		t.Errorf("read %d changes, error %v", len(list), err)
	}
	other := open(t, b)
	if second, _ := other.Head(t.Context()); second.History == head.History {
		t.Errorf("two logs have the same history %s", head.History)
	}
}

func testChain(t *testing.T, b Backend) {
	s := open(t, b)
	want := Fill(t, s, 20)
	wantEqual(t, "the log", CheckChain(t, s), want)
	for i, c := range want {
		d := draft(i + 1)
		if c.Actor != d.Actor || c.Reason != d.Reason || !c.Time.Equal(d.Time) || !control.SameOps(c.Ops, d.Ops) {
			t.Errorf("change %d is %+v, was %+v", i+1, c, d)
		}
	}
}

func testStale(t *testing.T, b Backend) {
	s := open(t, b)
	Fill(t, s, 3)
	for _, expected := range []int64{-1, 0, 2, 4, 1 << 40} {
		_, err := s.Append(t.Context(), expected, draft(9))
		wantErr(t, fmt.Sprintf("appending to revision %d of 3", expected), err, control.ErrConflict)
	}
	if n := len(CheckChain(t, s)); n != 3 {
		t.Errorf("the log has %d changes, want 3", n)
	}
}

func testIdempotency(t *testing.T, b Backend) {
	s := open(t, b)
	Fill(t, s, 2)
	keyed := draft(3)
	keyed.IdempotencyKey = "key"
	first, err := s.Append(t.Context(), 2, keyed)
	if err != nil {
		t.Fatal(err)
	}
	later := keyed
	later.Actor, later.Reason, later.Time = "ben", "again", keyed.Time.Add(time.Hour)
	later.Ops = []control.Op{{Kind: keyed.Ops[0].Kind, Key: keyed.Ops[0].Key, Value: json.RawMessage(" { \"n\" : 3 } ")}}
	for _, expected := range []int64{0, 2, 3, 99} {
		again, err := s.Append(t.Context(), expected, later)
		if err != nil || !reflect.DeepEqual(again, first) {
			t.Errorf("repeat on %d: change %+v, error %v", expected, again, err)
		}
	}
	for name, ops := range map[string][]control.Op{
		"another value":  {{Kind: control.KindFlag, Key: keyed.Ops[0].Key, Value: json.RawMessage(`{"n":4}`)}},
		"another key":    {{Kind: control.KindFlag, Key: "other", Value: keyed.Ops[0].Value}},
		"another kind":   {{Kind: control.KindSegment, Key: keyed.Ops[0].Key, Value: keyed.Ops[0].Value}},
		"deletion":       {{Kind: control.KindFlag, Key: keyed.Ops[0].Key}},
		"one op more":    {keyed.Ops[0], keyed.Ops[0]},
		"the same later": {{Kind: control.KindFlag, Key: keyed.Ops[0].Key + "!", Value: keyed.Ops[0].Value}},
	} {
		other := keyed
		other.Ops = ops
		_, err := s.Append(t.Context(), 3, other)
		wantErr(t, name, err, control.ErrIdempotencyMismatch)
	}
	if n := len(CheckChain(t, s)); n != 3 {
		t.Errorf("the log has %d changes, want 3", n)
	}
	Fill(t, s, 2) // without a key nothing is a repeat
}

func testLimits(t *testing.T, b Backend) {
	s := open(t, b)
	ops := func(n int, value string) []control.Op {
		list := make([]control.Op, n)
		for i := range list {
			list[i] = control.Op{Kind: control.KindFlag, Key: fmt.Sprint("k", i), Value: json.RawMessage(value)}
		}
		return list
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	text := func(n int) string { return `"` + long(n-2) + `"` }
	for _, c := range []struct {
		name   string
		change func(*control.Draft)
		want   control.Code // empty: accepted
	}{
		{"no actor", func(d *control.Draft) { d.Actor = "" }, control.CodeInvalid},
		{"longest actor", func(d *control.Draft) { d.Actor = long(control.MaxActor) }, ""},
		{"actor too long", func(d *control.Draft) { d.Actor = long(control.MaxActor + 1) }, control.CodeTooLarge},
		{"no reason", func(d *control.Draft) { d.Reason = "" }, ""},
		{"longest reason", func(d *control.Draft) { d.Reason = long(control.MaxReason) }, ""},
		{"reason too long", func(d *control.Draft) { d.Reason = long(control.MaxReason + 1) }, control.CodeTooLarge},
		{"longest idempotency key", func(d *control.Draft) { d.IdempotencyKey = long(control.MaxIdempotencyKey) }, ""},
		{"idempotency key too long", func(d *control.Draft) { d.IdempotencyKey = long(control.MaxIdempotencyKey + 1) }, control.CodeTooLarge},
		{"no ops", func(d *control.Draft) { d.Ops = nil }, control.CodeInvalid},
		{"most ops", func(d *control.Draft) { d.Ops = ops(control.MaxOps, "1") }, ""},
		{"too many ops", func(d *control.Draft) { d.Ops = ops(control.MaxOps+1, "1") }, control.CodeTooLarge},
		{"largest value", func(d *control.Draft) { d.Ops = ops(1, text(control.MaxValue)) }, ""},
		{"value too large", func(d *control.Draft) { d.Ops = ops(1, text(control.MaxValue+1)) }, control.CodeTooLarge},
		{"change too large", func(d *control.Draft) { d.Ops = ops(3, text(3<<20)) }, control.CodeTooLarge},
		{"no kind", func(d *control.Draft) { d.Ops[0].Kind = "" }, control.CodeInvalid},
		{"no key", func(d *control.Draft) { d.Ops[0].Key = "" }, control.CodeInvalid},
		{"longest key", func(d *control.Draft) { d.Ops[0].Key = long(control.MaxEntityKey) }, ""},
		{"key too long", func(d *control.Draft) { d.Ops[0].Key = long(control.MaxEntityKey + 1) }, control.CodeInvalid},
		{"not JSON", func(d *control.Draft) { d.Ops[0].Value = json.RawMessage(`{"a":`) }, control.CodeInvalid},
		{"two documents", func(d *control.Draft) { d.Ops[0].Value = json.RawMessage(`1 2`) }, control.CodeInvalid},
		{"the beginning of time", func(d *control.Draft) { d.Time = time.Time{} }, control.CodeInvalid},
		{"the far future", func(d *control.Draft) { d.Time = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }, control.CodeInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := s.Head(t.Context())
			d := draft(1)
			c.change(&d)
			_, err := s.Append(t.Context(), before.Revision, d)
			if c.want != "" {
				wantCode(t, "append", err, c.want)
			} else if err != nil {
				t.Errorf("append: %v", err)
			}
			after, _ := s.Head(t.Context())
			if moved := after != before; moved != (c.want == "") {
				t.Errorf("the head moved: %v", moved)
			}
		})
	}
	CheckChain(t, s)
}

func testNormal(t *testing.T, b Backend) {
	s := open(t, b)
	d := draft(1)
	d.Time = time.Date(2026, 3, 29, 3, 30, 0, 999999999, time.FixedZone("east", 2*3600))
	d.Ops = []control.Op{
		{Kind: control.KindFlag, Key: "ünïcode \x00", Value: json.RawMessage("\n{ \"b\" : [ 1 , 2 ] , \"a\" : \"x y\" }\t")},
		{Kind: control.KindFlag, Key: "gone", Value: json.RawMessage(" null ")},
		{Kind: control.KindFlag, Key: "gone too"},
	}
	got, err := s.Append(t.Context(), 0, d)
	if err != nil {
		t.Fatal(err)
	}
	want := []control.Op{
		{Kind: control.KindFlag, Key: "ünïcode \x00", Value: json.RawMessage(`{"b":[1,2],"a":"x y"}`)},
		{Kind: control.KindFlag, Key: "gone"},
		{Kind: control.KindFlag, Key: "gone too"},
	}
	wantEqual(t, "ops", got.Ops, want)
	if !got.Time.Equal(d.Time) || got.Time.Location() != time.UTC {
		t.Errorf("time %v, want %v in UTC", got.Time, d.Time)
	}
	wantEqual(t, "what is read", CheckChain(t, s), []control.Change{got})
}

func testReadPages(t *testing.T, b Backend) {
	s := open(t, b)
	all := Fill(t, s, 25)
	for _, c := range []struct {
		name     string
		after    int64
		limit    int
		from, to int
	}{
		{"all", 0, 100, 0, 25},
		{"a page", 10, 5, 10, 15},
		{"the rest", 20, 100, 20, 25},
		{"the last", 24, 1, 24, 25},
		{"nothing newer", 25, 10, 25, 25},
		{"beyond the end", 1000, 10, 25, 25},
		{"no limit means one", 3, 0, 3, 4},
		{"a negative limit means one", 3, -7, 3, 4},
		{"a huge limit", 0, 1 << 30, 0, 25},
		{"a negative revision", -5, 3, 0, 3},
	} {
		list, err := s.Read(t.Context(), c.after, c.limit)
		if err != nil || len(list) != c.to-c.from {
			t.Errorf("%s: %d changes, want %d, error %v", c.name, len(list), c.to-c.from, err)
			continue
		}
		for i, change := range list {
			wantEqual(t, c.name, change, all[c.from+i])
		}
	}
}

func testNoAlias(t *testing.T, b Backend) {
	s := open(t, b)
	d := draft(1)
	value := []byte(`{"n":1}`)
	d.Ops[0].Value = value
	if _, err := s.Append(t.Context(), 0, d); err != nil {
		t.Fatal(err)
	}
	copy(value, "#######")
	d.Ops[0].Key = "overwritten"
	CheckChain(t, s)
	row := control.IntervalRow{Trial: "t", Attempt: 1, Seq: 1, Revision: 1, Interval: []byte(`{"a":1}`), State: []byte(`{"b":2}`)}
	journal(t, s, row)
	copy(row.Interval, "#######")
	copy(row.State, "#######")
	if got := rowsOf(t, s, "t", 1)[0]; string(got.Interval) != `{"a":1}` || string(got.State) != `{"b":2}` {
		t.Errorf("interval %s, state %s", got.Interval, got.State)
	}
}

func testConcurrent(t *testing.T, b Backend) {
	const writers, each = 8, 15
	s := open(t, b)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				d := draft(1)
				d.Reason = fmt.Sprintf("%d.%d", w, n)
				if err := appendAnyhow(t.Context(), s, d); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	for range 3 {
		wg.Go(func() { readAlong(t, s, writers*each) })
	}
	wg.Wait()
	next := map[string]int{}
	for _, c := range CheckChain(t, s) {
		writer, n, _ := strings.Cut(c.Reason, ".")
		if n != fmt.Sprint(next[writer]) {
			t.Errorf("writer %s: change %s is there after %d", writer, n, next[writer])
		}
		next[writer]++
	}
	for w := range writers {
		if got := next[fmt.Sprint(w)]; got != each {
			t.Errorf("writer %d: %d changes, want %d", w, got, each)
		}
	}
}

func appendAnyhow(ctx context.Context, s Store, d control.Draft) error {
	for {
		head, err := s.Head(ctx)
		if err == nil {
			_, err = s.Append(ctx, head.Revision, d)
		}
		if !errors.Is(err, control.ErrConflict) {
			return err
		}
	}
}

// readAlong follows the log as a replica does: nothing is missing, doubled or out of order.
func readAlong(t *testing.T, s Store, until int64) {
	for at := int64(0); at < until; {
		if err := s.Wait(t.Context(), at); err != nil {
			t.Errorf("wait: %v", err)
			return
		}
		list, err := s.Read(t.Context(), at, 7)
		if err != nil || len(list) == 0 {
			t.Errorf("read after revision %d: %d changes, error %v", at, len(list), err)
			return
		}
		for _, c := range list {
			if c.Revision != at+1 {
				t.Errorf("revision %d after %d", c.Revision, at)
				return
			}
			at = c.Revision
		}
	}
}

func testConcurrentKey(t *testing.T, b Backend) {
	s := open(t, b)
	results := make([]control.Change, 10)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			d := draft(1)
			d.IdempotencyKey = "the same"
			for {
				c, err := s.Append(t.Context(), 0, d)
				if errors.Is(err, control.ErrConflict) {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				results[i] = c
				return
			}
		})
	}
	wg.Wait()
	for _, c := range results {
		wantEqual(t, "the change", c, results[0])
	}
	if n := len(CheckChain(t, s)); n != 1 {
		t.Errorf("the log has %d changes, want 1", n)
	}
}

func testWait(t *testing.T, b Backend) {
	s := open(t, b)
	Fill(t, s, 2)
	for _, after := range []int64{-1, 0, 1} {
		if err := s.Wait(t.Context(), after); err != nil {
			t.Errorf("wait for more than %d: %v", after, err)
		}
	}
	gaveUp := errors.New("gave up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gaveUp)
	wantErr(t, "waiting in vain", s.Wait(ctx, 2), gaveUp)
	done := make(chan error)
	go func() { done <- s.Wait(t.Context(), 3) }()
	Fill(t, s, 1)
	select {
	case err := <-done:
		t.Errorf("wait for more than 3 returned at 3: %v", err)
	case <-time.After(20 * time.Millisecond): // only an error can be missed, none made up
	}
	Fill(t, s, 1)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func testClose(t *testing.T, b Backend) {
	s := b.Open(t)
	Fill(t, s, 1)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	ctx := t.Context()
	row := control.IntervalRow{Trial: "t", Attempt: 1, Seq: 1, Revision: 1, Interval: []byte("1"), State: []byte("2")}
	_, headErr := s.Head(ctx)
	_, appendErr := s.Append(ctx, 1, draft(2))
	_, readErr := s.Read(ctx, 0, 1)
	_, intervalsErr := s.Intervals(ctx, "t", 1, 0, 1)
	_, tailErr := s.Tail(ctx, "t", 1, 1, 0)
	for doing, err := range map[string]error{
		"head": headErr, "append": appendErr, "read": readErr, "wait": s.Wait(ctx, 0), "wait long": s.Wait(ctx, 9),
		"append interval": journalOne(t, s, row), "intervals": intervalsErr, "tail": tailErr,
	} {
		wantErr(t, doing+" after close", err, control.ErrClosed)
	}
}

func testCloseWakes(t *testing.T, b Backend) {
	s := b.Open(t)
	done := make(chan error)
	for range 5 {
		go func() { done <- s.Wait(t.Context(), 0) }()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		wantErr(t, "wait", <-done, control.ErrClosed)
	}
}

func testReopen(t *testing.T, b Backend) {
	s := b.Open(t)
	keyed := draft(3)
	keyed.IdempotencyKey = "key"
	Fill(t, s, 2)
	first, err := s.Append(t.Context(), 2, keyed)
	if err != nil {
		t.Fatal(err)
	}
	row := rowOf("t", 1, 1)
	journal(t, s, row)
	head, changes := headOf(t, s), CheckChain(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = b.Reopen(t, s)
	defer s.Close()
	wantEqual(t, "head", headOf(t, s), head)
	wantEqual(t, "changes", CheckChain(t, s), changes)
	again, err := s.Append(t.Context(), 0, keyed)
	if err != nil || again.Revision != first.Revision {
		t.Errorf("a repeat gave revision %d, error %v", again.Revision, err)
	}
	wantEqual(t, "the journal", rowsOf(t, s, "t", 1), []control.IntervalRow{row})
	Fill(t, s, 2)
	CheckChain(t, s)
}

func headOf(t *testing.T, s Store) control.Head {
	t.Helper()
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}
