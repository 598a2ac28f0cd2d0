package cohorts_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/cohorts"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/traces"
)

func TestNobodyAsks(t *testing.T) {
	flagTrial := control.TrialEntry{}
	flagTrial.Spec, flagTrial.State = trial.Spec{Name: "other", Flag: "f"}, trial.State{Attempt: 1}
	for _, r := range []*rig{newRig(t, cohorts.Limits{}), newRig(t, cohorts.Limits{}, flagTrial)} {
		if metrics, spans := r.Active(); metrics || spans || r.Wants(resource("v2", "a"), false) {
			t.Error("wants telemetry without a trial that compares deployments")
		}
		r.send(at(60), point(resource("v2", "a"), 0, 60, fast(5)))
	}
}

func TestWhatIsCounted(t *testing.T) {
	e := versions()
	v1, v2 := resource("v1", "a"), resource("v2", "b")
	nameless := &cohorts.Resource{Service: "shop", Attributes: texts("service.name", "shop", "service.version", "v2")}
	other := &cohorts.Resource{Service: "cart", Attributes: v2.Attributes}
	type report struct {
		at     float64
		points []cohorts.Point
	}
	one := func(at float64, points ...cohorts.Point) report { return report{at, points} }
	for _, c := range []struct {
		name    string
		reports []report
		want    string
	}{
		{"a process of the trial's time counts from its start", []report{one(60, point(v2, 1, 60, fast(5)))}, "treatment 0/5 control 0/0"},
		{"an older one only from its first report", []report{
			one(60, point(v1, -500, 60, fast(1000))), one(120, point(v1, -500, 120, fast(1007)))}, "treatment 0/0 control 0/7"},
		{"its new series count in full: they were nothing before", []report{
			one(60, point(v1, -500, 60, fast(1000))),
			one(120, point(v1, -500, 120, fast(1001)), point(v1, -500, 120, fast(3), failed))}, "treatment 0/0 control 3/4"},
		{"but not those of the first report", []report{
			one(60, point(v1, -500, 60, fast(1000))), one(60.1, point(v1, -500, 60, fast(30), failed)),
			one(120, point(v1, -500, 120, fast(1001)), point(v1, -500, 120, fast(31), failed))}, "treatment 0/0 control 1/2"},
		{"sent again", []report{one(60, point(v2, 1, 60, fast(5))), one(61, point(v2, 1, 60, fast(5)))}, "treatment 0/5 control 0/0"},
		{"sent again late", []report{
			one(60, point(v2, 1, 60, fast(5))), one(120, point(v2, 1, 120, fast(9))), one(121, point(v2, 1, 60, fast(5))),
			one(180, point(v2, 1, 180, fast(10)))}, "treatment 0/10 control 0/0"},
		{"one report lost", []report{one(60, point(v2, 1, 60, fast(5))), one(180, point(v2, 1, 180, fast(9)))}, "treatment 0/9 control 0/0"},
		{"restarted", []report{one(60, point(v2, 1, 60, fast(50))), one(120, point(v2, 70, 120, fast(4)))}, "treatment 0/54 control 0/0"},
		{"two processes that nothing tells apart", []report{
			one(60, point(v2, 1, 60, fast(50)), point(v2, 2, 60, fast(4))),
			one(120, point(v2, 1, 120, fast(51)), point(v2, 2, 120, fast(6)))}, "treatment 0/57 control 0/0"},
		{"a count that went down", []report{
			one(60, point(v2, 1, 60, fast(50))), one(120, point(v2, 1, 120, fast(4))), one(180, point(v2, 1, 180, fast(5)))},
			"treatment 0/51 control 0/0"},
		{"other bounds of the same process", []report{
			one(60, point(v2, 1, 60, fast(50))), one(120, point(v2, 1, 120, explicit(map[float64]uint64{0.02: 60}, 0.1, 1))),
			one(180, point(v2, 1, 180, explicit(map[float64]uint64{0.02: 61}, 0.1, 1)))}, "treatment 0/51 control 0/0"},
		{"delta", []report{
			one(60, point(v2, 0, 60, fast(5), delta), point(v1, 0, 60, fast(7), delta, failed)),
			one(120, point(v2, 60, 120, fast(6), delta))}, "treatment 0/11 control 7/7"},
		{"delta of before the trial", []report{one(10, point(v2, -50, 10, fast(5), delta))}, "treatment 0/0 control 0/0"},
		{"delta sent again", []report{
			one(60, point(v2, 0, 60, fast(5), delta)), one(61, point(v2, 0, 60, fast(5), delta))}, "treatment 0/5 control 0/0"},
		{"delta of two processes that nothing tells apart", []report{
			one(60, point(nameless, 0, 60, fast(5), delta)), one(61, point(nameless, 1, 61, fast(7), delta)),
			one(62, point(nameless, 1, 61, fast(7), delta))}, "treatment 0/12 control 0/0"},
		{"another service", []report{one(60, point(other, 1, 60, fast(5)))}, "treatment 0/0 control 0/0"},
		{"another version", []report{one(60, point(resource("v3", "c"), 1, 60, fast(5)))}, "treatment 0/0 control 0/0"},
		{"a sender whose clock is an hour late", []report{
			one(60, point(v2, -3599, -3540, fast(5))), one(120, point(v2, -3599, -3480, fast(6)))}, "treatment 0/6 control 0/0"},
		{"a sender whose clock is a day early, and older than the trial", []report{
			one(60, point(v1, 86_000, 86_460, fast(500))), one(120, point(v1, 86_000, 86_520, fast(502)))}, "treatment 0/0 control 0/2"},
		{"both conventions at a time", []report{one(60,
			point(v2, 1, 60, fast(5), func(p *cohorts.Point) { p.Metric, p.Unit = "http.server.duration", "ms" }), point(v2, 1, 60, fast(5)))},
			"treatment 0/5 control 0/0"},
		{"the old convention alone", []report{one(60,
			point(v2, 1, 60, fast(5), func(p *cohorts.Point) { p.Metric, p.Unit = "http.server.duration", "ms" }))},
			"treatment 0/5 control 0/0"},
		{"two scopes", []report{one(60, point(v2, 1, 60, fast(5)),
			point(&cohorts.Resource{Service: "shop", Attributes: v2.Attributes, Scope: "gin"}, 1, 60, fast(2)))}, "treatment 0/7 control 0/0"},
		{"not a time", []report{one(60, point(v2, 1, 60, fast(5), func(p *cohorts.Point) { p.Unit = "By" }))}, "treatment 0/0 control 0/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, cohorts.Limits{}, e)
			for _, report := range c.reports {
				r.send(at(report.at), report.points...)
			}
			r.want(e, c.name, c.want)
		})
	}
}

func TestCountsThatGoDownAreTold(t *testing.T) {
	r := newRig(t, cohorts.Limits{}, versions())
	for i, n := range []uint64{50, 4, 5} {
		end := float64(60 * (i + 1))
		r.send(at(end), point(resource("v2", "a"), 1, end, fast(n)))
	}
	if got, want := r.Stats(), (cohorts.Stats{Counted: 2, Resets: 1}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

// What a failure is, by the conventions.
func TestWhatIsBad(t *testing.T) {
	number := func(key string, n int64) []traces.Attribute {
		return []traces.Attribute{{Key: key, Value: traces.IntValue(n)}}
	}
	for _, c := range []struct {
		attributes []traces.Attribute
		bad        bool
	}{
		{texts("http.request.method", "GET"), false},
		{texts("error.type", "timeout"), true},
		{number("http.response.status_code", 404), false},
		{number("http.response.status_code", 500), true},
		{number("http.status_code", 599), true}, // before 1.23
		{number("http.status_code", 50), false},
		{number("rpc.grpc.status_code", 0), false},
		{number("rpc.grpc.status_code", 5), false}, // not found
		{number("rpc.grpc.status_code", 13), true},
		{texts("rpc.response.status_code", "NOT_FOUND"), false},
		{texts("rpc.response.status_code", "UNAVAILABLE"), true},
		{texts("rpc.connect_rpc.error_code", "data_loss"), true},
	} {
		e := versions()
		r := newRig(t, cohorts.Limits{}, e)
		r.send(at(60), point(resource("v2", "a"), 1, 60, fast(1), func(p *cohorts.Point) { p.Attributes = c.attributes }))
		if got, _ := r.close(e); (got.Bad == 1) != c.bad || got.Requests != 1 {
			t.Errorf("%v: %d of %d bad", c.attributes, got.Bad, got.Requests)
		}
	}
}

// A trial that starts later does not get what was counted before it, however well known the series.
func TestTrialsComeAndGo(t *testing.T) {
	first := versions()
	r := newRig(t, cohorts.Limits{}, first)
	r.send(at(60), point(resource("v2", "a"), 1, 60, fast(10)))
	second := versions(func(s *trial.Spec) { s.Name = "second" })
	second.State.StartedAt = at(100)
	r.Follow([]control.TrialEntry{first, second})
	if err := r.open.Expect("second", second.State.Version(second.Spec)); err != nil {
		t.Fatal(err)
	}
	r.send(at(120), point(resource("v2", "a"), 1, 120, fast(30)))
	r.send(at(180), point(resource("v2", "a"), 1, 180, fast(33)))
	r.want(first, "the first", "treatment 0/33 control 0/0")
	r.want(second, "the second", "treatment 0/3 control 0/0")

	r.Follow(nil)
	if metrics, spans := r.Active(); metrics || spans {
		t.Error("active without trials")
	}
	r.send(at(240), point(resource("v2", "a"), 1, 240, fast(50)))
	first.State.StartedAt = at(250)
	r.Follow([]control.TrialEntry{first})
	r.send(at(300), point(resource("v2", "a"), 1, 300, fast(70)))
	r.send(at(360), point(resource("v2", "a"), 1, 360, fast(71)))
	r.want(first, "again", "treatment 0/1 control 0/0")
}

// Whatever is forgotten, nothing is counted that did not happen, and memory stays within limits.
func TestLimits(t *testing.T) {
	e := versions()
	r := newRig(t, cohorts.Limits{MaxSeries: 8, MaxCounts: 1000}, e)
	for round := range 20 {
		for i := range 12 {
			r.send(at(float64(60*round+60+i)), point(resource("v1", fmt.Sprint(i)), -500, float64(60*round+60+i), fast(uint64(1000+round))))
		}
	}
	if s := r.Stats(); s.Forgotten == 0 {
		t.Errorf("nothing was forgotten: %+v", s)
	}
	if _, c := r.close(e); c.Requests > 12*19 {
		t.Errorf("%d requests of %d", c.Requests, 12*19)
	}
}

// process is a model of a process with a cumulative reader: the truth is when each request happened.
type process struct {
	resource *cohorts.Resource
	start    int
	requests []request
}

type request struct {
	second int
	bad    bool
}

// report is what the process says at a time: every series that has counted anything.
func (p *process) report(now int) (list []cohorts.Point) {
	for _, bad := range []bool{false, true} {
		n := uint64(0)
		for _, r := range p.requests {
			if r.bad == bad && r.second < now {
				n++
			}
		}
		if n > 0 {
			one := point(p.resource, float64(p.start), float64(now), fast(n))
			if bad {
				failed(&one)
			}
			list = append(list, one)
		}
	}
	return list
}

// Property: over random processes, restarts and reports, some sent twice or late, what is counted is
// what happened from the first report on (from the start, for processes that are younger than the
// trial), each request once; with reports lost or overtaken it is never more.
func TestCountsAreWhatHappened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := versions()
		r := newRig(t, cohorts.Limits{}, e)
		type delivery struct {
			at     int
			points []cohorts.Point
		}
		var line []delivery
		var want, most [2][2]uint64 // by arm: bad, all
		orderly := rapid.Bool().Draw(t, "orderly")
		for i := range rapid.IntRange(1, 5).Draw(t, "processes") {
			arm := rapid.IntRange(0, 1).Draw(t, "arm")
			p := &process{resource: resource([]string{"v2", "v1"}[arm], fmt.Sprint(rapid.IntRange(0, i).Draw(t, "instance"))), start: rapid.IntRange(-50, 100).Draw(t, "start")*10 + i}
			for range rapid.IntRange(0, 30).Draw(t, "requests") {
				p.requests = append(p.requests, request{p.start + rapid.IntRange(0, 600).Draw(t, "second"), rapid.Bool().Draw(t, "bad")})
			}
			counting, last := p.start, p.start
			for now := max(p.start, 0) + rapid.IntRange(1, 60).Draw(t, "first"); now < p.start+700; now += 60 {
				points := p.report(now)
				if p.start < 0 && counting == p.start && len(points) > 0 {
					counting = now
				}
				last = now
				if !orderly && rapid.Bool().Draw(t, "lost") {
					continue
				}
				for range rapid.IntRange(1, 2).Draw(t, "times") {
					late := 0
					if !orderly {
						late = rapid.IntRange(0, 200).Draw(t, "late")
					}
					line = append(line, delivery{now + late, points})
				}
			}
			for _, q := range p.requests {
				count := func(to *[2][2]uint64) {
					to[arm][1]++
					if q.bad {
						to[arm][0]++
					}
				}
				if q.second >= counting && q.second < last {
					count(&want)
				}
				if q.second < last {
					count(&most)
				}
			}
		}
		slices.SortStableFunc(line, func(a, b delivery) int { return a.at - b.at })
		for _, d := range line {
			r.send(at(float64(d.at)), d.points...)
		}
		treatment, ctl := r.close(e)
		got := [2][2]uint64{{treatment.Bad, treatment.Requests}, {ctl.Bad, ctl.Requests}}
		if orderly && got != want {
			t.Fatalf("counted %v, happened %v", got, want)
		}
		for arm := range got {
			if got[arm][0] > most[arm][0] || got[arm][1] > most[arm][1] {
				t.Fatalf("counted %v of at most %v", got, most)
			}
		}
	})
}
