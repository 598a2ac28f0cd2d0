package bench

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial"
	"github.com/seatrial/seatrial/internal/core/flag"
)

const (
	caseTrial = "trial" // half of the units in treatment, half in control, by a trial that runs
	caseSplit = "split" // the same by a rule: nothing of it is recorded
)

func trialSet() flag.Set {
	set := flag.Set{Environment: "bench", History: "h", Epoch: 1, Revision: 1, Hash: "00", Flags: []flag.Flag{
		booleanFlag(caseTrial),
		booleanFlag(caseSplit, flag.Rule{Split: &flag.Split{Weights: []flag.Share{{Variant: "on", Weight: 50_000}, {Variant: "off", Weight: 50_000}}}}),
	}}
	set.Allocations = []flag.Allocation{{Trial: "half", Flag: caseTrial, Version: "half.1.0", Salt: "half", Treatment: "on", Control: "off",
		Strata: []flag.Stratum{{Treatment: 50_000, Control: 50_000}}}}
	return set.Normalize()
}

// works opens a unit of work for each of the first few units, and evaluates the flag in it once.
func works(tb testing.TB, c *seatrial.Client, flagged *seatrial.Flag[bool], few int) []context.Context {
	list := make([]context.Context, few)
	for n := range list {
		ctx, work := c.Begin(seatrialContexts()[n])
		tb.Cleanup(func() { work.End(nil) })
		flagged.Get(ctx)
		list[n] = ctx
	}
	return list
}

// TestOutcomesAreRecorded: what the benchmark evaluates in units of work is reported, what it
// evaluates outside is not.
func TestOutcomesAreRecorded(t *testing.T) {
	bodies := make(chan string, 100)
	control := newPlane(trialSet()).handler(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/metrics" {
			bodies <- unpacked(r)
			return
		}
		control.ServeHTTP(w, r)
	}))
	defer server.Close()
	c, err := seatrial.Open(t.Context(), seatrial.WithServer(server.URL), seatrial.WithWait(10*time.Second), seatrial.WithFlushInterval(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	handle := c.BoolFlag(caseTrial, false)
	on := 0
	for n := range 1_000 {
		ctx, work := c.Begin(seatrialContexts()[n])
		if handle.Get(ctx) {
			on++
		}
		work.End(errors.New("went wrong"))
	}
	if on < 400 || on > 600 {
		t.Errorf("%d of 1000 units are on, want about 500", on)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	server.CloseClientConnections()
	close(bodies)
	reported := ""
	for body := range bodies {
		reported += body
	}
	if !strings.Contains(reported, "half.1.0") {
		t.Errorf("%d bytes were reported, nothing of the trial", len(reported))
	}
}

// unpacked reads a request's body.
func unpacked(r *http.Request) string {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// BenchmarkOutcome tells what recording adds to an evaluation by handle. The flag is on trial, and
// outcomes are reported every second. Run it with -benchtime 1x.
//
//   - outside: evaluated outside of a unit of work, so that nothing is recorded
//   - recorded: evaluated in an open unit of work that has met the trial before
//   - whole: a unit of work from beginning to end with one evaluation, less the same with a flag
//     that gives the same by a rule: all that a request pays for its outcome
func BenchmarkOutcome(b *testing.B) {
	const few, each = 256, 400_000
	c, contexts := openSeatrial(b, trialSet()), seatrialContexts()
	onTrial, bySplit := c.BoolFlag(caseTrial, false), c.BoolFlag(caseSplit, false)
	inWork := works(b, c, onTrial, few)
	whole := func(handle *seatrial.Flag[bool]) func(n int) {
		return func(n int) {
			ctx, work := c.Begin(contexts[n])
			handle.Get(ctx)
			work.End(nil)
		}
	}
	var took [5][]float64
	ways := [...]func(n int){
		func(n int) { onTrial.Get(contexts[n]) }, func(n int) { onTrial.Get(inWork[n]) }, func(n int) { bySplit.Get(contexts[n]) },
		whole(onTrial), whole(bySplit),
	}
	for b.Loop() {
		for range 9 {
			for i, way := range ways {
				began := time.Now()
				for n := range each {
					way(n % few)
				}
				took[i] = append(took[i], float64(time.Since(began))/each)
			}
		}
	}
	outside, recorded, split := median(took[0]), median(took[1]), median(took[2])
	b.ReportMetric(outside, "outside-ns")
	b.ReportMetric(recorded, "recorded-ns")
	b.ReportMetric(recorded-outside, "adds-ns")
	b.ReportMetric(split, "split-ns")
	b.ReportMetric(median(took[3])-median(took[4]), "whole-adds-ns")
	b.ReportMetric(0, "ns/op")
}
