package otlp

import "net/http"

// Refuse answers a request that the caller turns away before a [Receiver] sees it, such as one
// without a key, in the form that OTLP has for failures. Headers that go with the status are the
// caller's.
func Refuse(w http.ResponseWriter, req *http.Request, status int, message string) {
	enc, _ := negotiate(req) // of what cannot be understood, the answer is JSON
	refusal := failure{status: status, code: codeOf(status), message: message}
	retryAfter := w.Header().Get("Retry-After")
	if retryAfter == "" {
		retryAfter = "1"
	}
	refusal.answer(w, enc, retryAfter)
}

// codeOf gives the code of google.rpc.Code that goes with a status.
func codeOf(status int) int {
	switch status {
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return codeUnavailable
	case http.StatusInternalServerError:
		return 13 // INTERNAL
	}
	return codeInvalid
}
