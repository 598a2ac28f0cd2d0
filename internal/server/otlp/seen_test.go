package otlp

import (
	"bytes"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// book notes what was seen.
type book struct{ seen []string }

func (b *book) Seen(flag, variant string) { b.seen = append(b.seen, strings.Clone(flag+"="+variant)) }

// seenPoint gives a point from name, value, name, value ….
func seenPoint(value int64, attributes ...string) *metrics.NumberDataPoint {
	p := &metrics.NumberDataPoint{StartTimeUnixNano: 1, TimeUnixNano: 2, Value: &metrics.NumberDataPoint_AsInt{AsInt: value}}
	for i := 0; i < len(attributes); i += 2 {
		p.Attributes = append(p.Attributes, &common.KeyValue{
			Key: attributes[i], Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: attributes[i+1]}},
		})
	}
	return p
}

func TestSeen(t *testing.T) {
	const flag, variant = "feature_flag.key", "feature_flag.result.variant"
	delta := metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	sum := func(points ...*metrics.NumberDataPoint) *metrics.Sum {
		return &metrics.Sum{AggregationTemporality: delta, IsMonotonic: true, DataPoints: points}
	}
	tests := map[string]struct {
		sum      *metrics.Sum
		seen     []string
		rejected int64
		reason   string
	}{
		"a variant":         {sum: sum(seenPoint(1, flag, "a", variant, "on", "other", "x")), seen: []string{"a=on"}},
		"code default":      {sum: sum(seenPoint(1, flag, "a")), seen: []string{"a="}},
		"several":           {sum: sum(seenPoint(1, flag, "a"), seenPoint(3, flag, "b", variant, "off")), seen: []string{"a=", "b=off"}},
		"none":              {sum: sum(seenPoint(0, flag, "a"))},
		"no recorded value": {sum: sum(&metrics.NumberDataPoint{Flags: 1, Attributes: seenPoint(1, flag, "a").Attributes})},
		"no flag":           {sum: sum(seenPoint(1, variant, "on"), seenPoint(1, flag, "a")), seen: []string{"a="}, rejected: 1, reason: "needs the attribute feature_flag.key"},
		"cumulative":        {sum: &metrics.Sum{AggregationTemporality: 2, IsMonotonic: true, DataPoints: sum(seenPoint(1, flag, "a")).DataPoints}, rejected: 1, reason: "delta"},
		"not monotonic":     {sum: &metrics.Sum{AggregationTemporality: delta, DataPoints: sum(seenPoint(1, flag, "a")).DataPoints}, rejected: 1, reason: "monotonic"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request := &colmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{ScopeMetrics: []*metrics.ScopeMetrics{{
				Metrics: []*metrics.Metric{{Name: "seatrial.flag.evaluations.seen", Data: &metrics.Metric_Sum{Sum: test.sum}}},
			}}}}}
			asProto, err := proto.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			asJSON, err := protojson.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			for contentType, body := range map[string][]byte{"application/x-protobuf": asProto, "application/json": asJSON} {
				seen := &book{}
				r := NewReceiver(Config{Usage: seen})
				req, w := httptest.NewRequest("POST", "/v1/metrics", bytes.NewReader(body)), httptest.NewRecorder()
				req.Header.Set("Content-Type", contentType)
				r.ServeMetrics(w, req)
				answer := &colmetrics.ExportMetricsServiceResponse{}
				unmarshalAs(t, w.Result(), answer)
				got := answer.GetPartialSuccess()
				if w.Code != 200 || !reflect.DeepEqual(seen.seen, test.seen) || got.GetRejectedDataPoints() != test.rejected || !strings.Contains(got.GetErrorMessage(), test.reason) {
					t.Errorf("%s: %d, seen %v, answer %v", contentType, w.Code, seen.seen, answer)
				}
				if n := r.Stats().Sightings; n != uint64(len(test.seen)) {
					t.Errorf("%s: %d sightings counted", contentType, n)
				}
			}
		})
	}
}
