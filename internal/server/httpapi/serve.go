package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
)

// call is one request on its way.
type call struct {
	api       *API
	w         *recorder
	r         *http.Request
	id        string
	route     *route // nil while none is found
	principal control.Principal
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach deadlines and flushing.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Handler serves every route.
func (a *API) Handler() http.Handler { return http.HandlerFunc(a.serve) }

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := a.newCall(w, r)
	defer c.log(start)
	defer c.rescue()
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

func (a *API) newCall(w http.ResponseWriter, r *http.Request) *call {
	c := &call{api: a, w: &recorder{ResponseWriter: w}, r: r, id: rand.Text()}
	header := w.Header()
	header.Set("X-Request-Id", c.id)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cache-Control", "no-store")
	return c
}

func (c *call) serve() error {
	if err := c.api.cfg.Auth.CheckHost(c.r); err != nil {
		return err
	}
	if err := c.find(); err != nil {
		return err
	}
	done, err := c.enter()
	if err != nil {
		return err
	}
	defer done()
	if c.principal, err = c.api.cfg.Auth.Authorize(c.r, c.route.need); err != nil {
		return err
	}
	if err := c.mayUse(); err != nil {
		return err
	}
	if err := c.checkQuery(); err != nil {
		return err
	}
	return c.route.handle(c)
}

// find looks the route up. Requests that the table answers itself are misses, or paths that are
// not in their shortest form.
func (c *call) find() error {
	handler, pattern := c.api.table.Handler(c.r)
	if rt, ok := handler.(*route); ok {
		c.route = rt
		// The table sets the path's values only when it serves; the route then does nothing.
		c.api.table.ServeHTTP(c.w, c.r)
		return nil
	}
	if pattern != "" {
		return notFound("the path %q is not in its shortest form: write it without empty and dotted segments", c.r.URL.Path)
	}
	allow := allowed(handler, c.r)
	if allow == "" {
		return notFound("there is no %q here: api/openapi.yaml lists the paths", c.r.URL.Path)
	}
	c.w.Header().Set("Allow", allow)
	return &control.Error{Code: codeMethod, Message: fmt.Sprintf("%s is not possible on %s: use %s", c.r.Method, c.r.URL.Path, allow)}
}

// allowed asks the table's own answer to a miss which methods the path has.
func allowed(miss http.Handler, r *http.Request) string {
	w := headerOnly{}
	miss.ServeHTTP(w, r)
	return http.Header(w).Get("Allow")
}

type headerOnly http.Header

func (h headerOnly) Header() http.Header         { return http.Header(h) }
func (h headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h headerOnly) WriteHeader(int)             {}

// enter counts the request in and sets its deadlines. Streams have none, but for each write.
func (c *call) enter() (done func(), err error) {
	out := http.NewResponseController(c.w)
	if c.route.class == classStream {
		out.SetReadDeadline(time.Time{})
		return func() {}, nil
	}
	room, read, work, write := c.api.work, readTimeout, workTimeout, writeTimeout
	switch c.route.class {
	case classTelemetry:
		room = c.api.ingest
	case classUpload:
		room, read, work, write = c.api.upload, uploadTimeout, uploadTimeout, uploadTimeout
	case classPart:
		room = c.api.parts
	case classUrgent:
		room = c.api.urgent
	}
	if !room.acquire() {
		c.api.stats.overloaded.Add(1)
		return nil, &control.Error{Code: control.CodeUnavailable, Message: "the server has as many requests as it can work on: try again in a moment"}
	}
	now := time.Now()
	// Servers without deadlines exist in tests only; there is nothing to do about it.
	_ = out.SetReadDeadline(now.Add(read))
	_ = out.SetWriteDeadline(now.Add(write))
	ctx, cancel := context.WithTimeout(c.r.Context(), work)
	c.r = c.r.WithContext(ctx)
	return func() { cancel(); room.release() }, nil
}

// fail answers with what went wrong, in the form of the route.
func (c *call) fail(err error) {
	p := problemOf(err, c.r, c.id)
	if p.Code == control.CodeInternal && !errors.Is(err, context.Canceled) {
		c.api.cfg.Logger.Error("request failed", "requestId", c.id, "method", c.r.Method, "path", c.r.URL.Path, "error", err)
	}
	if c.w.status != 0 {
		return // too late to say so
	}
	header := c.w.Header()
	header.Del("ETag")
	switch p.Status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="seatrial"`)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	case http.StatusTooManyRequests:
		header.Set("Retry-After", retryAfter(err))
	}
	class := classAPI
	if c.route != nil {
		class = c.route.class
	}
	switch {
	case class == classPage && p.Status < 500 && c.api.cfg.Console != nil:
		c.api.cfg.Console.SignIn(c.w, p.Status, p.Detail)
	case class == classTelemetry && c.api.cfg.OTLPError != nil:
		c.api.cfg.OTLPError(c.w, c.r, p.Status, p.Detail)
	default:
		p.write(c.w)
	}
}

func retryAfter(err error) string {
	var many *auth.TooMany
	if !errors.As(err, &many) {
		return "1"
	}
	return fmt.Sprint(int(many.RetryAfter/time.Second) + 1)
}

// rescue turns a panic into an answer: the server goes on.
func (c *call) rescue() {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	c.api.stats.panics.Add(1)
	c.api.cfg.Logger.Error("request panicked", "requestId", c.id, "method", c.r.Method, "path", c.r.URL.Path,
		"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if c.w.status != 0 {
		c.count()
		panic(http.ErrAbortHandler) // the client must not take a half answer for a whole one
	}
	c.fail(&control.Error{Code: control.CodeInternal, Message: "panic"})
}

func (c *call) count() {
	if class := c.w.status / 100; class > 0 && class < len(c.api.stats.answered) {
		c.api.stats.answered[class].Add(1)
	}
}

// log writes the access log. Queries are left out: they may hold one-time codes.
func (c *call) log(start time.Time) {
	if c.w.status == 0 {
		c.w.status = http.StatusOK // net/http sends that for handlers that write nothing
	}
	c.count()
	c.api.cfg.Logger.LogAttrs(c.r.Context(), slog.LevelDebug, "request",
		slog.String("requestId", c.id), slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path),
		slog.Int("status", c.w.status), slog.Int64("bytes", c.w.bytes), slog.Duration("took", time.Since(start)),
		slog.String("principal", c.principal.ID))
}
