package otlp

import (
	"bytes"
	"math"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resources "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/fleet"
	"github.com/seatrial/seatrial/internal/server/intervals"
)

// register notes facts and outcomes.
type register struct {
	facts  []fleet.Fact
	points []intervals.Point
}

func (r *register) AddFacts(facts []fleet.Fact)          { r.facts = append(r.facts, facts...) }
func (r *register) AddOutcomes(points []intervals.Point) { r.points = append(r.points, points...) }

// ofInstance puts metrics under the resource of a process; an empty instance is left out.
func ofInstance(instance string, list ...*metrics.Metric) *colmetrics.ExportMetricsServiceRequest {
	attribute := func(key, value string) *common.KeyValue {
		return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
	}
	resource := &resources.Resource{Attributes: []*common.KeyValue{attribute("service.name", "shop")}}
	if instance != "" {
		resource.Attributes = append(resource.Attributes, attribute("service.instance.id", instance))
	}
	return &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		Resource: resource, ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: list}},
	}}}
}

func deltaSum(name string, points ...*metrics.NumberDataPoint) *metrics.Metric {
	return &metrics.Metric{Name: name, Data: &metrics.Metric_Sum{Sum: &metrics.Sum{AggregationTemporality: 1, IsMonotonic: true, DataPoints: points}}}
}

func gaugeOf(name string, points ...*metrics.NumberDataPoint) *metrics.Metric {
	return &metrics.Metric{Name: name, Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: points}}}
}

func measured(value float64, attributes ...string) *metrics.NumberDataPoint {
	p := seenPoint(0, attributes...)
	p.StartTimeUnixNano, p.Value = 0, &metrics.NumberDataPoint_AsDouble{AsDouble: value}
	return p
}

func TestFacts(t *testing.T) {
	const (
		point, allowed, dep = outcome.AttrPoint, outcome.AttrAllowed, outcome.AttrDependency
		variant, event      = outcome.AttrPolicyVariant, outcome.AttrDependencyEvent
	)
	fact := func(f fleet.Fact) []fleet.Fact {
		f.Service, f.Instance, f.End = "shop", "i", 2
		if f.Kind == fleet.OfPoint || f.Kind == fleet.OfEvents {
			f.Start = 1
		}
		return []fleet.Fact{f}
	}
	long := strings.Repeat("x", maxFleetName+1)
	tests := map[string]struct {
		metric   *metrics.Metric
		facts    []fleet.Fact
		rejected int64
		reason   string
	}{
		"a point with traffic": {metric: deltaSum(outcome.MetricTraffic, seenPoint(1, point, "pay", allowed, "true", "other", "x")),
			facts: fact(fleet.Fact{Kind: fleet.OfPoint, Name: "pay", Traffic: true, Allowed: true, Value: 1})},
		"a point": {metric: deltaSum(outcome.MetricTraffic, seenPoint(0, point, "pay", allowed, "false")),
			facts: fact(fleet.Fact{Kind: fleet.OfPoint, Name: "pay"})},
		"a point of unclear permission": {metric: deltaSum(outcome.MetricTraffic, seenPoint(1, point, "pay", allowed, "yes")), rejected: 1, reason: "seatrial.fault.allowed"},
		"a point without a name":        {metric: deltaSum(outcome.MetricTraffic, seenPoint(1, allowed, "true")), rejected: 1, reason: "seatrial.fault.point"},
		"a point with a long name":      {metric: deltaSum(outcome.MetricTraffic, seenPoint(1, point, long, allowed, "true")), rejected: 1, reason: "1 to 200 bytes"},
		"a point that rings":            {metric: deltaSum(outcome.MetricTraffic, seenPoint(1, point, "a\a", allowed, "true")), rejected: 1, reason: "seatrial.fault.point"},
		"a state": {metric: gaugeOf(outcome.MetricState, measured(2, dep, "pg", variant, "fast")),
			facts: fact(fleet.Fact{Kind: fleet.OfState, Name: "pg", Variant: "fast", State: fleet.Open, Value: 2})},
		"no such state":    {metric: gaugeOf(outcome.MetricState, measured(3, dep, "pg")), rejected: 1, reason: "0, 1 or 2"},
		"half a state":     {metric: gaugeOf(outcome.MetricState, measured(0.5, dep, "pg")), rejected: 1, reason: "0, 1 or 2"},
		"a state as a sum": {metric: deltaSum(outcome.MetricState, seenPoint(1, dep, "pg")), rejected: 1, reason: "gauges"},
		"a budget":         {metric: gaugeOf(outcome.MetricBudget, measured(0.25, dep, "pg")), facts: fact(fleet.Fact{Kind: fleet.OfBudget, Name: "pg", Value: 0.25})},
		"too much budget":  {metric: gaugeOf(outcome.MetricBudget, measured(1.5, dep, "pg")), rejected: 1, reason: "budgets 0 to 1"},
		"no number":        {metric: gaugeOf(outcome.MetricLimit, measured(math.NaN(), dep, "pg")), rejected: 1, reason: "numbers from 0"},
		"in flight":        {metric: gaugeOf(outcome.MetricInFlight, measured(7, dep, "pg")), facts: fact(fleet.Fact{Kind: fleet.OfInFlight, Name: "pg", Value: 7})},
		"less than none":   {metric: gaugeOf(outcome.MetricInFlight, measured(-1, dep, "pg")), rejected: 1, reason: "numbers from 0"},
		"a limit":          {metric: gaugeOf(outcome.MetricLimit, measured(20, dep, "pg")), facts: fact(fleet.Fact{Kind: fleet.OfLimit, Name: "pg", Value: 20})},
		"of nothing":       {metric: gaugeOf(outcome.MetricLimit, measured(20)), rejected: 1, reason: "seatrial.dependency"},
		"a long variant":   {metric: gaugeOf(outcome.MetricLimit, measured(20, dep, "pg", variant, long)), rejected: 1, reason: "at most 200"},
		"at no time": {metric: gaugeOf(outcome.MetricLimit, &metrics.NumberDataPoint{Attributes: measured(1, dep, "pg").Attributes,
			Value: &metrics.NumberDataPoint_AsInt{AsInt: 1}}), rejected: 1, reason: "time is not 0"},
		"events": {metric: deltaSum(outcome.MetricDependency, seenPoint(3, dep, "pg", event, "retry")),
			facts: fact(fleet.Fact{Kind: fleet.OfEvents, Name: "pg", Event: fleet.Retry, Count: 3, Value: 3})},
		"events of a newer SDK": {metric: deltaSum(outcome.MetricDependency, seenPoint(3, dep, "pg", event, "teleported"))},
		"half an event":         {metric: deltaSum(outcome.MetricDependency, measuredFrom(0.5, dep, "pg", event, "retry")), rejected: 1, reason: "whole"},
		"events since ever": {metric: &metrics.Metric{Name: outcome.MetricDependency, Data: &metrics.Metric_Sum{Sum: &metrics.Sum{AggregationTemporality: 2, IsMonotonic: true,
			DataPoints: []*metrics.NumberDataPoint{seenPoint(3, dep, "pg", event, "retry")}}}}, rejected: 1, reason: "delta"},
		"a window upside down": {metric: deltaSum(outcome.MetricDependency, &metrics.NumberDataPoint{StartTimeUnixNano: 9, TimeUnixNano: 2,
			Attributes: seenPoint(1, dep, "pg", event, "retry").Attributes}), rejected: 1, reason: "start time"},
		"no recorded value": {metric: gaugeOf(outcome.MetricState, &metrics.NumberDataPoint{Flags: 1, TimeUnixNano: 2, Attributes: measured(1, dep, "pg").Attributes})},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBothEncodings(t, ofInstance("i", test.metric), func(t *testing.T, got *register, answer *colmetrics.ExportMetricsPartialSuccess, stats Stats) {
				if !slices.Equal(got.facts, test.facts) || answer.GetRejectedDataPoints() != test.rejected || !strings.Contains(answer.GetErrorMessage(), test.reason) {
					t.Errorf("facts %+v, answer %v", got.facts, answer)
				}
				if stats.Facts != uint64(len(test.facts)) || stats.RejectedPoints != uint64(test.rejected) {
					t.Errorf("counted %+v", stats)
				}
			})
		})
	}
}

func measuredFrom(value float64, attributes ...string) *metrics.NumberDataPoint {
	p := measured(value, attributes...)
	p.StartTimeUnixNano = 1
	return p
}

func TestFactsNeedAProcess(t *testing.T) {
	request := ofInstance("", deltaSum(outcome.MetricTraffic, seenPoint(1, outcome.AttrPoint, "pay", outcome.AttrAllowed, "true")))
	inBothEncodings(t, request, func(t *testing.T, got *register, answer *colmetrics.ExportMetricsPartialSuccess, _ Stats) {
		if len(got.facts) != 0 || answer.GetRejectedDataPoints() != 1 || !strings.Contains(answer.GetErrorMessage(), "service.instance.id") {
			t.Errorf("facts %+v, answer %v", got.facts, answer)
		}
	})
}

// inBothEncodings has a request received as protobuf and as JSON.
func inBothEncodings(t *testing.T, request *colmetrics.ExportMetricsServiceRequest, check func(*testing.T, *register, *colmetrics.ExportMetricsPartialSuccess, Stats)) {
	t.Helper()
	asProto, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := protojson.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	for contentType, body := range map[string][]byte{"application/x-protobuf": asProto, "application/json": asJSON} {
		t.Run(contentType, func(t *testing.T) {
			got := &register{}
			r := NewReceiver(Config{Fleet: got, Outcomes: got})
			req, w := httptest.NewRequest("POST", "/v1/metrics", bytes.NewReader(body)), httptest.NewRecorder()
			req.Header.Set("Content-Type", contentType)
			r.ServeMetrics(w, req)
			answer := &colmetrics.ExportMetricsServiceResponse{}
			unmarshalAs(t, w.Result(), answer)
			check(t, got, answer.GetPartialSuccess(), r.Stats())
		})
	}
}

// Injections are outcomes: they count for a version and an arm of a trial.
func TestInjections(t *testing.T) {
	attributes := []string{outcome.AttrTrial, "x", outcome.AttrVersion, "x.1.0", outcome.AttrArm, outcome.ArmTreatment, outcome.AttrPoint, "pay", outcome.AttrKind, "latency", outcome.AttrPhase, "before"}
	without := func(name string) []string {
		i := slices.Index(attributes, name)
		return slices.Concat(attributes[:i], attributes[i+2:])
	}
	tests := map[string]struct {
		metric *metrics.Metric
		reason string // empty: it is taken
	}{
		"whole":         {metric: deltaSum(outcome.MetricInjections, seenPoint(3, attributes...))},
		"no trial":      {deltaSum(outcome.MetricInjections, seenPoint(3, without(outcome.AttrTrial)...)), "seatrial.trial"},
		"no point":      {deltaSum(outcome.MetricInjections, seenPoint(3, without(outcome.AttrPoint)...)), "seatrial.fault.point"},
		"no kind":       {deltaSum(outcome.MetricInjections, seenPoint(3, without(outcome.AttrKind)...)), "seatrial.fault.kind"},
		"no phase":      {deltaSum(outcome.MetricInjections, seenPoint(3, without(outcome.AttrPhase)...)), "seatrial.fault.phase"},
		"a gauge":       {gaugeOf(outcome.MetricInjections, seenPoint(3, attributes...)), "must be sums"},
		"half a call":   {deltaSum(outcome.MetricInjections, measuredFrom(0.5, attributes...)), "whole numbers"},
		"too long kind": {deltaSum(outcome.MetricInjections, seenPoint(3, append(without(outcome.AttrKind), outcome.AttrKind, strings.Repeat("x", 201))...)), "200 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBothEncodings(t, ofInstance("i", test.metric), func(t *testing.T, got *register, answer *colmetrics.ExportMetricsPartialSuccess, _ Stats) {
				if test.reason != "" {
					if len(got.points) != 0 || answer.GetRejectedDataPoints() != 1 || !strings.Contains(answer.GetErrorMessage(), test.reason) {
						t.Errorf("points %+v, answer %v", got.points, answer)
					}
					return
				}
				want := intervals.Point{Metric: outcome.MetricInjections, Trial: "x", Version: "x.1.0", Arm: outcome.ArmTreatment, Start: 1, End: 2, Count: 3,
					Fault: intervals.Fault{Point: "pay", Kind: "latency", Phase: "before"}}
				if len(got.points) == 1 {
					want.Series = got.points[0].Series
				}
				if !reflect.DeepEqual(got.points, []intervals.Point{want}) || want.Series == (intervals.SeriesKey{}) {
					t.Errorf("points %+v, answer %v", got.points, answer)
				}
			})
		})
	}
}

// Injections of two points are two series: neither is taken for a repetition of the other.
func TestInjectionsOfTwoPointsAreTwoSeries(t *testing.T) {
	one := func(point, kind string) *metrics.NumberDataPoint {
		return seenPoint(1, outcome.AttrTrial, "x", outcome.AttrVersion, "x.1.0", outcome.AttrArm, outcome.ArmTreatment, outcome.AttrPoint, point, outcome.AttrKind, kind, outcome.AttrPhase, "before")
	}
	request := ofInstance("i", deltaSum(outcome.MetricInjections, one("pay", "latency"), one("pay", "error"), one("ship", "error")))
	inBothEncodings(t, request, func(t *testing.T, got *register, _ *colmetrics.ExportMetricsPartialSuccess, _ Stats) {
		series := map[intervals.SeriesKey]bool{}
		for _, p := range got.points {
			series[p.Series] = true
		}
		if len(got.points) != 3 || len(series) != 3 {
			t.Errorf("%d points of %d series", len(got.points), len(series))
		}
	})
}

// aReport has every metric in which a process tells of itself.
func aReport() *colmetrics.ExportMetricsServiceRequest {
	dependency := []string{outcome.AttrDependency, "pg", outcome.AttrPolicyVariant, "fast"}
	return ofInstance("i",
		deltaSum(outcome.MetricTraffic, seenPoint(1, outcome.AttrPoint, "pay", outcome.AttrAllowed, "true")),
		gaugeOf(outcome.MetricState, measured(2, dependency...)), gaugeOf(outcome.MetricBudget, measured(0.5, dependency...)),
		gaugeOf(outcome.MetricInFlight, measured(3, dependency...)), gaugeOf(outcome.MetricLimit, measured(20, dependency...)),
		deltaSum(outcome.MetricDependency, seenPoint(2, append(dependency, outcome.AttrDependencyEvent, outcome.EventOpened)...)))
}
