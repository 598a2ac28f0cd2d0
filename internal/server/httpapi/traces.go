package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/internal/server/traces"
)

// traceSummary is a trace in a list.
type traceSummary struct {
	TraceID    string            `json:"traceId"`
	Root       string            `json:"root"`
	Service    string            `json:"service"`
	Start      time.Time         `json:"start"`
	DurationMs float64           `json:"durationMs"`
	Spans      int               `json:"spans"`
	Error      bool              `json:"error"`
	Pinned     bool              `json:"pinned,omitempty"`
	Exposures  []traces.Exposure `json:"exposures,omitempty"`
}

// traceDetail is a trace with its spans, parents before children.
type traceDetail struct {
	TraceID   string            `json:"traceId"`
	Spans     []span            `json:"spans"`
	Pinned    bool              `json:"pinned,omitempty"`
	Exposures []traces.Exposure `json:"exposures,omitempty"`
	// Dropped is the number of spans that were not kept, as the trace is too large.
	Dropped int `json:"dropped,omitempty"`
}

type span struct {
	SpanID        string         `json:"spanId"`
	ParentSpanID  string         `json:"parentSpanId,omitempty"`
	Service       string         `json:"service"`
	Name          string         `json:"name"`
	Kind          string         `json:"kind"`
	Start         time.Time      `json:"start"`
	DurationMs    float64        `json:"durationMs"`
	Status        string         `json:"status"`
	StatusMessage string         `json:"statusMessage,omitempty"`
	Attributes    map[string]any `json:"attributes,omitempty"`
	Events        []event        `json:"events,omitempty"`
}

type event struct {
	Name       string         `json:"name"`
	Time       time.Time      `json:"time"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

func (c *call) listTraces() error {
	limit, err := c.limit()
	if err != nil {
		return err
	}
	f := traces.Filter{Flag: c.param("flag"), Variant: c.param("variant"), Service: c.param("service"), Limit: limit}
	if f.Variant != "" && f.Flag == "" {
		return invalid("query parameter variant needs flag: name the flag that gave it")
	}
	if f.ErrorOnly, err = c.boolParam("error"); err != nil {
		return err
	}
	if text := c.param("minMs"); text != "" {
		ms, err := strconv.ParseFloat(text, 64)
		if err != nil || !(ms >= 0 && ms <= 1e9) {
			return invalid("query parameter minMs is %q: write milliseconds from 0 to 1e9", text)
		}
		f.MinDuration = time.Duration(ms * float64(time.Millisecond))
	}
	var items []traceSummary
	for _, s := range c.api.cfg.Traces.List(f) {
		items = append(items, traceSummary{
			TraceID: s.ID.String(), Root: s.Root, Service: s.Service, Start: s.Start,
			DurationMs: milliseconds(s.Duration), Spans: s.Spans, Error: s.Error,
			Pinned: s.Pinned, Exposures: s.Exposures,
		})
	}
	return answerPage(c, items, "")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (c *call) getTrace() error {
	id, err := traces.ParseTraceID(c.r.PathValue("id"))
	if err != nil {
		return invalid("%v", err)
	}
	t, ok := c.api.cfg.Traces.Get(id)
	if !ok {
		return notFound("there is no trace %s: it has not arrived, was not sampled, or made room for newer ones", id)
	}
	d := traceDetail{TraceID: id.String(), Spans: []span{}, Pinned: t.Pinned, Exposures: t.Exposures, Dropped: t.Overflowed}
	for _, node := range t.Tree().Walk() {
		d.Spans = append(d.Spans, showSpan(&node.Span))
	}
	return c.answer(http.StatusOK, d)
}

func showSpan(s *traces.Span) span {
	shown := span{
		SpanID: s.SpanID.String(), Service: s.Service, Name: s.Name, Kind: s.Kind.String(),
		Start: s.StartTime(), DurationMs: milliseconds(s.Duration()),
		Status: s.Status.String(), StatusMessage: s.StatusMessage,
		Attributes: traces.AttributeMap(s.Attributes),
	}
	if !s.Parent.IsZero() {
		shown.ParentSpanID = s.Parent.String()
	}
	for i := range s.Events {
		e := &s.Events[i]
		shown.Events = append(shown.Events, event{Name: e.Name, Time: time.Unix(0, e.Time).UTC(), Attributes: traces.AttributeMap(e.Attributes)})
	}
	return shown
}
