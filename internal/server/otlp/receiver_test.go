package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otraces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/seatrial/seatrial/internal/memnet"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// handler routes the two paths as the server does.
func handler(r *Receiver) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/traces", r.ServeTraces)
	mux.HandleFunc("/v1/metrics", r.ServeMetrics)
	return mux
}

func zip(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(body)
	w.Close()
	return b.Bytes()
}

func oneSpan() *otraces.Span {
	return &otraces.Span{TraceId: bytes.Repeat([]byte{1}, 16), SpanId: bytes.Repeat([]byte{2}, 8), Name: "GET /"}
}

func oneRequest(spans ...*otraces.Span) *coltraces.ExportTraceServiceRequest {
	return &coltraces.ExportTraceServiceRequest{ResourceSpans: []*otraces.ResourceSpans{{ScopeSpans: []*otraces.ScopeSpans{{Spans: spans}}}}}
}

// unmarshalAs decodes an answer with the oracle, by its content type.
func unmarshalAs(t *testing.T, res *http.Response, into proto.Message) {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch res.Header.Get("Content-Type") {
	case typeProtobuf:
		err = proto.Unmarshal(body, into)
	case typeJSON:
		err = protojson.Unmarshal(body, into)
	default:
		t.Fatalf("content type %q", res.Header.Get("Content-Type"))
	}
	if err != nil {
		t.Fatalf("%v in %q", err, body)
	}
}

func TestAnswers(t *testing.T) {
	good, _ := proto.Marshal(oneRequest(oneSpan()))
	goodJSON, _ := otlpJSON(oneRequest(oneSpan()), protojson.MarshalOptions{})
	const small = 1 << 12
	big := bytes.Repeat([]byte{0}, small+1)
	for _, c := range []struct {
		name, method, media, coding string
		body                        []byte
		status                      int
		answer                      string // content type
		code                        int32
	}{
		{name: "protobuf", media: typeProtobuf, body: good, status: 200, answer: typeProtobuf},
		{name: "JSON", media: typeJSON, body: goodJSON, status: 200, answer: typeJSON},
		{name: "JSON with a charset", media: "application/json; charset=utf-8", body: goodJSON, status: 200, answer: typeJSON},
		{name: "empty protobuf", media: typeProtobuf, status: 200, answer: typeProtobuf},
		{name: "empty JSON object", media: typeJSON, body: []byte(`{}`), status: 200, answer: typeJSON},
		{name: "gzip", media: typeProtobuf, coding: "gzip", body: zip(good), status: 200, answer: typeProtobuf},
		{name: "gzip of JSON, in capitals", media: typeJSON, coding: "GZIP", body: zip(goodJSON), status: 200, answer: typeJSON},
		{name: "gzip in two members", media: typeProtobuf, coding: "gzip", body: append(zip(good[:9]), zip(good[9:])...), status: 200, answer: typeProtobuf},
		{name: "identity", media: typeProtobuf, coding: "identity", body: good, status: 200, answer: typeProtobuf},
		{name: "no content type", body: good, status: 415, answer: typeJSON, code: codeInvalid},
		{name: "text", media: "text/plain", body: good, status: 415, answer: typeJSON, code: codeInvalid},
		{name: "malformed content type", media: "/;;", body: good, status: 415, answer: typeJSON, code: codeInvalid},
		{name: "zstd", media: typeProtobuf, coding: "zstd", body: good, status: 415, answer: typeProtobuf, code: codeInvalid},
		{name: "gzip twice", media: typeProtobuf, coding: "gzip, gzip", body: zip(zip(good)), status: 415, answer: typeProtobuf, code: codeInvalid},
		{name: "GET", method: "GET", media: typeJSON, status: 405, answer: typeJSON, code: codeUnimplemented},
		{name: "not protobuf", media: typeProtobuf, body: []byte("hello"), status: 400, answer: typeProtobuf, code: codeInvalid},
		{name: "protobuf cut off", media: typeProtobuf, body: good[:len(good)-1], status: 400, answer: typeProtobuf, code: codeInvalid},
		{name: "empty JSON", media: typeJSON, status: 400, answer: typeJSON, code: codeInvalid},
		{name: "JSON cut off", media: typeJSON, body: goodJSON[:len(goodJSON)-1], status: 400, answer: typeJSON, code: codeInvalid},
		{name: "JSON of another shape", media: typeJSON, body: []byte(`{"resourceSpans":7}`), status: 400, answer: typeJSON, code: codeInvalid},
		{name: "not gzip", media: typeProtobuf, coding: "gzip", body: good, status: 400, answer: typeProtobuf, code: codeInvalid},
		{name: "gzip cut off", media: typeProtobuf, coding: "gzip", body: zip(good)[:20], status: 400, answer: typeProtobuf, code: codeInvalid},
		{name: "gzip with a wrong sum", media: typeProtobuf, coding: "gzip", body: append(zip(good)[:len(zip(good))-8], make([]byte, 8)...), status: 400, answer: typeProtobuf, code: codeInvalid},
		{name: "too large", media: typeProtobuf, body: big, status: 413, answer: typeProtobuf, code: codeExhausted},
		{name: "too large when decompressed", media: typeJSON, coding: "gzip", body: zip(big), status: 413, answer: typeJSON, code: codeExhausted},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := NewReceiver(Config{MaxBody: small})
			req := httptest.NewRequest("POST", "/v1/traces", bytes.NewReader(c.body))
			if c.method != "" {
				req.Method = c.method
			}
			req.Header.Set("Content-Type", c.media)
			if c.coding != "" {
				req.Header.Set("Content-Encoding", c.coding)
			}
			w := httptest.NewRecorder()
			handler(r).ServeHTTP(w, req)
			res := w.Result()
			if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.answer {
				t.Fatalf("%s as %s, want %d as %s: %s", res.Status, res.Header.Get("Content-Type"), c.status, c.answer, w.Body)
			}
			if c.status == 200 {
				var answer coltraces.ExportTraceServiceResponse
				unmarshalAs(t, res, &answer)
				if answer.PartialSuccess != nil {
					t.Errorf("success must leave the partial success out: %v", &answer)
				}
				return
			}
			var failed status.Status
			unmarshalAs(t, res, &failed)
			if failed.Code != c.code || failed.Message == "" {
				t.Errorf("status %v, want code %d and a message", &failed, c.code)
			}
			if s := r.Stats(); s.InFlight != 0 || s.Malformed+s.TooLarge != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// A body without a Content-Length is bounded while it is read.
func TestTooLargeWithoutContentLength(t *testing.T) {
	r := NewReceiver(Config{MaxBody: 1000})
	req := httptest.NewRequest("POST", "/v1/traces", io.LimitReader(zeros{}, 1<<30))
	req.Header.Set("Content-Type", typeProtobuf)
	req.ContentLength = -1
	w := httptest.NewRecorder()
	r.ServeTraces(w, req)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", w.Code)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestPartialSuccess(t *testing.T) {
	request := oneRequest(oneSpan(), &otraces.Span{Name: "no ids"}, &otraces.Span{Name: "none either"})
	for _, e := range encodings {
		t.Run(e.name, func(t *testing.T) {
			body, err := e.marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			var got sink
			r := NewReceiver(Config{Traces: &got})
			res := post(handler(r), "/v1/traces", e.enc, body)
			var answer coltraces.ExportTraceServiceResponse
			unmarshalAs(t, res, &answer)
			partial := answer.GetPartialSuccess()
			if res.StatusCode != 200 || partial.GetRejectedSpans() != 2 || partial.GetErrorMessage() != reasonIDs || len(got.spans) != 1 {
				t.Errorf("%s %v, %d spans", res.Status, &answer, len(got.spans))
			}
			if s := r.Stats(); s.Spans != 1 || s.RejectedSpans != 2 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestPartialSuccessOfMetrics(t *testing.T) {
	body := []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"seatrial.outcome.bad",
		"sum":{"dataPoints":[{"asInt":"1"},{"asInt":"2"}],"aggregationTemporality":2,"isMonotonic":true}}]}],
		"resource":{"attributes":[{"key":"service.instance.id","value":{"stringValue":"a"}}]}}]}`)
	res := post(handler(NewReceiver(Config{})), "/v1/metrics", encodingJSON, body)
	var answer colmetrics.ExportMetricsServiceResponse
	unmarshalAs(t, res, &answer)
	if p := answer.GetPartialSuccess(); p.GetRejectedDataPoints() != 2 || p.GetErrorMessage() != reasonTemporality {
		t.Errorf("answer %v", &answer)
	}
}

func post(h http.Handler, path string, enc encoding, body []byte) *http.Response {
	req := httptest.NewRequest("POST", path, bytes.NewReader(body))
	req.Header.Set("Content-Type", enc.mediaType())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Result()
}

// The receiver is full of bodies that are still coming; what comes on top is told to come back.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReceiver(Config{MaxBody: 1 << 20, MaxInFlight: 2 << 20, RetryAfter: 1500 * time.Millisecond})
		ends := make([]*io.PipeWriter, 3)
		done := make(chan int, len(ends))
		for i := range ends {
			from, to := io.Pipe()
			ends[i] = to
			go func() {
				req := httptest.NewRequest("POST", "/v1/traces", from)
				req.Header.Set("Content-Type", typeProtobuf)
				req.ContentLength = 1 << 20
				w := httptest.NewRecorder()
				r.ServeTraces(w, req)
				if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "2" {
					t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
				}
				done <- w.Code
			}()
			synctest.Wait()
		}
		if code := <-done; code != http.StatusTooManyRequests {
			t.Errorf("the third body: status %d", code)
		}
		for _, end := range ends {
			end.Close()
		}
		if a, b := <-done, <-done; a != 200 || b != 200 {
			t.Errorf("the first two: %d and %d", a, b)
		}
		if s := r.Stats(); s.Overloaded != 1 || s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A body of the largest size gets in even if the budget is as small as it may be.
func TestLargestBodyFitsTheSmallestBudget(t *testing.T) {
	const size = 100_000
	body := make([]byte, 0, size)
	for len(body) < size-300 { // an unknown field of 300 bytes
		body = binary.AppendUvarint(append(body, 9<<3|2), 296)
		body = append(body, make([]byte, 296)...)
	}
	r := NewReceiver(Config{MaxBody: int64(len(body)), MaxInFlight: 1})
	for _, length := range []int64{int64(len(body)), -1} {
		req := httptest.NewRequest("POST", "/v1/traces", bytes.NewReader(body))
		req.Header.Set("Content-Type", typeProtobuf)
		req.ContentLength = length
		w := httptest.NewRecorder()
		r.ServeTraces(w, req)
		if w.Code != 200 {
			t.Errorf("content length %d: status %d %s", length, w.Code, w.Body)
		}
	}
}

// What the stock exporter of the OpenTelemetry SDK really sends.
func TestStockExporter(t *testing.T) {
	for _, c := range []struct {
		name        string
		compression otlptracehttp.Compression
	}{{"plain", otlptracehttp.NoCompression}, {"gzip", otlptracehttp.GzipCompression}} {
		t.Run(c.name, func(t *testing.T) {
			store, err := traces.NewStore(traces.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(handler(NewReceiver(Config{Traces: store})))
			defer server.Close()
			exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"), otlptracehttp.WithCompression(c.compression))
			if err != nil {
				t.Fatal(err)
			}
			root := sendTrace(t, exporter)
			got, ok := store.Get(traces.TraceID(root.TraceID()))
			if !ok || len(got.Spans) != 2 {
				t.Fatalf("got %+v", got)
			}
			checkTrace(t, got.Tree())
		})
	}
}

func sendTrace(t *testing.T, exporter sdktrace.SpanExporter) trace.SpanContext {
	t.Helper()
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(sdkresource.NewSchemaless(attribute.String("service.name", "order"), attribute.String("service.instance.id", "order-1"))))
	ctx, root := provider.Tracer("test").Start(t.Context(), "POST /orders", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.Int("items", 3), attribute.StringSlice("skus", []string{"a", "b"}), attribute.Float64("total", 12.5)))
	_, child := provider.Tracer("test").Start(ctx, "charge", trace.WithSpanKind(trace.SpanKindClient))
	child.AddEvent("feature_flag.evaluation", trace.WithAttributes(
		attribute.String("feature_flag.key", "express-checkout"), attribute.String("feature_flag.result.variant", "on")))
	child.RecordError(errors.New("card declined"))
	child.SetStatus(codes.Error, "card declined")
	child.End()
	root.End()
	if err := provider.Shutdown(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
	return root.SpanContext()
}

func checkTrace(t *testing.T, tree traces.Tree) {
	t.Helper()
	if len(tree.Roots) != 1 || len(tree.Roots[0].Children) != 1 {
		t.Fatalf("tree %+v", tree)
	}
	root, child := tree.Roots[0].Span, tree.Roots[0].Children[0].Span
	if root.Name != "POST /orders" || root.Service != "order" || root.Instance != "order-1" || root.Kind != traces.KindServer || root.Duration() <= 0 {
		t.Errorf("root %+v", root)
	}
	for key, want := range map[string]string{"items": "3", "skus": `["a","b"]`, "total": "12.5"} {
		if got, _ := root.Attribute(key); got.String() != want {
			t.Errorf("%s = %q, want %q", key, got.String(), want)
		}
	}
	if child.Status != traces.StatusError || child.StatusMessage != "card declined" || child.Kind != traces.KindClient || len(child.Events) != 2 {
		t.Errorf("child %+v", child)
	}
	if got := traces.AppendExposures(nil, &child); len(got) != 1 || got[0] != (traces.Exposure{Flag: "express-checkout", Variant: "on"}) {
		t.Errorf("exposures %v", got)
	}
}

// The stock exporter waits as Retry-After tells it, and then delivers.
func TestStockExporterComesBackAfterOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got sink
		r := NewReceiver(Config{Traces: &got, RetryAfter: 20 * time.Second})
		r.budget.held.Store(r.cfg.MaxInFlight)
		start := time.Now()
		time.AfterFunc(15*time.Second, func() { r.budget.held.Store(0) })
		l := memnet.Listen()
		server := &http.Server{Handler: handler(r)}
		go server.Serve(l)
		transport := &http.Transport{DialContext: l.Dial}
		exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithHTTPClient(&http.Client{Transport: transport}),
			otlptracehttp.WithEndpointURL("http://memory/v1/traces"), otlptracehttp.WithTimeout(time.Hour),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: time.Millisecond, MaxInterval: time.Millisecond, MaxElapsedTime: time.Hour}))
		if err != nil {
			t.Fatal(err)
		}
		sendTrace(t, exporter)
		if waited := time.Since(start); len(got.spans) != 2 || waited < 20*time.Second || waited > 28*time.Second {
			t.Errorf("%d spans after %v, %+v", len(got.spans), waited, r.Stats())
		}
		transport.CloseIdleConnections()
		server.Close()
	})
}

// Requests wait for a processor, but not for ever.
func TestGivenUpWhileWaiting(t *testing.T) {
	r := NewReceiver(Config{})
	for range cap(r.decoding) {
		r.decoding <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequestWithContext(ctx, "POST", "/v1/traces", strings.NewReader("{}"))
	req.Header.Set("Content-Type", typeJSON)
	w := httptest.NewRecorder()
	r.ServeTraces(w, req)
	if w.Code != http.StatusServiceUnavailable || r.Stats().InFlight != 0 {
		t.Errorf("status %d, %+v", w.Code, r.Stats())
	}
}

// Requests that somebody else refuses are answered in the form of OTLP, too.
func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		media, answer, retryAfter, wantRetryAfter string
		status                                    int
		code                                      int32
	}{
		{media: typeProtobuf, answer: typeProtobuf, status: 401, code: 16},
		{media: typeJSON, answer: typeJSON, status: 403, code: 7},
		{media: "text/html", answer: typeJSON, status: 401, code: 16},
		{media: typeProtobuf, answer: typeProtobuf, status: 429, code: codeUnavailable, retryAfter: "7", wantRetryAfter: "7"},
		{media: typeProtobuf, answer: typeProtobuf, status: 503, code: codeUnavailable, wantRetryAfter: "1"},
		{media: typeJSON, answer: typeJSON, status: 500, code: 13},
		{media: typeJSON, answer: typeJSON, status: 400, code: codeInvalid},
	} {
		req := httptest.NewRequest("POST", "/v1/traces", nil)
		req.Header.Set("Content-Type", c.media)
		w := httptest.NewRecorder()
		if c.retryAfter != "" {
			w.Header().Set("Retry-After", c.retryAfter)
		}
		Refuse(w, req, c.status, "who are you?")
		res := w.Result()
		var failed status.Status
		unmarshalAs(t, res, &failed)
		if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.answer || failed.Code != c.code ||
			failed.Message != "who are you?" || res.Header.Get("Retry-After") != c.wantRetryAfter {
			t.Errorf("%s: %s as %s: %v, Retry-After %q", c.media, res.Status, res.Header.Get("Content-Type"), &failed, res.Header.Get("Retry-After"))
		}
	}
}

// Histogram counts may also come one by one, as old encoders of protobuf write them.
func TestUnpackedBuckets(t *testing.T) {
	buckets := []byte{2 << 3, 3, 2 << 3, 0, 2 << 3, 4, 1 << 3, 2} // offset 1, zigzag
	attributes := slices.Concat(
		field(1, append(field(1, []byte("seatrial.trial")), field(2, field(1, []byte("t")))...)),
		field(1, append(field(1, []byte("seatrial.version")), field(2, field(1, []byte("t.1.0")))...)),
		field(1, append(field(1, []byte("seatrial.arm")), field(2, field(1, []byte("control")))...)))
	fixed := func(number byte, n uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{number<<3 | 1}, n) }
	body := inPoint(slices.Concat(attributes, fixed(2, 1), fixed(3, 2), fixed(4, 7), []byte{6 << 3, 10}, field(8, buckets)))
	var got sink
	result, err := NewReceiver(Config{Outcomes: &got}).takeMetrics(body, encodingProtobuf)
	if err != nil || result.rejected != 0 || len(got.points) != 1 {
		t.Fatalf("%v, %+v, %d points", err, result, len(got.points))
	}
	if h := got.points[0].Latency; h.Offset != 1 || !slices.Equal(h.Counts, []uint64{3, 0, 4}) {
		t.Errorf("histogram %+v", h)
	}
}
