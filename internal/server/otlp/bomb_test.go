package otlp

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// field writes one length-delimited protobuf field.
func field(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

// inSpan wraps fields of a span as a request.
func inSpan(content []byte) []byte {
	ids := append(field(1, bytes.Repeat([]byte{1}, 16)), field(2, bytes.Repeat([]byte{1}, 8))...)
	return field(1, field(2, field(2, append(ids, content...))))
}

// inPoint wraps fields of an exponential histogram point as a request.
func inPoint(content []byte) []byte {
	data := append(field(1, content), 2<<3, 1) // delta
	metric := append(field(1, []byte("seatrial.outcome.duration")), field(10, data)...)
	resource := field(1, field(1, append(field(1, []byte("service.instance.id")), field(2, field(1, []byte("a")))...)))
	return field(1, append(resource, field(2, field(2, metric))...))
}

func nestedValue(depth int) []byte {
	var value []byte
	for range depth {
		value = field(5, field(1, value))
	}
	return value
}

const (
	mib  = 1 << 20
	part = largestBomb / 16
)

// largestBomb is a quarter of what one may send by default, for the sake of slow machines.
const largestBomb = 4 * mib

// Each body is as bad as its kind can be within its size. None may cost more than a fixed amount
// of memory and time, whatever the answer.
func TestBombs(t *testing.T) {
	attribute := append(field(1, []byte("k")), field(2, nil)...)
	jsonSpan := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101","spanId":"0101010101010101",%s}]}]}]}`
	bombs := []struct {
		name string
		enc  encoding
		path string
		body []byte
	}{
		{"attributes", encodingProtobuf, "traces", inSpan(bytes.Repeat(field(9, attribute), 15*part/len(field(9, attribute))))},
		{"elements of lists", encodingProtobuf, "traces", inSpan(bytes.Repeat(
			field(9, append(field(1, []byte("k")), field(2, field(5, bytes.Repeat(field(1, nil), 1024)))...)), 1750))},
		{"events", encodingProtobuf, "traces", inSpan(bytes.Repeat(field(11, nil), 7*part))},
		{"spans", encodingProtobuf, "traces", field(1, field(2, bytes.Repeat(inSpanOnly(), 15*part/len(inSpanOnly()))))},
		{"empty spans", encodingProtobuf, "traces", field(1, field(2, bytes.Repeat(field(2, nil), 7*part)))},
		{"resources", encodingProtobuf, "traces", bytes.Repeat(field(1, nil), 7*part)},
		{"deep lists", encodingProtobuf, "traces", inSpan(field(9, append(field(1, []byte("k")), field(2, nestedValue(2000))...)))},
		{"deep groups", encodingProtobuf, "traces", bytes.Repeat([]byte{9<<3 | 3}, 15*part)},
		{"buckets", encodingProtobuf, "metrics", inPoint(field(8, field(2, bytes.Repeat([]byte{1}, 15*part))))},
		{"negative buckets", encodingProtobuf, "metrics", inPoint(field(9, field(2, bytes.Repeat([]byte{1}, 15*part))))},
		{"points", encodingProtobuf, "metrics", field(1, field(2, field(2, append(field(1, []byte("seatrial.outcome.bad")), field(7, bytes.Repeat(field(1, nil), 7*part))...))))},
		{"deep JSON", encodingJSON, "traces", []byte(strings.Repeat("[", 15*part))},
		{"JSON nested as deep as allowed", encodingJSON, "traces", fmt.Appendf(nil, jsonSpan,
			`"attributes":[`+strings.Repeat(`{"key":"k","value":`+strings.Repeat(`{"arrayValue":{"values":[`, 3000)+strings.Repeat(`]}}`, 3000)+`},`, 40)+`{}]`)},
		{"JSON attributes", encodingJSON, "traces", fmt.Appendf(nil, jsonSpan, `"attributes":[`+strings.Repeat(`{"key":"k"},`, part)+`{}]`)},
		{"JSON events", encodingJSON, "traces", fmt.Appendf(nil, jsonSpan, `"events":[`+strings.Repeat(`{},`, 5*part)+`{}]`)},
		{"JSON elements of lists", encodingJSON, "traces", fmt.Appendf(nil, jsonSpan,
			`"attributes":[`+strings.Repeat(`{"key":"k","value":{"arrayValue":{"values":[`+strings.Repeat(`{},`, 1023)+`{}]}}},`, 1000)+`{}]`)},
		{"JSON resources", encodingJSON, "traces", []byte(`{"resourceSpans":[` + strings.Repeat(`{},`, 5*part) + `{}]}`)},
		{"JSON scopes", encodingJSON, "traces", []byte(`{"resourceSpans":[{"scopeSpans":[` + strings.Repeat(`{},`, 5*part) + `{}]}]}`)},
		{"JSON spans", encodingJSON, "traces", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Repeat(`{},`, 5*part) + `{}]}]}]}`)},
		{"JSON points", encodingJSON, "metrics", []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[` + strings.Repeat(`{},`, 5*part) + `{}],` +
			`"isMonotonic":true,"aggregationTemporality":1},"name":"seatrial.outcome.bad"}]}],"resource":{"attributes":[{"key":"service.instance.id","value":{"stringValue":"a"}}]}}]}`)},
		{"JSON fields", encodingJSON, "metrics", []byte(`{` + strings.Repeat(`"resourceMetrics":[],`, 175_000) + `"x":1}`)},
		{"JSON buckets", encodingJSON, "metrics", []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[{"positive":{"bucketCounts":[` +
			strings.Repeat("1,", 7*part) + `1]}}]},"name":"seatrial.outcome.duration"}]}],"resource":{"attributes":[{"key":"service.instance.id","value":{"stringValue":"a"}}]}}]}`)},
		{"JSON escapes", encodingJSON, "traces", fmt.Appendf(nil, jsonSpan, `"name":"`+strings.Repeat(`\u0001`, 2*part)+`"`)},
	}
	for _, bomb := range bombs {
		t.Run(bomb.name, func(t *testing.T) {
			if len(bomb.body) > largestBomb {
				t.Fatalf("%d bytes would be refused for their size", len(bomb.body))
			}
			var got sink
			r := NewReceiver(Config{Traces: &got, Outcomes: &got})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			res := post(handler(r), "/v1/"+bomb.path, bomb.enc, bomb.body)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%s, %d MiB in, %d MiB allocated in all, %v", res.Status, len(bomb.body)/mib, allocated/mib, took)
			if allocated > 280*mib {
				t.Errorf("%d MiB were allocated", allocated/mib)
			}
			if took > 2*time.Minute { // what grows with the square of the length takes longer
				t.Errorf("took %v", took)
			}
			if len(got.spans) > maxSpans || len(got.points) > maxValues {
				t.Errorf("%d spans, %d points", len(got.spans), len(got.points))
			}
		})
	}
}

// inSpanOnly is a span with its tag, without what is around it.
func inSpanOnly() []byte {
	return field(2, append(field(1, bytes.Repeat([]byte{1}, 16)), field(2, bytes.Repeat([]byte{1}, 8))...))
}

// 64 MiB of zeros in some kilobytes of gzip are refused after the first 16 MiB.
func TestGzipBomb(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.Copy(w, io.LimitReader(zeros{}, 64*mib)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r := NewReceiver(Config{})
	req := httptest.NewRequest("POST", "/v1/traces", &packed)
	req.Header.Set("Content-Type", typeProtobuf)
	req.Header.Set("Content-Encoding", "gzip")
	rec := httptest.NewRecorder()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.ServeTraces(rec, req)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; rec.Code != 413 || allocated > 64*mib {
		t.Errorf("status %d, %d MiB allocated", rec.Code, allocated/mib)
	}
}
