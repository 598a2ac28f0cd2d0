package controller_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/controller"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// These, in the environment, make this test binary the process that gets killed: where it works,
// and at which point for the how manieth time it dies.
const (
	childDir   = "SEATRIAL_TEST_KILL_DIR"
	childPoint = "SEATRIAL_TEST_KILL_POINT"
	childCount = "SEATRIAL_TEST_KILL_COUNT"
)

// killPoints are all boundaries of a step, in the controller and in the store.
var killPoints = []string{
	"expected", "interval.closed", "pull.done", "decision.made",
	"log.begin", "log.before_commit", "log.after_commit", "log.witnessed", "published",
	"journal.begin", "journal.before_commit", "journal.after_commit", "journal.witnessed", "recorded", "forgotten",
}

// TestThousandKills kills a server's process at every boundary of a step, again and again, and
// starts it anew on what it left: whatever was acknowledged is there, every decision is the one
// that an undisturbed run makes of the same intervals, none is missing or there twice, no interval
// counts twice, and the stored states have the bits that the intervals lead to.
func TestThousandKills(t *testing.T) {
	kills := 100
	if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
		kills = 1_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const perDir, together = 20, 3
	var mu sync.Mutex
	died, decisions, intervals := map[string]int{}, 0, 0
	plans := make(chan int)
	var workers sync.WaitGroup
	for range together {
		workers.Go(func() {
			for first := range plans {
				v := &victim{t: t, dir: t.TempDir(), acknowledged: map[string]bool{}, random: rand.New(rand.NewPCG(seed, uint64(first)))}
				for i := range min(perDir, kills-first) {
					point := killPoints[(first+i)%len(killPoints)]
					if v.kill(point, 1+v.random.IntN(5)) {
						mu.Lock()
						died[point]++
						mu.Unlock()
					}
				}
				d, n := v.check()
				mu.Lock()
				decisions, intervals = decisions+d, intervals+n
				mu.Unlock()
			}
		})
	}
	for first := 0; first < kills && !t.Failed(); first += perDir {
		plans <- first
	}
	close(plans)
	workers.Wait()
	total := 0
	for _, point := range killPoints {
		t.Logf("%-22s %4d", point, died[point])
		total += died[point]
	}
	t.Logf("%d kills; %d decisions and %d intervals are stored and follow from each other", total, decisions, intervals)
	if total != kills || decisions == 0 {
		t.Errorf("%d kills, %d decisions", total, decisions)
	}
}

// victim is a data directory and the processes that work on it, one after the other.
type victim struct {
	t            *testing.T
	dir          string
	acknowledged map[string]bool // intervals, by trial, attempt and number
	random       *rand.Rand
}

// kill starts a process that dies at a point, and notes what it acknowledged.
func (v *victim) kill(point string, count int) bool {
	var stderr strings.Builder
	cmd := exec.CommandContext(v.t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childDir+"="+v.dir, childPoint+"="+point, childCount+"="+strconv.Itoa(count), "GOMAXPROCS=1", "GOGC=off")
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		v.t.Error(err)
		return false
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if ack, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
			v.acknowledged[ack] = true
			continue
		}
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		v.t.Errorf("%s, %d: the process was not killed: %v, %s %s", point, count, err, stderr.String(), strings.Join(said, "\n"))
		return false
	}
	return true
}

// check opens what is left and computes it anew.
func (v *victim) check() (decisions, intervals int) {
	store, err := sqlite.Open(v.t.Context(), v.dir, sqlite.Options{})
	if err != nil {
		v.t.Error(err)
		return 0, 0
	}
	defer store.Close()
	h, err := consistent(v.t, store)
	if err != nil {
		v.t.Errorf("in %s: %v", v.dir, err)
		return 0, 0
	}
	for key, one := range h {
		decisions, intervals = decisions+len(one.decisions), intervals+len(one.states)
		for seq := range one.states {
			delete(v.acknowledged, fmt.Sprint(key, " ", seq))
		}
	}
	for ack := range v.acknowledged {
		v.t.Errorf("interval %q was acknowledged and is missing", ack)
	}
	return decisions, intervals
}

// consistent computes all attempts of all trials anew, and looks for intervals that count twice.
func consistent(t testing.TB, store *sqlite.Store) (map[string]*history, error) {
	all, seen := map[string]*history{}, map[string]string{}
	changes, err := trialChanges(store, t)
	if err != nil {
		return nil, err
	}
	for at, list := range changes {
		rows, err := rowsOf(store, t, at.trial, at.number)
		if err != nil {
			return nil, err
		}
		h, err := replayed(list, rows)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", at, err)
		}
		all[at.String()] = h
		for _, row := range rows {
			var iv outcome.Interval
			if err := json.Unmarshal(row.Interval, &iv); err != nil {
				return nil, err
			}
			place := fmt.Sprint(at, " ", row.Seq)
			for _, e := range iv.Exemplars {
				if other, twice := seen[e.TraceID]; twice {
					return nil, fmt.Errorf("intervals %s and %s are the same", other, place)
				}
				seen[e.TraceID] = place
			}
		}
	}
	return all, nil
}

// script is a trial and what its telemetry tells.
type script struct {
	name   string
	change func(*trial.Spec)
	bad    func(n int) uint64 // bad requests of the treatment of 400, in the nth interval
}

var scripts = []script{
	{"good", func(*trial.Spec) {}, func(int) uint64 { return 0 }},
	{"bad", func(*trial.Spec) {}, func(n int) uint64 { return uint64(n % 5 / 4 * 400) }},
	{"quiet", func(s *trial.Spec) { s.Steps = []trial.Step{{Share: 50_000, MinTime: trial.Duration(time.Hour)}} }, func(int) uint64 { return 0 }},
	{"pulled", func(s *trial.Spec) {
		s.Guardrails = append(s.Guardrails, trial.Guardrail{Name: "shop", Metric: trial.MetricErrors, Unit: trial.UnitRequest, Mode: trial.ModeEnforce, Absolute: 0.1,
			Prometheus: &trial.PromSource{Treatment: trial.PromCounters{Total: "t", Bad: "tb"}, Control: trial.PromCounters{Total: "c", Bad: "cb"}}})
	}, func(int) uint64 { return 0 }},
	{"storm", func(s *trial.Spec) {
		s.Goal, s.Hypothesis, s.Watch, s.MaxUnits, s.SteadyTime = trial.GoalSurvive, "h", 0, 2_000, trial.Duration(2*time.Second)
		s.Steps = []trial.Step{{Share: 10_000, MinTime: trial.Duration(2 * time.Second), MinUnits: 1}}
	}, func(n int) uint64 { return uint64(n % 9 / 8 * 400) }},
}

func (s script) spec() trial.Spec {
	spec := trial.Spec{Name: s.name, Flag: s.name, Treatment: "on", Control: "off", Interval: trial.Duration(time.Second),
		Watch: trial.Duration(2 * time.Second), Deadline: trial.Duration(time.Hour),
		Guardrails: []trial.Guardrail{{Metric: trial.MetricErrors, Mode: trial.ModeEnforce, Absolute: 0.1}}}
	for _, share := range []flag.Weight{1_000, 5_000, 20_000, 50_000} {
		spec.Steps = append(spec.Steps, trial.Step{Share: share, MinTime: trial.Duration(time.Second), MinUnits: 1})
	}
	s.change(&spec)
	return spec
}

// TestVictim is the process that gets killed, and nothing if nobody wants to kill it.
func TestVictim(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		synctest.Test(t, func(t *testing.T) { runUntilKilled(t, dir) })
	}
}

func runUntilKilled(t *testing.T, dir string) {
	reached := dying(t)
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{Reached: reached})
	if err != nil {
		t.Fatal(err)
	}
	service, err := control.New(t.Context(), control.Config{Log: store, Journal: store, Sources: anySource{}})
	if err != nil {
		t.Fatal(err)
	}
	onlyWhatIsStored(t, service)
	out := &scripted{run: rand.Uint64()}
	go controller.New(controller.Config{Trials: acknowledging{service}, Outcomes: out, Evidence: noPins{}, Sources: out, Reached: reached}, nil).Run(t.Context())
	for range 600 {
		for _, s := range scripts {
			start(t, service, s)
		}
		time.Sleep(time.Second)
	}
	t.Fatal("it lived on")
}

// onlyWhatIsStored holds after a crash that a fault is on only if the log says that its steady phase
// is over, and never without its secret (S12).
func onlyWhatIsStored(t *testing.T, service *control.Service) {
	t.Helper()
	for _, a := range service.Snapshot().Set.Allocations {
		e, err := service.GetTrial(a.Trial)
		if err != nil || e.State.Ended() || a.Fault != (e.Spec.Goal == trial.GoalSurvive && e.State.Baseline != nil) || (e.Spec.Goal == trial.GoalSurvive) != (len(a.Secret) == 32) {
			t.Fatalf("%+v is on, the log has %+v (%v)", a, e.State, err)
		}
	}
}

// dying gives what kills the process at its point.
func dying(t *testing.T) func(string) {
	left, err := strconv.Atoi(os.Getenv(childCount))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	return func(point string) {
		mu.Lock()
		defer mu.Unlock()
		if point != os.Getenv(childPoint) {
			return
		}
		if left--; left <= 0 {
			_ = self.Kill() // SIGKILL: nothing runs after it
			time.Sleep(time.Hour)
		}
	}
}

// start makes sure that a trial runs.
func start(t *testing.T, service *control.Service, s script) {
	t.Helper()
	if entry, err := service.GetTrial(s.name); err == nil && !entry.State.Ended() {
		return
	}
	f := flag.Flag{Key: s.name, Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true, DefaultVariant: "off",
		Variants: []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}}
	if s.spec().Goal == trial.GoalSurvive {
		f.Kind, f.Type = flag.KindFault, flag.TypeObject
		f.Variants[0].Value, f.Variants[1].Value = json.RawMessage(`{"point":"payment","rate":1,"faults":[{"kind":"error"}]}`), json.RawMessage("null")
	}
	if _, err := service.GetFlag(s.name); err != nil {
		if _, err := service.CreateFlag(t.Context(), f, ana); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := service.StartTrial(t.Context(), s.spec(), ana); err != nil {
		t.Fatal(err)
	}
}

// acknowledging says what was stored.
type acknowledging struct{ *control.Service }

func (a acknowledging) StoreDecision(ctx context.Context, d control.Decision) (control.TrialEntry, error) {
	entry, err := a.Service.StoreDecision(ctx, d)
	if err == nil {
		fmt.Println("ack", d.Trial, d.State.Attempt, d.Interval.Seq)
	}
	return entry, err
}

func (a acknowledging) RecordIntervals(ctx context.Context, records []control.Record) []error {
	errs := a.Service.RecordIntervals(ctx, records)
	for i, r := range records {
		if errs[i] == nil {
			fmt.Println("ack", r.Trial, r.State.Attempt, r.Interval.Seq)
		}
	}
	return errs
}

// scripted gives outcomes; each interval carries the trace of a request that no other one has.
type scripted struct {
	run    uint64
	closed int
	counts map[string]int
}

func (*scripted) Expect(_, _ string) error { return nil }
func (*scripted) Forget(string)            {}

func (s *scripted) Close(name, version string) (iv outcome.Interval) {
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.closed++
	s.counts[name]++
	i := slices.IndexFunc(scripts, func(one script) bool { return one.name == name })
	arm := outcome.Arm{Requests: 400, NewUnits: 200, AtRiskUnits: 400}
	iv.Treatment, iv.Control = arm, arm
	iv.Treatment.Bad = scripts[i].bad(s.counts[name])
	if name == "storm" && !strings.Contains(version, ".steady.") {
		iv.Treatment.Injected = 100
	}
	iv.Treatment.BadUnits = iv.Treatment.Bad
	id := fmt.Sprintf("%016x%016x", s.run, s.closed)
	iv.Exemplars = []outcome.Exemplar{{TraceID: id, SpanID: id[:16], Time: time.Now().UTC().Round(0)}}
	return iv
}

// Pull counts a request for every millisecond.
func (*scripted) Pull(_ context.Context, spec trial.Spec, from, until time.Time) (outcome.Pull, error) {
	time.Sleep(100 * time.Millisecond)
	m := []outcome.Measure{{Name: "shop", Of: uint64(until.Sub(from).Milliseconds())}}
	return outcome.Pull{From: from, To: until, Treatment: m, Control: slices.Clone(m)}, nil
}

type noPins struct{}

func (noPins) PinTrace(string) bool { return true }
func (noPins) UnpinTrace(string)    {}
