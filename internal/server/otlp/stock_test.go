package otlp

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seatrial/seatrial/internal/server/cohorts"
)

// listener keeps what it is given, of the service shop.
type listener struct{ points []cohorts.Point }

func (*listener) Active() (metrics, spans bool)              { return true, true }
func (*listener) Wants(r *cohorts.Resource, spans bool) bool { return r.Service == "shop" }
func (l *listener) AddPoints(points []cohorts.Point, _ time.Time) {
	l.points = append(l.points, points...)
}
func (*listener) AddSpans([]cohorts.Span) {}

func bytesField(n protowire.Number, parts ...[]byte) (b []byte) {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	return protowire.AppendBytes(b, []byte(strings.Join(texts(parts), "")))
}

func texts(parts [][]byte) (list []string) {
	for _, p := range parts {
		list = append(list, string(p))
	}
	return list
}

func fixedField(n protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), v)
}

func fixedList(n protowire.Number, values ...uint64) []byte {
	var list []byte
	for _, v := range values {
		list = protowire.AppendFixed64(list, v)
	}
	return bytesField(n, list)
}

func labelled(n protowire.Number, key, value string) []byte {
	return bytesField(n, bytesField(1, []byte(key)), bytesField(2, bytesField(1, []byte(value))))
}

// Both encodings of a histogram with explicit bounds are read as the same point, with its scope; and
// only of resources that somebody wants.
func TestStockHistograms(t *testing.T) {
	proto := func(service string) []byte {
		point := bytesField(1, fixedField(2, 1000), fixedField(3, 2000), fixedField(4, 6), fixedField(5, math.Float64bits(1.5)),
			fixedList(6, 1, 2, 3), fixedList(7, math.Float64bits(0.1), math.Float64bits(0.5)), labelled(9, "error.type", "x"))
		data := bytesField(9, point, protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 2))
		metric := bytesField(2, bytesField(1, []byte("http.server.request.duration")), bytesField(3, []byte("s")), data)
		scope := bytesField(2, bytesField(1, bytesField(1, []byte("otelhttp"))), metric)
		return bytesField(1, bytesField(1, labelled(1, "service.name", service)), scope)
	}
	text := func(service, counts string) string {
		return fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"http.server.request.duration","unit":"s","histogram":{
			"aggregationTemporality":2,"dataPoints":[{"startTimeUnixNano":"1000","timeUnixNano":"2000","count":"6","sum":1.5,
			"bucketCounts":%s,"explicitBounds":[0.1,0.5],"attributes":[{"key":"error.type","value":{"stringValue":"x"}}]}]}}],
			"scope":{"name":"otelhttp"}}],"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]}}]}`, counts, service)
	}
	send := func(l *listener, body, kind string) string {
		r := NewReceiver(Config{Cohorts: l})
		req := httptest.NewRequest(http.MethodPost, "/v1/metrics", strings.NewReader(body))
		req.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		r.ServeMetrics(w, req)
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	var l listener
	send(&l, string(proto("shop")), "application/x-protobuf")
	send(&l, text("shop", `["1","2","3"]`), "application/json")
	send(&l, string(proto("cart")), "application/x-protobuf")
	send(&l, text("cart", `["1","2","3"]`), "application/json")
	if len(l.points) != 2 {
		t.Fatalf("%d points, want 2", len(l.points))
	}
	want := cohorts.Buckets{Bounds: []float64{0.1, 0.5}, Counts: []uint64{1, 2, 3}, Sum: 1.5}
	for i, p := range l.points {
		if !reflect.DeepEqual(p.Buckets, want) || p.Start != 1000 || p.End != 2000 || !p.Cumulative || p.Unit != "s" ||
			len(p.Attributes) != 1 || p.Attributes[0].Key != "error.type" || !strings.Contains(p.Resource.Scope, "otelhttp") {
			t.Errorf("point %d: %+v of %+v", i, p, p.Resource)
		}
	}
	l.points = nil
	for _, counts := range []string{`[1,2]`, `[1,2,3,0]`, `[1,2,4]`, `[]`} {
		if answer := send(&l, text("shop", counts), "application/json"); !strings.Contains(answer, "buckets add up") {
			t.Errorf("%s: %s", counts, answer)
		}
	}
	if len(l.points) != 0 {
		t.Errorf("taken: %+v", l.points)
	}
}
