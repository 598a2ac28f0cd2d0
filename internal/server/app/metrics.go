package app

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// exposition writes metrics in the text format of Prometheus, version 0.0.4.
type exposition struct{ bytes.Buffer }

const (
	counter = "counter"
	gauge   = "gauge"
)

// sample is one value with the labels that tell it from others of its metric.
type sample struct {
	labels []string // name, value, name, value, …
	value  float64
}

func one(v float64) []sample { return []sample{{value: v}} }

func (e *exposition) family(name, kind, help string, samples []sample) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, helpEscaper.Replace(help), name, kind)
	for _, s := range samples {
		e.WriteString(name)
		for i := 0; i < len(s.labels); i += 2 {
			e.WriteByte("{,"[min(i, 1)])
			fmt.Fprintf(e, `%s="%s"`, s.labels[i], labelEscaper.Replace(s.labels[i+1]))
		}
		if len(s.labels) > 0 {
			e.WriteByte('}')
		}
		e.WriteString(" " + formatFloat(s.value) + "\n")
	}
}

func (e *exposition) counter(name, help string, v uint64) {
	e.family(name, counter, help, one(float64(v)))
}

func (e *exposition) gauge(name, help string, v float64) { e.family(name, gauge, help, one(v)) }

// by writes one counter that is split by one label.
func (e *exposition) by(name, help, label string, values ...any) {
	var samples []sample
	for i := 0; i < len(values); i += 2 {
		samples = append(samples, sample{[]string{label, values[i].(string)}, float64(values[i+1].(uint64))})
	}
	e.family(name, counter, help, samples)
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func formatFloat(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// writeMetrics writes the figures of the whole server. Nothing in them names a flag, a trial or
// a user, so their number never grows.
func (s *Server) writeMetrics(w io.Writer) {
	var e exposition
	s.buildMetrics(&e)
	s.controlMetrics(&e)
	s.requestMetrics(&e)
	s.streamMetrics(&e)
	s.telemetryMetrics(&e)
	runtimeMetrics(&e)
	_, _ = w.Write(e.Bytes()) // the client is gone if that fails
}

func (s *Server) buildMetrics(e *exposition) {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	e.family("seatrial_build_info", gauge, "The version that runs; always 1.",
		[]sample{{[]string{"version", version, "goversion", runtime.Version()}, 1}})
	e.gauge("process_start_time_seconds", "When the server was started, in seconds since 1970.", float64(s.started.UnixMilli())/1000)
}

func (s *Server) controlMetrics(e *exposition) {
	head := s.service.Head()
	e.gauge("seatrial_revision", "Revision of the published state.", float64(head.Revision))
	e.gauge("seatrial_epoch", "Epoch of the change log.", float64(head.Epoch))
	e.gauge("seatrial_trials_active", "Trials that have not ended.", float64(len(s.service.ActiveTrials())))
	e.counter("seatrial_intervals_weighed_total", "Intervals of trials whose evidence was weighed.", s.weighed.Load())
}

func (s *Server) requestMetrics(e *exposition) {
	st := s.api.Stats()
	e.by("seatrial_http_requests_total", "Requests answered, by class of status.", "class",
		"1xx", st.Answered[1], "2xx", st.Answered[2], "3xx", st.Answered[3], "4xx", st.Answered[4], "5xx", st.Answered[5])
	e.gauge("seatrial_http_requests_in_flight", "Requests that are worked on, streams not included.", float64(st.InFlight))
	e.counter("seatrial_http_overloaded_total", "Requests refused because too many were worked on.", st.Overloaded)
	e.counter("seatrial_http_panics_total", "Requests that met a defect of the server.", st.Panics)
	e.counter("seatrial_auth_rate_limited_total", "Attempts not looked at after too many wrong secrets.", st.Refused)
	e.gauge("seatrial_connections", "Open connections.", float64(s.listener.open()))
}

func (s *Server) streamMetrics(e *exposition) {
	st := s.hub.Stats()
	e.gauge("seatrial_streams", "Open change streams.", float64(st.Streams))
	e.counter("seatrial_streams_opened_total", "Change streams accepted.", st.Opened)
	e.counter("seatrial_streams_refused_total", "Change streams refused by a limit.", st.Refused)
	e.by("seatrial_stream_events_total", "Events sent on change streams, by name.", "event",
		"snapshot", st.Snapshots, "delta", st.Deltas, "bookmark", st.Bookmarks)
	e.counter("seatrial_streams_skipped_total", "Times a stream far behind got a snapshot instead of its deltas.", st.Skipped)
	e.counter("seatrial_streams_slow_total", "Change streams ended because the reader was too slow or gone.", st.Slow)
}

func (s *Server) telemetryMetrics(e *exposition) {
	r := s.receiver.Stats()
	e.counter("seatrial_otlp_requests_total", "Telemetry requests received.", r.Requests)
	e.by("seatrial_otlp_refused_total", "Telemetry requests refused, by reason.", "reason",
		"malformed", r.Malformed, "too_large", r.TooLarge, "overloaded", r.Overloaded)
	e.by("seatrial_otlp_spans_total", "Spans received, by what became of them.", "fate", "taken", r.Spans, "rejected", r.RejectedSpans)
	e.by("seatrial_otlp_points_total", "Metric points received, by what became of them.", "fate",
		"taken", r.Points, "rejected", r.RejectedPoints, "ignored", r.IgnoredPoints)
	e.gauge("seatrial_otlp_in_flight_bytes", "Bytes of telemetry that are being received.", float64(r.InFlight))
	o := s.outcomes.Stats()
	e.by("seatrial_outcome_points_total", "Outcome points, by what became of them.", "fate",
		"accepted", o.Accepted, "duplicate", o.Duplicates, "stale", o.Stale, "unknown", o.Unknown, "invalid", o.Invalid)
	e.counter("seatrial_outcome_points_discarded_total", "Accepted outcome points that were in an interval which was given up.", o.Discarded)
	t := s.traces.Stats()
	e.gauge("seatrial_traces", "Traces in memory.", float64(t.Traces))
	e.gauge("seatrial_trace_spans", "Spans in memory.", float64(t.Spans))
	e.gauge("seatrial_trace_bytes", "Estimated memory of the traces.", float64(t.Bytes))
	e.gauge("seatrial_trace_pinned_bytes", "Part of it that belongs to traces which a verdict names.", float64(t.PinnedBytes))
	e.by("seatrial_trace_store_spans_total", "Spans offered to the trace store, by what became of them.", "fate",
		"accepted", t.Accepted, "duplicate", t.Duplicates, "overflowed", t.Overflowed)
	e.counter("seatrial_traces_evicted_total", "Traces that made room for newer ones.", t.Evicted)
	e.counter("seatrial_trace_spans_evicted_total", "Spans of the traces that made room.", t.EvictedSpan)
}

func runtimeMetrics(e *exposition) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	e.gauge("go_goroutines", "Goroutines that exist.", float64(runtime.NumGoroutine()))
	e.gauge("go_heap_objects_bytes", "Memory of live and not yet swept objects.", float64(samples[0].Value.Uint64()))
	e.gauge("go_memory_bytes", "Memory that the Go runtime has mapped.", float64(samples[1].Value.Uint64()))
	e.counter("go_gc_cycles_total", "Garbage collections finished.", samples[2].Value.Uint64())
}
