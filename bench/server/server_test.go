package server

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// bulkFlags are the flags of a bulk request.
const bulkFlags = 50

type answer struct {
	Key     string `json:"key"`
	Value   bool   `json:"value"`
	Variant string `json:"variant"`
	Reason  string `json:"reason"`
}

// mustAsk asks once, on a connection of its own.
func mustAsk(tb testing.TB, p *process, path, body string, into any) (size int) {
	tb.Helper()
	c, err := dial(p.address, path)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.conn.Close()
	text, err := c.ask(body)
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	return len(text)
}

// right is what the flags of a batch give the user with that number, by key.
func right(tb testing.TB, b api.Batch, user int) map[string]answer {
	tb.Helper()
	snapshot, err := eval.Compile(flag.Set{Environment: "default", History: "h", Epoch: 1, Revision: 1, Hash: "00", Flags: b.Flags, Segments: b.Segments})
	if err != nil {
		tb.Fatal(err)
	}
	var body struct {
		Context map[string]any `json:"context"`
	}
	if err := json.Unmarshal([]byte(request(user)), &body); err != nil {
		tb.Fatal(err)
	}
	about := eval.Context{TargetingKey: body.Context["targetingKey"].(string), Attributes: body.Context}
	answers := map[string]answer{}
	for _, f := range snapshot.Flags() {
		r := f.Evaluate(&about)
		answers[f.Key()] = answer{f.Key(), r.Value.(bool), r.Variant, string(r.Reason)}
	}
	return answers
}

// TestAnswers: the server gives what the evaluator gives, single and bulk.
func TestAnswers(t *testing.T) {
	batch := rollouts(bulkFlags)
	p := startServer(t, t.TempDir(), batch)
	on := 0
	for user := range 60 {
		want := right(t, batch, user)
		var single answer
		mustAsk(t, p, singlePath, request(user), &single)
		if single != want["flag-0007"] {
			t.Errorf("user %d: %+v, want %+v", user, single, want["flag-0007"])
		}
		var bulk struct {
			Flags []answer `json:"flags"`
		}
		mustAsk(t, p, bulkPath, request(user), &bulk)
		if len(bulk.Flags) != bulkFlags {
			t.Errorf("user %d: %d flags, want %d", user, len(bulk.Flags), bulkFlags)
		}
		for _, got := range bulk.Flags {
			if got != want[got.Key] {
				t.Errorf("user %d: %+v, want %+v", user, got, want[got.Key])
			}
			if got.Value {
				on++
			}
		}
	}
	if share := float64(on) / (60 * bulkFlags); share < 0.03 || share > 0.12 {
		t.Errorf("%.1f %% of the answers are on, want about 6.6", share*100) // user 0 is a tester
	}
}

// TestTrivial: the trivial handler answers with as many bytes as it was told.
func TestTrivial(t *testing.T) {
	p := startTrivial(t, 123, 4567)
	for path, want := range map[string]int{singlePath: 123, bulkPath: 4567} {
		c, err := dial(p.address, path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if text, err := c.ask(request(1)); err != nil || len(text) != want {
				t.Errorf("%s: %d bytes, %v; want %d", path, len(text), err, want)
			}
		}
		_ = c.conn.Close()
	}
}

// TestLoad: the load generator counts answers and what they cost.
func TestLoad(t *testing.T) {
	p := startTrivial(t, 100, 100)
	r := p.run(t, singlePath, 200*time.Millisecond)
	if r.rate <= 0 || r.p50 <= 0 || r.p99 < r.p50 {
		t.Errorf("%+v", r)
	}
}

// size is the mean size of the answers for many users, which differ by a few bytes.
func size(tb testing.TB, p *process, path string) int {
	tb.Helper()
	const many = 200
	c, err := dial(p.address, path)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.conn.Close()
	sum := 0
	for user := range many {
		text, err := c.ask(request(user))
		if err != nil {
			tb.Fatal(err)
		}
		sum += len(text)
	}
	return sum / many
}

// BenchmarkOFREP compares the server with the trivial handler, in rounds that take turns, so that
// whatever else the machine does slows both. Each is asked on 32 connections. Run it with
// -benchtime 1x.
func BenchmarkOFREP(b *testing.B) {
	const rounds, each = 5, 2 * time.Second
	ours := startServer(b, b.TempDir(), rollouts(bulkFlags))
	sizes := map[string]int{singlePath: size(b, ours, singlePath), bulkPath: size(b, ours, bulkPath)}
	trivial := startTrivial(b, sizes[singlePath], sizes[bulkPath])
	for _, kind := range []struct{ name, path string }{{"single", singlePath}, {"bulk50", bulkPath}} {
		b.Run(kind.name, func(b *testing.B) {
			ours.run(b, kind.path, each/4)
			trivial.run(b, kind.path, each/4)
			var here, there []result
			b.ResetTimer()
			for b.Loop() {
				for range rounds {
					here = append(here, ours.run(b, kind.path, each))
					there = append(there, trivial.run(b, kind.path, each))
				}
			}
			compare(b, here, there)
			b.ReportMetric(float64(sizes[kind.path]), "body-bytes")
		})
	}
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			b.ReportMetric(ours.memory(b, "VmHWM"), "MB-under-load")
		}
		b.ReportMetric(0, "ns/op")
	})
}

func compare(b *testing.B, here, there []result) {
	var ratios []float64
	for i := range here {
		ratios = append(ratios, 100*here[i].rate/there[i].rate)
		b.Logf("round %d: %.0f and trivial %.0f requests/s", i+1, here[i].rate, there[i].rate)
	}
	of := func(list []result, value func(result) float64) float64 {
		var values []float64
		for _, r := range list {
			values = append(values, value(r))
		}
		return median(values)
	}
	for name, list := range map[string][]result{"": here, "trivial-": there} {
		b.ReportMetric(of(list, func(r result) float64 { return r.rate }), name+"requests/s")
		b.ReportMetric(of(list, func(r result) float64 { return r.cpu }), name+"cpu-µs")
		b.ReportMetric(of(list, func(r result) float64 { return r.p50 }), name+"p50-ms")
		b.ReportMetric(of(list, func(r result) float64 { return r.p99 }), name+"p99-ms")
	}
	b.ReportMetric(median(ratios), "%of-trivial")
	b.ReportMetric(0, "ns/op")
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// loaded is how many flags the server has when its memory and its start are measured.
const loaded = 1_000

// TestStart: a server that starts on a folder with 1,000 flags gives the right answer first.
func TestStart(t *testing.T) {
	batch, data := rollouts(loaded), t.TempDir()
	startServer(t, data, batch).stop()
	p, took := restart(t, data, batch)
	t.Logf("first answer after %v, %.1f MB", took, p.memory(t, "VmRSS"))
}

// restart starts a server on a folder with flags, and gives the time from the start of its process
// to its first answer, which must be the right one.
func restart(tb testing.TB, data string, batch api.Batch) (*process, time.Duration) {
	tb.Helper()
	address := freeAddress(tb)
	cmd := serve(tb, address, data)
	cmd.Stderr = os.Stderr
	body, want := request(100), right(tb, batch, 100)["flag-0007"]
	began := time.Now()
	p := start(tb, cmd)
	p.address = address
	for {
		c, err := dial(address, singlePath)
		if err == nil {
			var got answer
			text, err := c.ask(body)
			took := time.Since(began)
			_ = c.conn.Close()
			if err == nil {
				err = json.Unmarshal(text, &got)
			}
			if err != nil || got != want {
				tb.Fatalf("the first answer is %s (%v), want %+v", text, err, want)
			}
			return p, took
		}
		if time.Since(began) > time.Minute {
			tb.Fatal("the server does not answer: ", err)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// BenchmarkStart tells how soon a server with 1,000 flags answers, and how much memory it takes: at
// its first answer, after 10,000 answers, and at most while it gave them, bulk answers of 1,000
// flags among them. Run it with -benchtime 1x.
func BenchmarkStart(b *testing.B) {
	batch, data := rollouts(loaded), b.TempDir()
	startServer(b, data, batch).stop()
	var took, first, later, most []float64
	for b.Loop() {
		for range 5 {
			p, t := restart(b, data, batch)
			took = append(took, t.Seconds()*1e3)
			first = append(first, p.memory(b, "VmRSS"))
			answerMany(b, p)
			later = append(later, p.memory(b, "VmRSS"))
			most = append(most, p.memory(b, "VmHWM"))
			p.stop()
		}
	}
	b.Logf("starts: %s ms", fmt.Sprint(took))
	b.ReportMetric(median(took), "ready-ms")
	b.ReportMetric(median(first), "MB-at-first")
	b.ReportMetric(median(later), "MB-after")
	b.ReportMetric(median(most), "MB-at-most")
	b.ReportMetric(0, "ns/op")
}

func answerMany(tb testing.TB, p *process) {
	tb.Helper()
	for path, n := range map[string]int{singlePath: 10_000, bulkPath: 100} {
		c, err := dial(p.address, path)
		if err != nil {
			tb.Fatal(err)
		}
		for user := range n {
			if _, err := c.ask(request(user)); err != nil {
				tb.Fatal(err)
			}
		}
		_ = c.conn.Close()
	}
}
