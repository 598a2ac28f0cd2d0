package otlp

import (
	"encoding/json"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Codes of google.rpc.Code, as they stand in the body of a failure.
const (
	codeInvalid         = 3  // INVALID_ARGUMENT
	codePermission      = 7  // PERMISSION_DENIED
	codeExhausted       = 8  // RESOURCE_EXHAUSTED
	codeUnimplemented   = 12 // UNIMPLEMENTED
	codeInternal        = 13 // INTERNAL
	codeUnavailable     = 14 // UNAVAILABLE
	codeUnauthenticated = 16 // UNAUTHENTICATED
)

// failure is an answer that takes nothing of the request. Of the statuses used here, senders
// repeat a request only after 429 and 503 (OTLP specification, "Failures").
type failure struct {
	status  int
	code    int
	message string
}

// answer writes the failure as a google.rpc.Status in the encoding of the request.
func (f *failure) answer(w http.ResponseWriter, enc encoding, retryAfter string) {
	switch f.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	message := clip(f.message, maxText)
	if enc == encodingJSON {
		body, _ := json.Marshal(struct { // of an int and a string: cannot fail
			Code    int    `json:"code"`
			Message string `json:"message"`
		}{f.code, message})
		write(w, enc, f.status, body)
		return
	}
	body := protowire.AppendTag(nil, 1, protowire.VarintType)
	body = protowire.AppendVarint(body, uint64(f.code))
	body = protowire.AppendTag(body, 2, protowire.BytesType)
	write(w, enc, f.status, protowire.AppendString(body, message))
}

// answer writes an ExportTraceServiceResponse or ExportMetricsServiceResponse, which look alike:
// empty if all was taken, else with a partial success, after which senders must not repeat.
func answer(w http.ResponseWriter, enc encoding, t taken) {
	if t.rejected == 0 {
		body := []byte(nil)
		if enc == encodingJSON {
			body = []byte("{}")
		}
		write(w, enc, http.StatusOK, body)
		return
	}
	if enc == encodingJSON {
		body, _ := json.Marshal(map[string]any{"partialSuccess": map[string]string{ // of strings: cannot fail
			t.field: strconv.Itoa(t.rejected), "errorMessage": t.reason,
		}})
		write(w, enc, http.StatusOK, body)
		return
	}
	partial := protowire.AppendTag(nil, 1, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(t.rejected))
	partial = protowire.AppendTag(partial, 2, protowire.BytesType)
	partial = protowire.AppendString(partial, t.reason)
	body := protowire.AppendTag(nil, 1, protowire.BytesType)
	write(w, enc, http.StatusOK, protowire.AppendBytes(body, partial))
}

// write sends the answer. A failed write means that the sender is gone; it will repeat.
func write(w http.ResponseWriter, enc encoding, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", enc.mediaType())
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
