package otlp

import (
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"pgregory.net/rapid"

	"github.com/seatrial/seatrial/internal/core/outcome"
	"github.com/seatrial/seatrial/internal/server/intervals"
)

var genCount = rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Uint64Range(0, 1<<54), rapid.Uint64())

func genOutcomeAttributes(t *rapid.T) []*common.KeyValue {
	arm := rapid.SampledFrom([]string{"treatment", "control", "treatment", "control", "other"}).Draw(t, "arm")
	list := []*common.KeyValue{text("seatrial.trial", "checkout"), text("seatrial.version", "1.2.3"), text("seatrial.arm", arm),
		text("seatrial.unit.state", rapid.SampledFrom([]string{"new", "at_risk", "bad"}).Draw(t, "state")),
		text("seatrial.event.name", rapid.SampledFrom([]string{"purchase", "purchase", "purchase", "", strings.Repeat("e", 257)}).Draw(t, "event")),
		text("seatrial.measure", rapid.SampledFrom([]string{"of", "bad", "sum", "sum_squares"}).Draw(t, "measure"))}
	list = rapid.Permutation(list).Draw(t, "order")
	return list[rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "left out"):]
}

var genExemplar = rapid.Custom(func(t *rapid.T) *metrics.Exemplar {
	e := &metrics.Exemplar{TimeUnixNano: genTime.Draw(t, "time"), TraceId: genBytes(16, 16, 0).Draw(t, "trace"), SpanId: genBytes(8, 8, 0).Draw(t, "span")}
	if rapid.Bool().Draw(t, "int") {
		e.Value = &metrics.Exemplar_AsInt{AsInt: rapid.Int64Range(-1, 9).Draw(t, "value")}
	} else {
		e.Value = &metrics.Exemplar_AsDouble{AsDouble: rapid.Float64().Draw(t, "value")}
	}
	return e
})

func genWindow(t *rapid.T) (start, end uint64) {
	start = rapid.Uint64Range(0, 2e18).Draw(t, "start")
	return start, start + rapid.Uint64Range(0, 1e10).Draw(t, "length") - rapid.SampledFrom([]uint64{0, 0, 0, 0, 5}).Draw(t, "back")
}

var genNumber = rapid.Custom(func(t *rapid.T) *metrics.NumberDataPoint {
	p := &metrics.NumberDataPoint{
		Attributes: genOutcomeAttributes(t), Exemplars: rapid.SliceOfN(genExemplar, 0, 2).Draw(t, "exemplars"),
		Flags: rapid.SampledFrom([]uint32{0, 0, 0, 1}).Draw(t, "flags"),
	}
	p.StartTimeUnixNano, p.TimeUnixNano = genWindow(t)
	if rapid.Bool().Draw(t, "int") {
		p.Value = &metrics.NumberDataPoint_AsInt{AsInt: rapid.OneOf(rapid.Int64Range(0, 1e6), rapid.Int64()).Draw(t, "value")}
	} else {
		p.Value = &metrics.NumberDataPoint_AsDouble{AsDouble: rapid.SampledFrom([]float64{0, 1, 2.5, 1e6, -1, -2.5e300, math.NaN(), math.Inf(1)}).Draw(t, "value")}
	}
	return p
})

var genBuckets = rapid.Custom(func(t *rapid.T) *metrics.ExponentialHistogramDataPoint_Buckets {
	if rapid.IntRange(0, 4).Draw(t, "none") == 0 {
		return nil
	}
	counts := rapid.OneOf(rapid.SliceOfN(rapid.Uint64Range(0, 9), 0, 12), rapid.SliceOfN(genCount, 0, 3)).Draw(t, "counts")
	return &metrics.ExponentialHistogramDataPoint_Buckets{Offset: rapid.OneOf(rapid.Int32Range(-900, 900), rapid.Int32()).Draw(t, "offset"), BucketCounts: counts}
})

var genExponential = rapid.Custom(func(t *rapid.T) *metrics.ExponentialHistogramDataPoint {
	sum := rapid.SampledFrom([]float64{0, 1.5, 12, -1, math.Inf(1)}).Draw(t, "sum")
	p := &metrics.ExponentialHistogramDataPoint{
		Attributes: genOutcomeAttributes(t), Exemplars: rapid.SliceOfN(genExemplar, 0, 2).Draw(t, "exemplars"),
		Flags: rapid.SampledFrom([]uint32{0, 0, 0, 1}).Draw(t, "flags"), Sum: &sum,
		Scale:    rapid.SampledFrom([]int32{5, 5, 6, 20, 4, 21, -3}).Draw(t, "scale"),
		Positive: genBuckets.Draw(t, "positive"), Negative: genBuckets.Draw(t, "negative"),
		ZeroCount: rapid.OneOf(rapid.Just(uint64(0)), genCount).Draw(t, "zero"),
	}
	p.StartTimeUnixNano, p.TimeUnixNano = genWindow(t)
	p.Count = p.ZeroCount + rapid.SampledFrom([]uint64{0, 0, 0, 0, 1}).Draw(t, "wrong by")
	for _, n := range append(append([]uint64(nil), p.Positive.GetBucketCounts()...), p.Negative.GetBucketCounts()...) {
		p.Count += n
	}
	return p
})

var genMetric = rapid.Custom(func(t *rapid.T) *metrics.Metric {
	m := &metrics.Metric{Unit: "s", Name: rapid.SampledFrom([]string{
		outcome.MetricDuration, outcome.MetricDuration, outcome.MetricBad, outcome.MetricUnits, outcome.MetricEvents, outcome.MetricValues, "seatrial.outcome.newer", "http.server.request.duration",
	}).Draw(t, "name")}
	temporality := rapid.SampledFrom([]metrics.AggregationTemporality{1, 1, 1, 1, 2, 0}).Draw(t, "temporality")
	asHistogram := m.Name == outcome.MetricDuration
	if rapid.IntRange(0, 9).Draw(t, "wrong shape") == 0 {
		asHistogram = !asHistogram
	}
	if asHistogram {
		m.Data = &metrics.Metric_ExponentialHistogram{ExponentialHistogram: &metrics.ExponentialHistogram{
			AggregationTemporality: temporality, DataPoints: rapid.SliceOfN(genExponential, 0, 3).Draw(t, "points"),
		}}
		return m
	}
	points := rapid.SliceOfN(genNumber, 0, 3).Draw(t, "points")
	if rapid.IntRange(0, 9).Draw(t, "gauge") == 0 {
		m.Data = &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: points}}
		return m
	}
	m.Data = &metrics.Metric_Sum{Sum: &metrics.Sum{
		AggregationTemporality: temporality, IsMonotonic: rapid.IntRange(0, 9).Draw(t, "monotonic") > 0, DataPoints: points,
	}}
	return m
})

var genMetrics = rapid.Custom(func(t *rapid.T) *colmetrics.ExportMetricsServiceRequest {
	request := &colmetrics.ExportMetricsServiceRequest{}
	for range rapid.IntRange(0, 2).Draw(t, "resources") {
		request.ResourceMetrics = append(request.ResourceMetrics, &metrics.ResourceMetrics{
			Resource:     genResource.Draw(t, "resource"),
			ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: rapid.SliceOfN(genMetric, 0, 3).Draw(t, "metrics")}},
		})
	}
	return request
})

// wanting is what the structs of a metrics request say.
type wanting struct {
	points            []string // see describe
	rejected, ignored int
}

func wantMetrics(request *colmetrics.ExportMetricsServiceRequest) (w wanting) {
	for _, group := range request.ResourceMetrics {
		_, instance := wantResource(group.Resource)
		for _, scope := range group.ScopeMetrics {
			for _, m := range scope.Metrics {
				w.metric(m, instance != "")
			}
		}
	}
	return w
}

var isSum = map[string]bool{outcome.MetricBad: true, outcome.MetricUnits: true, outcome.MetricEvents: true, outcome.MetricValues: true}

func (w *wanting) metric(m *metrics.Metric, known bool) {
	sum, histogram := m.GetSum(), m.GetExponentialHistogram()
	points := len(sum.GetDataPoints()) + len(histogram.GetDataPoints()) + len(m.GetGauge().GetDataPoints())
	switch {
	case m.Name == outcome.MetricDuration && histogram != nil && histogram.AggregationTemporality == 1 && known:
		for _, p := range histogram.DataPoints {
			if p.Flags&1 != 0 {
				w.ignored++
			} else {
				w.histogram(p)
			}
		}
	case isSum[m.Name] && sum != nil && sum.AggregationTemporality == 1 && (sum.IsMonotonic || m.Name == outcome.MetricValues) && known:
		for _, p := range sum.DataPoints {
			if p.Flags&1 != 0 {
				w.ignored++
			} else {
				w.number(m.Name, p)
			}
		}
	case m.Name == outcome.MetricDuration || isSum[m.Name]:
		w.rejected += points
	default:
		w.ignored += points
	}
}

func (w *wanting) number(name string, p *metrics.NumberDataPoint) {
	value := p.GetAsDouble()
	if i, ok := p.Value.(*metrics.NumberDataPoint_AsInt); ok {
		value = float64(i.AsInt)
	}
	point := intervals.Point{Metric: name, Start: int64(p.StartTimeUnixNano), End: int64(p.TimeUnixNano), Exemplars: wantExemplars(p.Exemplars)}
	named := wantIdentity(&point, p.Attributes)
	count := name != outcome.MetricValues || point.Measure == "of"
	if name == outcome.MetricEvents || name == outcome.MetricValues {
		named = named && point.Event == "purchase"
	}
	if !named || count && !(value >= 0 && value <= 1<<53 && value == math.Floor(value)) || math.IsNaN(value-value) {
		w.rejected++
		return
	}
	if count {
		point.Count = uint64(value)
	} else {
		point.Value = value
	}
	w.points = append(w.points, describe(&point))
}

func (w *wanting) histogram(p *metrics.ExponentialHistogramDataPoint) {
	point := intervals.Point{Metric: outcome.MetricDuration, Start: int64(p.StartTimeUnixNano), End: int64(p.TimeUnixNano), Exemplars: wantExemplars(p.Exemplars)}
	usable := wantIdentity(&point, p.Attributes) && p.Scale >= 5 && p.Scale <= 20 && p.GetSum() >= 0 && !math.IsInf(p.GetSum(), 0)
	h, total := &point.Latency, float64(p.ZeroCount)
	h.Zero, h.Sum = p.ZeroCount, p.GetSum()
	for _, n := range p.Negative.GetBucketCounts() {
		h.Zero += n
		total += float64(n)
	}
	buckets := map[int]uint64{}
	for k, n := range p.Positive.GetBucketCounts() {
		at := math.Floor((float64(p.Positive.GetOffset()) + float64(k)) / math.Exp2(float64(p.Scale-5)))
		buckets[int(min(max(at, outcome.MinIndex), outcome.MaxIndex))] += n
		total += float64(n)
	}
	if !usable || total > 1<<53 || float64(p.Count) != total {
		w.rejected++
		return
	}
	w.points = append(w.points, describeBuckets(&point, buckets))
}

func wantIdentity(p *intervals.Point, list []*common.KeyValue) bool {
	for _, kv := range list {
		value := kv.Value.GetStringValue()
		switch kv.Key {
		case "seatrial.trial":
			p.Trial = value
		case "seatrial.version":
			p.Version = value
		case "seatrial.arm":
			p.Arm = value
		case "seatrial.unit.state":
			p.UnitState = value
		case "seatrial.event.name":
			p.Event = value
		case "seatrial.measure":
			p.Measure = value
		}
	}
	named := p.Trial != "" && p.Version != "" && (p.Arm == "treatment" || p.Arm == "control")
	return named && p.Start > 0 && p.Start <= p.End
}

func wantExemplars(list []*metrics.Exemplar) (want []outcome.Exemplar) {
	for _, e := range list {
		value := e.GetAsDouble()
		if i, ok := e.Value.(*metrics.Exemplar_AsInt); ok {
			value = float64(i.AsInt)
		}
		trace, span := hex.EncodeToString(e.TraceId), hex.EncodeToString(e.SpanId)
		if strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" || e.TimeUnixNano > math.MaxInt64 || !(value >= 0) {
			continue
		}
		want = append(want, outcome.Exemplar{TraceID: trace, SpanID: span, Seconds: value})
	}
	return want
}

// describe writes a point as text, with the histogram as its buckets, however it stores them.
func describe(p *intervals.Point) string {
	buckets := map[int]uint64{}
	for k, n := range p.Latency.Counts {
		buckets[int(p.Latency.Offset)+k] += n
	}
	return describeBuckets(p, buckets)
}

func describeBuckets(p *intervals.Point, buckets map[int]uint64) string {
	for k, n := range buckets {
		if n == 0 {
			delete(buckets, k)
		}
	}
	text := fmt.Sprint(p.Metric, p.Trial, p.Version, p.Arm, p.UnitState, p.Event, p.Measure, p.Start, p.End, p.Count, p.Value, p.Latency.Zero, p.Latency.Sum, buckets)
	for _, e := range p.Exemplars {
		text += fmt.Sprint(" ", e.TraceID, e.SpanID, e.Seconds)
	}
	return text
}

func TestMetricsReadAsTheOracleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		request := genMetrics.Draw(t, "request")
		want := wantMetrics(request)
		for _, e := range encodings {
			body, err := e.marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			var got sink
			r := NewReceiver(Config{Outcomes: &got})
			result, err := r.takeMetrics(body, e.enc)
			if err != nil {
				t.Fatalf("%s: %v\n%s", e.name, err, body)
			}
			var points []string
			for i := range got.points {
				points = append(points, describe(&got.points[i]))
			}
			if !reflect.DeepEqual(points, want.points) {
				t.Errorf("%s:\ngot  %v\nwant %v", e.name, points, want.points)
			}
			if result.rejected != want.rejected || int(r.Stats().IgnoredPoints) != want.ignored {
				t.Errorf("%s: rejected %d (%s), ignored %d, want %d and %d", e.name,
					result.rejected, result.reason, r.Stats().IgnoredPoints, want.rejected, want.ignored)
			}
		}
	})
}
