package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

var day0 = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// childDir, in the environment, makes this test binary the process that gets killed.
const childDir = "SEATRIAL_TEST_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		err := writeUntilKilled(dir)
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// trialRow is the interval that goes with a change, or after it.
func trialRow(seq int64) control.IntervalRow {
	return control.IntervalRow{Trial: "t", Attempt: 1, Seq: int(seq), Revision: 1,
		Interval: fmt.Appendf(nil, `{"seq":%d}`, seq), State: fmt.Appendf(nil, `{"after":%d}`, seq)}
}

// next is what follows revision at: every third change carries an interval, as a decision does.
func next(at int64) control.Draft {
	d := control.Draft{
		Actor: "child", Reason: fmt.Sprintf("change %d", at+1), Time: day0, IdempotencyKey: fmt.Sprintf("key %d", at+1),
		Ops: []control.Op{{Kind: control.KindFlag, Key: fmt.Sprintf("flag-%d", at%50), Value: fmt.Appendf(nil, `{"n":%d,"text":%q}`, at+1, strings.Repeat("x", int(at*7%900)))}},
	}
	if at%3 == 0 {
		row := trialRow(at + 1)
		d.Interval = &row
	}
	return d
}

// writeUntilKilled appends changes and intervals and prints each one after it was acknowledged.
func writeUntilKilled(dir string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, dir, sqlite.Options{})
	if err != nil {
		return err
	}
	for {
		head, err := s.Head(ctx)
		if err != nil {
			return err
		}
		c, err := s.Append(ctx, head.Revision, next(head.Revision))
		if err != nil {
			return err
		}
		fmt.Printf("change %d %s\n", c.Revision, c.Hash)
		if head.Revision%3 != 1 {
			continue
		}
		if err := errors.Join(s.AppendIntervals(ctx, []control.IntervalRow{trialRow(c.Revision)})...); err != nil {
			return err
		}
		fmt.Printf("interval %d\n", c.Revision)
	}
}

// acknowledged is what a child has printed.
type acknowledged struct {
	hashes    map[int64]string
	last      int64
	intervals map[int64]bool
}

// TestKill kills a writing process again and again at random times: what it acknowledged is there
// afterwards, in one chain, and at most the one change that was under way is there beside it.
func TestKill(t *testing.T) {
	cycles := 10
	if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
		cycles = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const perDir = 25 // verifying a log takes time with its length
	var dir string
	var acks acknowledged
	inDoubt := 0
	for i := range cycles {
		if i%perDir == 0 {
			dir, acks = t.TempDir(), acknowledged{hashes: map[int64]string{}, intervals: map[int64]bool{}}
		}
		wait := time.Duration(r.IntN(60_000)) * time.Microsecond
		killOnce(t, dir, wait, &acks)
		inDoubt += checkSurvivors(t, dir, &acks)
		if t.Failed() {
			t.Fatalf("in cycle %d, killed after %v", i+1, wait)
		}
	}
	if acks.last == 0 {
		t.Error("nothing was ever acknowledged: the children do not write")
	}
	t.Logf("%d kills, %d of them with a change in doubt that was stored", cycles, inDoubt)
}

// killOnce runs a child, kills it some time after its start, and notes what it acknowledged.
func killOnce(t *testing.T, dir string, wait time.Duration, acks *acknowledged) {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(wait+20*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var revision int64
		var hash string
		if n, _ := fmt.Sscanf(lines.Text(), "change %d %64s", &revision, &hash); n == 2 && len(hash) == 64 {
			acks.hashes[revision], acks.last = hash, revision
		} else if n, _ := fmt.Sscanf(lines.Text(), "interval %d", &revision); n == 1 {
			acks.intervals[revision] = true
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the child was not killed: %v, %s", err, stderr.String())
	}
}

// checkSurvivors opens the log and compares it with what was acknowledged. It gives 1 if a change
// is there that was not, and settles it as a client would: by asking again with the same key.
func checkSurvivors(t *testing.T, dir string, acks *acknowledged) (inDoubt int) {
	t.Helper()
	s := open(t, dir) // verifies chain and witness
	defer s.Close()
	changes := storetest.CheckChain(t, s)
	if extra := int64(len(changes)) - acks.last; extra < 0 || extra > 1 {
		t.Errorf("%d changes are stored, %d were acknowledged", len(changes), acks.last)
		return 0
	}
	for revision, hash := range acks.hashes {
		if got := changes[revision-1].Hash; got != hash {
			t.Errorf("revision %d is %s, acknowledged was %s", revision, got, hash)
		}
	}
	checkIntervals(t, s, changes, acks)
	c, err := s.Append(t.Context(), int64(len(changes)), next(acks.last))
	if err != nil || c.Revision != acks.last+1 {
		t.Errorf("asking again gave revision %d after %d, error %v", c.Revision, acks.last, err)
	}
	acks.hashes[c.Revision], acks.last = c.Hash, c.Revision
	return len(changes) - int(c.Revision) + 1
}

func checkIntervals(t *testing.T, s *sqlite.Store, changes []control.Change, acks *acknowledged) {
	t.Helper()
	rows, err := s.Intervals(t.Context(), "t", 1, 0, control.MaxRead)
	if err != nil {
		t.Error(err)
		return
	}
	stored := map[int64]bool{}
	for _, row := range rows {
		stored[int64(row.Seq)] = true
	}
	for revision := range acks.intervals {
		if !stored[revision] {
			t.Errorf("interval %d was acknowledged and is missing", revision)
		}
	}
	for _, c := range changes { // the evidence of a decision is there with it
		if with := next(c.Revision - 1).Interval; with != nil && !stored[c.Revision] {
			t.Errorf("change %d is there without its interval", c.Revision)
		}
	}
}
