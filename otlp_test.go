package seatrial

import (
	"encoding/hex"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/outcome"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// What is encoded is, decoded with OTLP's own definition, what was counted: exactly.
func TestReportsAreExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		born := time.Unix(1_700_000_000, 5)
		id := &identity{service: rapid.String().Draw(rt, "service"), instance: newInstanceID(), born: born}
		r := &report{from: born.Add(3 * time.Second), to: born.Add(9 * time.Second)}
		for range rapid.IntRange(0, 4).Draw(rt, "series") {
			r.series = append(r.series, drawSeries(rt, born))
		}
		req := decodeReport(t, compress(encodeReport(id, r)))
		if len(req.ResourceMetrics) != 1 || len(req.ResourceMetrics[0].ScopeMetrics) != 1 {
			rt.Fatalf("want one resource with one scope: %v", req)
		}
		resource := attributesOf(req.ResourceMetrics[0].Resource.Attributes)
		for key, want := range map[string]any{
			"service.name": id.service, "service.instance.id": id.instance, "telemetry.sdk.name": "seatrial",
			"telemetry.sdk.language": "go", "telemetry.sdk.version": Version,
		} {
			if resource[key] != want {
				rt.Errorf("resource: %s = %v, want %v", key, resource[key], want)
			}
		}
		checkMetrics(rt, req.ResourceMetrics[0].ScopeMetrics[0].Metrics, r)
	})
}

func drawSeries(rt *rapid.T, born time.Time) seriesReport {
	text := rapid.StringMatching(`[a-z0-9./_-]{1,200}`)
	s := seriesReport{
		ref:      eval.TrialRef{Trial: text.Draw(rt, "trial"), Flag: text.Draw(rt, "flag"), Version: text.Draw(rt, "version"), Step: rapid.IntRange(0, 1e6).Draw(rt, "step")},
		variants: [arms]string{text.Draw(rt, "treatment"), text.Draw(rt, "control")},
	}
	for a := range arms {
		n := &s.arms[a]
		for range rapid.IntRange(0, 50).Draw(rt, "requests") {
			n.Requests++
			n.Latency.Record(rapid.OneOf(rapid.Float64Range(0, 1e-5), rapid.Float64Range(0, 1e6)).Draw(rt, "seconds"))
		}
		n.Bad = rapid.Uint64Max(1<<53).Draw(rt, "bad")
		n.NewUnits, n.AtRiskUnits, n.BadUnits = rapid.Uint64Max(9).Draw(rt, "new"), rapid.Uint64Max(9).Draw(rt, "at risk"), rapid.Uint64Max(1).Draw(rt, "bad units")
	}
	for i := range rapid.IntRange(0, 5).Draw(rt, "exemplars") {
		id := rapid.SliceOfN(rapid.Byte(), 24, 24).Draw(rt, "ids")
		s.exemplars = append(s.exemplars, outcome.Exemplar{
			TraceID: hex.EncodeToString(id[:16]), SpanID: hex.EncodeToString(id[16:]),
			Time: born.Add(time.Duration(i)), Seconds: rapid.Float64Range(0, 1e6).Draw(rt, "seconds"),
		})
	}
	return s
}

func attributesOf(list []*common.KeyValue) map[string]any {
	values := map[string]any{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			values[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			values[a.Key] = v.IntValue
		}
	}
	return values
}

// checkMetrics walks the points in the order of the report.
func checkMetrics(rt *rapid.T, list []*metrics.Metric, r *report) {
	if len(list) != 3 {
		rt.Fatalf("%d metrics, want 3", len(list))
	}
	durations, bads, units := list[0], list[1], list[2]
	if durations.Name != outcome.MetricDuration || durations.Unit != "s" || bads.Name != outcome.MetricBad || bads.Unit != "{request}" ||
		units.Name != outcome.MetricUnits || units.Unit != "{unit}" {
		rt.Errorf("metrics %v", list)
	}
	delta := metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	if durations.GetExponentialHistogram().AggregationTemporality != delta || bads.GetSum().AggregationTemporality != delta ||
		units.GetSum().AggregationTemporality != delta || !bads.GetSum().IsMonotonic || !units.GetSum().IsMonotonic {
		rt.Error("want delta temporality, and monotonic sums")
	}
	histograms, badPoints, unitPoints := durations.GetExponentialHistogram().DataPoints, bads.GetSum().DataPoints, units.GetSum().DataPoints
	r.eachArm(func(s *seriesReport, a arm, n *outcome.Arm) {
		if len(histograms) == 0 {
			rt.Fatal("a histogram is missing")
		}
		checkHistogram(rt, histograms[0], s, a, &n.Latency)
		histograms = histograms[1:]
		checkSum(rt, badPoints[0], s, a, n.Bad, "")
		if a == treatment {
			checkExemplars(rt, badPoints[0].Exemplars, s.exemplars)
		} else if len(badPoints[0].Exemplars) > 0 {
			rt.Error("exemplars are of the treatment")
		}
		badPoints = badPoints[1:]
		if n.NewUnits+n.AtRiskUnits+n.BadUnits == 0 {
			return
		}
		for _, unit := range []struct {
			state string
			n     uint64
		}{{outcome.UnitNew, n.NewUnits}, {outcome.UnitAtRisk, n.AtRiskUnits}, {outcome.UnitBad, n.BadUnits}} {
			checkSum(rt, unitPoints[0], s, a, unit.n, unit.state)
			unitPoints = unitPoints[1:]
		}
	})
	if len(histograms)+len(badPoints)+len(unitPoints) > 0 {
		rt.Error("there are points too many")
	}
}

func checkSeries(rt *rapid.T, got map[string]any, s *seriesReport, a arm, state string) {
	want := map[string]any{
		"seatrial.flag": s.ref.Flag, "seatrial.trial": s.ref.Trial, "seatrial.version": s.ref.Version,
		"seatrial.step": int64(s.ref.Step), "seatrial.arm": a.name(), "seatrial.variant": s.variants[a],
	}
	if state != "" {
		want["seatrial.unit.state"] = state
	}
	if len(got) != len(want) {
		rt.Errorf("attributes %v, want %v", got, want)
	}
	for key := range want {
		if got[key] != want[key] {
			rt.Errorf("%s = %v, want %v", key, got[key], want[key])
		}
	}
}

func checkWindow(rt *rapid.T, from, to uint64) {
	if from != 1_700_000_003_000_000_005 || to != 1_700_000_009_000_000_005 {
		rt.Errorf("window %d to %d", from, to)
	}
}

func checkHistogram(rt *rapid.T, p *metrics.ExponentialHistogramDataPoint, s *seriesReport, a arm, want *outcome.Histogram) {
	checkSeries(rt, attributesOf(p.Attributes), s, a, "")
	checkWindow(rt, p.StartTimeUnixNano, p.TimeUnixNano)
	var got outcome.Histogram
	if err := got.ImportExponential(p.Scale, p.ZeroCount, p.GetPositive().GetOffset(), p.GetPositive().GetBucketCounts(), p.GetSum()); err != nil {
		rt.Fatal(err)
	}
	same := got.Zero == want.Zero && got.Count() == want.Count() && p.Count == want.Count() && math.Float64bits(got.Sum) == math.Float64bits(want.Sum)
	for q := range 101 {
		same = same && got.Quantile(float64(q)/100) == want.Quantile(float64(q)/100)
	}
	if !same || p.Scale != outcome.Scale {
		rt.Errorf("histogram %v, want %v", p, want)
	}
}

func checkSum(rt *rapid.T, p *metrics.NumberDataPoint, s *seriesReport, a arm, n uint64, state string) {
	checkSeries(rt, attributesOf(p.Attributes), s, a, state)
	checkWindow(rt, p.StartTimeUnixNano, p.TimeUnixNano)
	if got, ok := p.Value.(*metrics.NumberDataPoint_AsInt); !ok || got.AsInt != int64(n) {
		rt.Errorf("value %v, want the integer %d", p.Value, n)
	}
}

func checkExemplars(rt *rapid.T, got []*metrics.Exemplar, want []outcome.Exemplar) {
	if len(got) != len(want) {
		rt.Fatalf("%d exemplars, want %d", len(got), len(want))
	}
	for i, e := range got {
		if hex.EncodeToString(e.TraceId) != want[i].TraceID || hex.EncodeToString(e.SpanId) != want[i].SpanID ||
			e.TimeUnixNano != uint64(want[i].Time.UnixNano()) || e.GetAsDouble() != want[i].Seconds {
			rt.Errorf("exemplar %v, want %+v", e, want[i])
		}
	}
}

// Reports must neither overlap nor have no length, whatever the clock does: the receiver takes
// what overlaps for a repetition.
func TestReportsDoNotOverlap(t *testing.T) {
	now := time.Now()
	o := newOutcomes(now)
	last := now
	for _, at := range []time.Time{now, now, now.Add(1), now.Add(-time.Hour), now.Add(time.Second), now.Add(time.Second)} {
		r := o.take(at)
		if !r.from.Equal(last) || !r.to.After(r.from) {
			t.Errorf("report from %v to %v follows one that ended at %v", r.from, r.to, last)
		}
		last = r.to
	}
}

func TestInstanceIDs(t *testing.T) {
	a, b := newInstanceID(), newInstanceID()
	if a == b || len(a) != 36 || a[14] != '4' {
		t.Errorf("%q, %q: want two UUIDs of version 4", a, b)
	}
}

func TestPartialSuccess(t *testing.T) {
	data, err := proto.Marshal(&collector.ExportMetricsServiceResponse{
		PartialSuccess: &collector.ExportMetricsPartialSuccess{RejectedDataPoints: 300, ErrorMessage: "no arm"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, why := partialSuccess(data); n != 300 || why != "no arm" {
		t.Errorf("%d, %q", n, why)
	}
	for cut := range data { // torn at every place: nothing, or what was read up to there
		if n, _ := partialSuccess(data[:cut]); n != 0 {
			t.Errorf("cut after %d bytes: %d", cut, n)
		}
	}
}

func FuzzPartialSuccess(f *testing.F) {
	f.Add([]byte("\x0a\x0b\x08\xac\x02\x12\x06no arm"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, why := partialSuccess(data)
		var want collector.ExportMetricsServiceResponse
		if err := proto.Unmarshal(data, &want); err == nil && want.ProtoReflect().GetUnknown() == nil &&
			want.PartialSuccess.ProtoReflect().GetUnknown() == nil {
			if p := want.PartialSuccess; p.GetRejectedDataPoints() != int64(n) || p.GetErrorMessage() != why {
				t.Fatalf("%d, %q, want %v", n, why, p)
			}
		}
	})
}

// A name in code that is no text does not make a report unreadable.
func TestNamesThatAreNoText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, trialSet(1, 0))
		c := p.open(WithService("caf\xe9"))
		c.Dependency("caf\xe9")
		work(t, c, 1)
		p.wantArrived(c, map[string]arrived{inTreatment: {Requests: 1, New: 1, AtRisk: 1}})
	})
}
