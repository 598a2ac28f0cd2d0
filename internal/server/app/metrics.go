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
// a user, so their number grows with the environments only.
func (s *Server) writeMetrics(w io.Writer) {
	var e exposition
	s.buildMetrics(&e)
	s.controlMetrics(&e)
	s.requestMetrics(&e)
	s.streamMetrics(&e)
	s.byEach(&e, "seatrial_webhook_events_total", "Attempts to deliver an event to a webhook, and events given up.", "fate", func(env *environment) []any {
		st := env.notifier.Stats()
		return []any{"delivered", st.Delivered, "failed", st.Failed, "skipped", st.Skipped}
	})
	s.doorMetrics(&e)
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

// each gives a sample per environment, which its label names.
func (s *Server) each(value func(*environment) float64) (samples []sample) {
	for _, e := range s.environments.all() {
		samples = append(samples, sample{[]string{"environment", e.name}, value(e)})
	}
	return samples
}

func (s *Server) gaugeEach(e *exposition, name, help string, value func(*environment) float64) {
	e.family(name, gauge, help, s.each(value))
}

func (s *Server) counterEach(e *exposition, name, help string, value func(*environment) uint64) {
	e.family(name, counter, help, s.each(func(env *environment) float64 { return float64(value(env)) }))
}

// byEach writes one counter that is split by one label, and by environment.
func (s *Server) byEach(e *exposition, name, help, label string, values func(*environment) []any) {
	var samples []sample
	for _, env := range s.environments.all() {
		for list := values(env); len(list) > 0; list = list[2:] {
			samples = append(samples, sample{[]string{"environment", env.name, label, list[0].(string)}, float64(list[1].(uint64))})
		}
	}
	e.family(name, counter, help, samples)
}

func (s *Server) controlMetrics(e *exposition) {
	s.gaugeEach(e, "seatrial_revision", "Revision of the published state.", func(env *environment) float64 { return float64(env.service.Head().Revision) })
	s.gaugeEach(e, "seatrial_epoch", "Epoch of the change log.", func(env *environment) float64 { return float64(env.service.Head().Epoch) })
	s.gaugeEach(e, "seatrial_trials_active", "Trials that have not ended.", func(env *environment) float64 { return float64(len(env.service.ActiveTrials())) })
	s.counterEach(e, "seatrial_intervals_weighed_total", "Intervals of trials whose evidence was weighed.", func(env *environment) uint64 { return env.weighed.Load() })
}

func (s *Server) requestMetrics(e *exposition) {
	s.byEach(e, "seatrial_http_requests_total", "Requests answered, by class of status.", "class", func(env *environment) []any {
		st := env.api.Stats()
		return []any{"1xx", st.Answered[1], "2xx", st.Answered[2], "3xx", st.Answered[3], "4xx", st.Answered[4], "5xx", st.Answered[5]}
	})
	s.gaugeEach(e, "seatrial_http_requests_in_flight", "Requests that are worked on, streams not included.", func(env *environment) float64 { return float64(env.api.Stats().InFlight) })
	s.counterEach(e, "seatrial_http_overloaded_total", "Requests refused because too many were worked on.", func(env *environment) uint64 { return env.api.Stats().Overloaded })
	s.counterEach(e, "seatrial_http_panics_total", "Requests that met a defect of the server.", func(env *environment) uint64 { return env.api.Stats().Panics })
	e.counter("seatrial_auth_rate_limited_total", "Attempts not looked at after too many wrong secrets.", s.environments.auth.Refused())
	e.gauge("seatrial_connections", "Open connections.", float64(s.listeners[0].open()))
}

func (s *Server) streamMetrics(e *exposition) {
	s.gaugeEach(e, "seatrial_streams", "Open change streams.", func(env *environment) float64 { return float64(env.hub.Stats().Streams) })
	s.counterEach(e, "seatrial_streams_opened_total", "Change streams accepted.", func(env *environment) uint64 { return env.hub.Stats().Opened })
	s.counterEach(e, "seatrial_streams_refused_total", "Change streams refused by a limit.", func(env *environment) uint64 { return env.hub.Stats().Refused })
	s.byEach(e, "seatrial_stream_events_total", "Events sent on change streams, by name.", "event", func(env *environment) []any {
		st := env.hub.Stats()
		return []any{"snapshot", st.Snapshots, "delta", st.Deltas, "bookmark", st.Bookmarks}
	})
	s.counterEach(e, "seatrial_streams_skipped_total", "Times a stream far behind got a snapshot instead of its deltas.", func(env *environment) uint64 { return env.hub.Stats().Skipped })
	s.counterEach(e, "seatrial_streams_slow_total", "Change streams ended because the reader was too slow or gone.", func(env *environment) uint64 { return env.hub.Stats().Slow })
}

// doorMetrics are those of stock clients.
func (s *Server) doorMetrics(e *exposition) {
	o, f := s.doors.ofrep.Stats(), s.doors.flagd.Stats()
	e.family("seatrial_evaluations_total", counter, "Requests of stock clients that were answered, by protocol.", []sample{
		{[]string{"protocol", "ofrep"}, float64(o.Single)}, {[]string{"protocol", "ofrep_bulk"}, float64(o.Bulk)},
		{[]string{"protocol", "flagd"}, float64(f.Evaluations)},
	})
	e.family("seatrial_evaluations_refused_total", counter, "Requests of stock clients that were answered with an error, by protocol.", []sample{
		{[]string{"protocol", "ofrep"}, float64(o.Refused)}, {[]string{"protocol", "flagd"}, float64(f.Refused)},
	})
	e.counter("seatrial_evaluations_not_modified_total", "Bulk evaluations by OFREP whose answer the client had already.", o.NotModified)
	e.family("seatrial_client_streams", gauge, "Open streams of stock clients, by protocol.", []sample{
		{[]string{"protocol", "ofrep"}, float64(o.Streams)}, {[]string{"protocol", "flagd"}, float64(f.Streams)},
	})
}

func (s *Server) telemetryMetrics(e *exposition) {
	s.counterEach(e, "seatrial_otlp_requests_total", "Telemetry requests received.", func(env *environment) uint64 { return env.receiver.Stats().Requests })
	s.byEach(e, "seatrial_otlp_refused_total", "Telemetry requests refused, by reason.", "reason", func(env *environment) []any {
		r := env.receiver.Stats()
		return []any{"malformed", r.Malformed, "too_large", r.TooLarge, "overloaded", r.Overloaded}
	})
	s.byEach(e, "seatrial_otlp_spans_total", "Spans received, by what became of them.", "fate", func(env *environment) []any {
		r := env.receiver.Stats()
		return []any{"taken", r.Spans, "rejected", r.RejectedSpans}
	})
	s.byEach(e, "seatrial_otlp_points_total", "Metric points received, by what became of them.", "fate", func(env *environment) []any {
		r := env.receiver.Stats()
		return []any{"taken", r.Points, "rejected", r.RejectedPoints, "ignored", r.IgnoredPoints}
	})
	s.gaugeEach(e, "seatrial_otlp_in_flight_bytes", "Bytes of telemetry that are being received.", func(env *environment) float64 { return float64(env.receiver.Stats().InFlight) })
	s.byEach(e, "seatrial_outcome_points_total", "Outcome points, by what became of them.", "fate", func(env *environment) []any {
		o := env.outcomes.Stats()
		return []any{"accepted", o.Accepted, "duplicate", o.Duplicates, "stale", o.Stale, "unknown", o.Unknown, "invalid", o.Invalid}
	})
	s.counterEach(e, "seatrial_outcome_points_discarded_total", "Accepted outcome points that were in an interval which was given up.", func(env *environment) uint64 { return env.outcomes.Stats().Discarded })
	s.counterEach(e, "seatrial_outcome_points_incomplete_total", "Accepted outcome points that do not count, since others that belong to them never came.", func(env *environment) uint64 { return env.outcomes.Stats().Incomplete })
	s.byEach(e, "seatrial_cohort_points_total", "Metric points and spans of stock SDKs that a trial of deployments wanted, by what became of them.", "fate", func(env *environment) []any {
		c := env.cohorts.Stats()
		return []any{"counted", c.Counted, "early", c.Early, "duplicate", c.Duplicates, "reset", c.Resets, "superseded", c.Superseded}
	})
	s.fleetMetrics(e)
	s.traceMetrics(e)
}

func (s *Server) fleetMetrics(e *exposition) {
	s.gaugeEach(e, "seatrial_points", "Points that processes have reported and that are kept.", func(env *environment) float64 { return float64(env.fleet.Stats().Points) })
	s.gaugeEach(e, "seatrial_dependencies", "Dependencies of processes that are kept, each variant of a policy for itself.", func(env *environment) float64 { return float64(env.fleet.Stats().Dependencies) })
	s.byEach(e, "seatrial_fleet_facts_total", "What processes told of their points and dependencies, by what became of it.", "fate", func(env *environment) []any {
		f := env.fleet.Stats()
		return []any{"accepted", f.Accepted, "duplicate", f.Duplicates, "refused", f.Refused}
	})
}

func (s *Server) traceMetrics(e *exposition) {
	s.gaugeEach(e, "seatrial_traces", "Traces in memory.", func(env *environment) float64 { return float64(env.traces.Stats().Traces) })
	s.gaugeEach(e, "seatrial_trace_spans", "Spans in memory.", func(env *environment) float64 { return float64(env.traces.Stats().Spans) })
	s.gaugeEach(e, "seatrial_trace_bytes", "Estimated memory of the traces.", func(env *environment) float64 { return float64(env.traces.Stats().Bytes) })
	s.gaugeEach(e, "seatrial_trace_pinned_bytes", "Part of it that belongs to traces which a verdict names.", func(env *environment) float64 { return float64(env.traces.Stats().PinnedBytes) })
	s.byEach(e, "seatrial_trace_store_spans_total", "Spans offered to the trace store, by what became of them.", "fate", func(env *environment) []any {
		t := env.traces.Stats()
		return []any{"accepted", t.Accepted, "duplicate", t.Duplicates, "overflowed", t.Overflowed}
	})
	s.counterEach(e, "seatrial_traces_evicted_total", "Traces that made room for newer ones.", func(env *environment) uint64 { return env.traces.Stats().Evicted })
	s.counterEach(e, "seatrial_trace_spans_evicted_total", "Spans of the traces that made room.", func(env *environment) uint64 { return env.traces.Stats().EvictedSpan })
}

func runtimeMetrics(e *exposition) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	e.gauge("go_goroutines", "Goroutines that exist.", float64(runtime.NumGoroutine()))
	e.gauge("go_heap_objects_bytes", "Memory of live and not yet swept objects.", float64(samples[0].Value.Uint64()))
	e.gauge("go_memory_bytes", "Memory that the Go runtime has mapped.", float64(samples[1].Value.Uint64()))
	e.counter("go_gc_cycles_total", "Garbage collections finished.", samples[2].Value.Uint64())
}
