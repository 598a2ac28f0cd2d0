// Package storetest holds what every change log and interval journal must do, as one suite of
// tests ([Run]), and [Memory], the simplest store that passes it: a reference to compare others
// with, and a fast log for tests of everything above the store.
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Store is what is tested.
type Store interface {
	control.Log
	control.Journal
}

// Backend makes the stores for the tests.
type Backend struct {
	// Open gives a new, empty store. The suite closes it.
	Open func(t *testing.T) Store
	// Reopen gives a store with what the closed one held. Nil if it dies with its process.
	Reopen func(t *testing.T, closed Store) Store
}

// Run runs the whole suite.
func Run(t *testing.T, b Backend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Backend)
	}{
		{"a new log is empty", testEmpty},
		{"changes form a chain", testChain},
		{"a stale revision is a conflict", testStale},
		{"idempotency", testIdempotency},
		{"limits", testLimits},
		{"values are stored in one form", testNormal},
		{"reading in pages", testReadPages},
		{"the caller may reuse its memory", testNoAlias},
		{"concurrent appenders", testConcurrent},
		{"one key, many appenders", testConcurrentKey},
		{"wait", testWait},
		{"close", testClose},
		{"close wakes the waiting", testCloseWakes},
		{"intervals", testIntervals},
		{"intervals together", testIntervalsTogether},
		{"intervals in pages", testIntervalPages},
		{"the tail of a trial", testTail},
		{"interval limits", testIntervalLimits},
		{"an overtaken interval is replaced", testOvertaken},
		{"a decision and its interval", testDecision},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
	if b.Reopen != nil {
		t.Run("reopening", func(t *testing.T) { testReopen(t, b) })
	}
}

func open(t *testing.T, b Backend) Store {
	t.Helper()
	s := b.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// day0 is when the tests happen.
var day0 = time.Date(2026, 11, 2, 9, 0, 0, 123456789, time.UTC)

// draft is a small change that says n.
func draft(n int) control.Draft {
	return control.Draft{
		Actor: "ana", Reason: fmt.Sprintf("change %d", n), Time: day0.Add(time.Duration(n) * time.Second),
		Ops: []control.Op{{Kind: control.KindFlag, Key: fmt.Sprintf("flag-%d", n%7), Value: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}},
	}
}

// Fill appends n small changes to an otherwise quiet log and gives them.
func Fill(t testing.TB, log control.Log, n int) []control.Change {
	t.Helper()
	var list []control.Change
	for i := range n {
		head, err := log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := log.Append(t.Context(), head.Revision, draft(i+1))
		if err != nil {
			t.Fatalf("appending change %d: %v", i+1, err)
		}
		list = append(list, c)
	}
	return list
}

// CheckChain reads the whole log and checks that it is one chain without gaps up to the head, that
// every hash is that of its change, and gives the changes.
func CheckChain(t testing.TB, log control.Log) []control.Change {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []control.Change
	for int64(len(list)) < head.Revision {
		page, err := log.Read(t.Context(), int64(len(list)), control.MaxRead)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			t.Fatalf("the head is at revision %d, the changes end at %d", head.Revision, len(list))
		}
		list = append(list, page...)
	}
	parent := control.Genesis(head.History)
	for i, c := range list {
		if c.Revision != int64(i+1) || c.Parent != parent {
			t.Fatalf("change %d: revision %d, parent %s, want parent %s", i+1, c.Revision, c.Parent, parent)
		}
		if want := control.HashOf(control.EncodeChange(head.History, c)); c.Hash != want {
			t.Fatalf("change %d: hash %s, want %s", i+1, c.Hash, want)
		}
		parent = c.Hash
	}
	if head.Hash != parent {
		t.Fatalf("the head's hash is %s, want %s", head.Hash, parent)
	}
	return list
}

func wantErr(t *testing.T, doing string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", doing, got, want)
	}
}

func wantCode(t *testing.T, doing string, err error, want control.Code) {
	t.Helper()
	if err == nil || control.CodeOf(err) != want {
		t.Errorf("%s: got error %v (%s), want code %s", doing, err, control.CodeOf(err), want)
	}
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}
