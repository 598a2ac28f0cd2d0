package control_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// stormy is a service with a fault flag, in fake time.
func stormy(t *testing.T, log *storetest.Memory) *clockwork {
	w := newClockwork(t, log, log)
	must[control.FlagEntry](t)(w.PutFlag(t.Context(), faultFlag("payment"), ana))
	return w
}

func (w *clockwork) planStorm(in, every time.Duration, between string) control.ScheduleEntry {
	w.t.Helper()
	spec := chaos("storm", "payment")
	return must[control.ScheduleEntry](w.t)(w.CreateSchedule(w.t.Context(),
		control.NewSchedule{Trial: &spec, At: time.Now().Add(in), Every: every, Between: between, Reason: "every day"}, ana))
}

func (w *clockwork) got(id string) control.ScheduleEntry {
	w.t.Helper()
	return must[control.ScheduleEntry](w.t)(w.GetSchedule(id))
}

// passes lets time go by, and what is due then happen.
func passes(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAnExperimentIsStartedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		w := stormy(t, log)
		defer w.run()()
		other := newClockwork(t, log, log) // another server on the log starts nothing twice
		defer other.run()()
		made := w.planStorm(time.Hour, 24*time.Hour, "")
		passes(time.Hour - time.Second)
		if len(w.ActiveTrials()) != 0 {
			t.Fatal("it was started too early")
		}
		passes(time.Second)
		running := w.ActiveTrials()
		if len(running) != 1 || running[0].State.Attempt != 1 {
			t.Fatalf("%d run: %s", len(running), asJSON(running))
		}
		c := must[control.Change](t)(w.GetChange(t.Context(), running[0].Revision))
		if c.Actor != "schedule" || !strings.Contains(c.Reason, "every day") || len(c.Ops) != 2 {
			t.Errorf("the change is %s", asJSON(c))
		}
		must[control.TrialEntry](t)(w.CommandTrial(t.Context(), "storm", "abort", ana))
		passes(24 * time.Hour)
		if running := w.ActiveTrials(); len(running) != 1 || running[0].State.Attempt != 2 {
			t.Errorf("the second day: %s", asJSON(running))
		}
		s := w.got(made.ID)
		if !s.At.Equal(made.At.Add(48*time.Hour)) || s.State != control.SchedulePending || len(s.Tries) != 2 || s.Tries[1].Attempt != 2 || !s.Tries[1].At.Equal(made.At.Add(24*time.Hour)) {
			t.Errorf("the schedule is %s", asJSON(s))
		}
		must[control.ScheduleEntry](t)(w.CancelSchedule(t.Context(), made.ID, ana))
		revision := w.Head().Revision
		passes(72 * time.Hour)
		if w.Head().Revision != revision {
			t.Error("a cancelled schedule goes on")
		}
	})
}

// What may not start is skipped with the reason, and tried at the next time: the lever, another
// experiment, a flag that is gone.
func TestAStartThatIsRefusedIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		w := stormy(t, log)
		defer w.run()()
		made := w.planStorm(time.Hour, time.Hour, "")
		if _, _, err := w.FaultsOff(t.Context(), because("incident 7")); err != nil {
			t.Fatal(err)
		}
		passes(time.Hour)
		must[control.LeverEntry](t)(w.FaultsOn(t.Context(), because("over")))
		if s := w.got(made.ID); len(s.Tries) != 1 || !strings.Contains(s.Tries[0].Skipped, "incident 7") || s.Tries[0].Attempt != 0 || s.State != control.SchedulePending {
			t.Errorf("with the lever off: %s", asJSON(s))
		}
		if c := must[control.Change](t)(w.GetChange(t.Context(), w.got(made.ID).Revision)); !strings.Contains(c.Reason, "did not start experiment storm") || len(c.Ops) != 1 {
			t.Errorf("the log says %s", asJSON(c))
		}
		passes(time.Hour) // starts
		passes(time.Hour) // still runs: nobody ends it here
		s := w.got(made.ID)
		if len(s.Tries) != 3 || s.Tries[1].Attempt != 1 || !strings.Contains(s.Tries[2].Skipped, "abort it first") {
			t.Errorf("while it runs: %s", asJSON(s))
		}
		passes(30 * time.Hour)
		if s := w.got(made.ID); len(s.Tries) != 10 || len(w.ActiveTrials()) != 1 {
			t.Errorf("%d tries are kept", len(s.Tries))
		}
	})
}

// Days in which no server ran are one try that was missed, not many that are made up for.
func TestMissedStartsDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		made := stormy(t, log).planStorm(time.Hour, 24*time.Hour, "")
		once := stormy(t, log).planStorm(2*time.Hour, 0, "")
		passes(75 * time.Hour)
		again := newClockwork(t, log, log)
		stop := again.run()
		passes(time.Minute)
		s := again.got(made.ID)
		if len(again.ActiveTrials()) != 0 || len(s.Tries) != 1 || !strings.Contains(s.Tries[0].Skipped, "did not run") || !s.At.Equal(made.At.Add(96*time.Hour)) {
			t.Errorf("after three days: %s, %d run", asJSON(s), len(again.ActiveTrials()))
		}
		if s := again.got(once.ID); s.State != control.ScheduleFailed || !strings.Contains(s.Failure, "did not run") {
			t.Errorf("one for a single time: %s", asJSON(s))
		}
		stop()
		third := newClockwork(t, log, log) // a restart changes nothing of it
		defer third.run()()
		passes(time.Until(s.At))
		if running := third.ActiveTrials(); len(running) != 1 {
			t.Errorf("%d run at the next time", len(running))
		}
	})
}

func TestAStartForOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := storetest.NewMemory()
		w := stormy(t, log)
		defer w.run()()
		made, second := w.planStorm(time.Hour, 0, ""), w.planStorm(2*time.Hour, 0, "")
		passes(3 * time.Hour)
		if s := w.got(made.ID); s.State != control.ScheduleDone || len(s.Tries) != 1 || s.Tries[0].Attempt != 1 {
			t.Errorf("the schedule is %s", asJSON(s))
		}
		if s := w.got(second.ID); s.State != control.ScheduleFailed || !strings.Contains(s.Failure, "abort it first") {
			t.Errorf("the second is %s", asJSON(s))
		}
	})
}

func TestStartsKeepToHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // bubbles begin on Saturday, 2000-01-01 00:00 UTC
		log := storetest.NewMemory()
		w := stormy(t, log)
		defer w.run()()
		made := w.planStorm(time.Hour, time.Hour, "Mon-Fri 10:00-12:00 Europe/Berlin")
		if want := time.Date(2000, 1, 3, 9, 0, 0, 0, time.UTC); !made.At.Equal(want) {
			t.Fatalf("the first time is %s, want %s", made.At, want)
		}
		var at []time.Time
		for range 5 {
			s := w.got(made.ID)
			at = append(at, s.At)
			passes(time.Until(s.At))
		}
		want := []time.Time{}
		for _, day := range []int{3, 4, 5} {
			for _, hour := range []int{9, 10} {
				want = append(want, time.Date(2000, 1, day, hour, 0, 0, 0, time.UTC))
			}
		}
		if !slices.EqualFunc(at, want[:5], time.Time.Equal) {
			t.Errorf("due at %v, want %v", at, want[:5])
		}
	})
}

func TestSchedulesOfExperimentsAreChecked(t *testing.T) {
	r := newRig(t)
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), faultFlag("payment"), ana))
	must[control.FlagEntry](t)(r.CreateFlag(t.Context(), boolFlag("search"), ana))
	good := func() control.NewSchedule {
		spec := chaos("storm", "payment")
		return control.NewSchedule{Trial: &spec, At: day0.Add(time.Hour), Every: 24 * time.Hour, Between: "Mon-Fri 09:00-16:00"}
	}
	for name, test := range map[string]struct {
		change  func(*control.NewSchedule)
		code    control.Code
		pointer string
	}{
		"no trial":         {func(n *control.NewSchedule) { n.Trial, n.Flag = nil, "search" }, control.CodeInvalid, "/every"},
		"both":             {func(n *control.NewSchedule) { n.Patch = []byte(`{"enabled":true}`) }, control.CodeInvalid, "/patch"},
		"a rollout":        {func(n *control.NewSchedule) { n.Trial.Goal = trial.GoalPromote }, control.CodeInvalid, "/trial/goal"},
		"another flag":     {func(n *control.NewSchedule) { n.Flag = "search" }, control.CodeInvalid, "/flag"},
		"no such flag":     {func(n *control.NewSchedule) { n.Trial.Flag = "none" }, control.CodeNotFound, ""},
		"no hypothesis":    {func(n *control.NewSchedule) { n.Trial.Hypothesis = "" }, control.CodeInvalid, "/trial/hypothesis"},
		"too often":        {func(n *control.NewSchedule) { n.Every = time.Minute }, control.CodeInvalid, "/every"},
		"backwards":        {func(n *control.NewSchedule) { n.Every = -time.Hour }, control.CodeInvalid, "/every"},
		"hours":            {func(n *control.NewSchedule) { n.Between = "office hours" }, control.CodeInvalid, "/between"},
		"never in hours":   {func(n *control.NewSchedule) { n.Between = "20:00-21:00" }, control.CodeInvalid, "/at"},
		"once, not then":   {func(n *control.NewSchedule) { n.Every, n.Between = 0, "20:00-21:00" }, control.CodeInvalid, "/at"},
		"in the past":      {func(n *control.NewSchedule) { n.At = day0 }, control.CodeInvalid, "/at"},
		"too far away":     {func(n *control.NewSchedule) { n.At = day0.AddDate(3, 0, 0) }, control.CodeInvalid, "/at"},
		"an unknown arm":   {func(n *control.NewSchedule) { n.Trial.Treatment = "up" }, control.CodeInvalid, "/trial/treatment"},
		"reason too long":  {func(n *control.NewSchedule) { n.Reason = strings.Repeat("x", 2_001) }, control.CodeInvalid, "/reason"},
		"longer than ever": {func(n *control.NewSchedule) { n.Every = 9_000 * time.Hour }, control.CodeInvalid, "/every"},
	} {
		n := good()
		test.change(&n)
		_, err := r.CreateSchedule(t.Context(), n, ana)
		if got := pointers(err); control.CodeOf(err) != test.code || test.pointer != "" && !slices.Contains(got, test.pointer) {
			t.Errorf("%s: %v (%s) at %v, want %s at %s", name, err, control.CodeOf(err), got, test.code, test.pointer)
		}
	}
	must[control.ScheduleEntry](t)(r.CreateSchedule(t.Context(), good(), ana))

	n := good() // day0 is a Monday, 9:00, when the hours have just begun
	n.At = time.Time{}
	if made := must[control.ScheduleEntry](t)(r.CreateSchedule(t.Context(), n, ana)); !made.At.Equal(day0.Add(24*time.Hour)) || !made.First.Equal(made.At) {
		t.Errorf("without a time it is due at %s", made.At)
	}
	n.Between = ""
	_, err := r.CreateSchedule(t.Context(), n, ana)
	wantCode(t, err, control.CodeInvalid, "say when")
}
