package api

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// TraceFilter selects traces; empty fields select all.
type TraceFilter struct {
	Flag, Variant, Service string
	ErrorOnly              bool
	MinDuration            time.Duration
	Limit                  int
}

// TraceSummary is a trace in a list.
type TraceSummary struct {
	TraceID    string    `json:"traceId"`
	Root       string    `json:"root"`
	Service    string    `json:"service"`
	DurationMs float64   `json:"durationMs"`
	Spans      int       `json:"spans"`
	Error      bool      `json:"error"`
	Start      time.Time `json:"start"`
}

// Trace is a trace with all its spans.
type Trace struct {
	TraceID string `json:"traceId"`
	Spans   []Span `json:"spans"`
}

// Span is one span of a trace.
type Span struct {
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
	Events        []Event        `json:"events,omitempty"`
}

// Event is something that happened within a span.
type Event struct {
	Name       string         `json:"name"`
	Time       time.Time      `json:"time"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Traces lists traces, the newest first.
func (c *Client) Traces(ctx context.Context, f TraceFilter) ([]TraceSummary, error) {
	query := url.Values{}
	for name, value := range map[string]string{"flag": f.Flag, "variant": f.Variant, "service": f.Service} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.ErrorOnly {
		query.Set("error", "true")
	}
	if f.MinDuration > 0 {
		query.Set("minMs", strconv.FormatFloat(float64(f.MinDuration)/float64(time.Millisecond), 'f', -1, 64))
	}
	if f.Limit > 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	p := page[TraceSummary]{Items: []TraceSummary{}}
	_, err := c.do(ctx, request{method: "GET", path: "/api/v1/traces", query: query}, &p)
	return p.Items, err
}

// Trace gives one trace.
func (c *Client) Trace(ctx context.Context, id string) (t Trace, err error) {
	_, err = c.do(ctx, request{method: "GET", path: "/api/v1/traces/" + url.PathEscape(id)}, &t)
	return t, err
}
