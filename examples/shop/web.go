package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// maxBody bounds every request and response body that the shop reads, in bytes.
const maxBody = 64 << 10

// statusError is an answer other than 2xx from another service.
type statusError struct {
	call   string
	status int
	detail string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.call, e.status, e.detail)
}

// answered gives the answer of another service that err is made of.
func answered(err error) (*statusError, bool) {
	var remote *statusError
	ok := errors.As(err, &remote)
	return remote, ok
}

// post sends in as JSON and reads the answer into out (nil: not read). The key makes a repeated
// call harmless: the service that gets it does the work once. An answer other than 2xx is a
// *statusError.
func post(ctx context.Context, client *http.Client, url, key string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &statusError{call: "POST " + req.URL.Path, status: resp.StatusCode, detail: strings.TrimSpace(string(answer))}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// read decodes a request body, or answers 400 and gives false.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into)
	if err != nil {
		http.Error(w, "body: "+err.Error()+": send the JSON document that this path expects", http.StatusBadRequest)
		return false
	}
	return true
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller has gone: nobody is left to tell
}

// fail answers with the status that fits err, and records it on the request's span.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	trace.SpanFromContext(r.Context()).RecordError(err)
	http.Error(w, err.Error(), statusFor(err))
}

// statusFor maps a failure to an HTTP status: what the customer can change is 4xx, what the
// shop must answer for is 5xx.
func statusFor(err error) int {
	remote, isAnswer := answered(err)
	switch {
	case errors.Is(err, errOutOfStock):
		return http.StatusConflict
	case errors.Is(err, errDeclined):
		return http.StatusPaymentRequired
	case errors.Is(err, errBadOrder), errors.Is(err, errUnknownItem):
		return http.StatusBadRequest
	case isAnswer && remote.status < 500:
		return remote.status
	case errors.Is(err, errNoConnection):
		return http.StatusInternalServerError
	default:
		return http.StatusServiceUnavailable
	}
}

// finish ends span and, if err is not nil, records it with the status error.
func finish(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
