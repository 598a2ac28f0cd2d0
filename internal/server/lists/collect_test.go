package lists_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

func collect(t *testing.T, r *rig) int {
	t.Helper()
	n, err := r.lists.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPartsOfNewRevisionsAreKept(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	old := *r.list(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(100, 110), by))
	if r.parts(t) != 2 {
		t.Fatalf("%d parts", r.parts(t))
	}
	r.now = r.now.Add(2 * lists.Grace)
	for i := range lists.KeptRevisions - 1 {
		if n := collect(t, r); n != 0 {
			t.Fatalf("%d parts were collected after %d revisions", n, i)
		}
		list := r.list(t)
		r.segment(t, flag.Segment{Key: "beta", Members: []string{"ana"}, Description: time.Duration(i).String(), List: list})
	}
	if n := collect(t, r); n != 1 || r.parts(t) != 1 {
		t.Errorf("%d parts were collected, %d are left, want 1 and 1", n, r.parts(t))
	}
	wantCode(t, "the old list", r.loader.Check(t.Context(), old), control.CodePrecondition)
	r.restart()
	if !r.has(t, "user-105") {
		t.Error("the present list is gone")
	}
}

func TestPartsOfDeletedSegmentsAreKept(t *testing.T) {
	r := newRig(t)
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	if _, err := r.service.DeleteSegment(t.Context(), "beta", by); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(2 * lists.Grace)
	if n := collect(t, r); n != 0 {
		t.Errorf("%d parts were collected", n)
	}
}

func TestOrphansAreCollectedWhenTheyAreOld(t *testing.T) {
	r := newRig(t)
	stale := by
	stale.IfMatch = 1_000 // the parts are stored, the change is refused
	_, err := r.lists.Replace(t.Context(), "beta", users(0, 10), stale)
	wantCode(t, "a stale condition", err, control.CodeConflict)
	if n := collect(t, r); n != 0 || r.parts(t) != 1 {
		t.Errorf("%d parts were collected at once, %d are left", n, r.parts(t))
	}
	r.now = r.now.Add(lists.Grace + time.Second)
	if n := collect(t, r); n != 1 || r.parts(t) != 0 {
		t.Errorf("%d parts were collected, %d are left", n, r.parts(t))
	}
}

// Another history has other revisions.
func TestCollectingAfterARestoredBackup(t *testing.T) {
	r := newRig(t)
	before := r.service.Head().Revision
	must(t)(r.lists.Replace(t.Context(), "beta", users(0, 10), by))
	r.now = r.now.Add(2 * lists.Grace)
	if n := collect(t, r); n != 0 {
		t.Fatalf("%d parts were collected", n)
	}
	r.log.Restart(before)
	service, err := control.New(t.Context(), control.Config{Log: r.log, Journal: r.log})
	if err != nil {
		t.Fatal(err)
	}
	r.service = service
	r.restart()
	if n := collect(t, r); n != 1 {
		t.Errorf("%d parts were collected, want that of the lost revision", n)
	}
}

func TestRunCollectsEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.lists = lists.New(lists.Config{Segments: r.service, Loader: r.loader})
		stale := by
		stale.IfMatch = 1_000
		_, err := r.lists.Replace(t.Context(), "beta", users(0, 10), stale)
		wantCode(t, "a stale condition", err, control.CodeConflict)
		go r.lists.Run(t.Context())
		time.Sleep(lists.Grace + time.Minute)
		synctest.Wait()
		if n := r.parts(t); n != 1 {
			t.Errorf("%d parts after an hour, want 1: it was not old enough", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := r.parts(t); n != 0 {
			t.Errorf("%d parts after two hours", n)
		}
	})
}
