package ofrep

import "net/http"

// Any page may ask: what lets a request in is a key, which no browser adds by itself. For the
// same reason credentials (cookies) are never allowed across origins.
//
// The header values are shared by all answers; net/http only reads them.
var (
	anyOrigin   = []string{"*"}
	exposed     = []string{"ETag, Retry-After"}
	allowedFrom = []string{"content-type, if-none-match, authorization, x-api-key, flagd-selector, last-event-id, traceparent, tracestate, baggage"}
	// A day; browsers cut it to what they think right (two hours in Chrome).
	preflightAge = []string{"86400"}
)

// allowOrigin lets the page that made a browser send the request read the answer.
func allowOrigin(h http.Header, r *http.Request) {
	if _, browser := r.Header["Origin"]; browser {
		h["Access-Control-Allow-Origin"] = anyOrigin
		h["Access-Control-Expose-Headers"] = exposed
	}
}

// preflight answers a browser's question whether a page may send the request. Such questions
// carry no credential.
func preflight(w http.ResponseWriter, method string) {
	h := w.Header()
	h["Access-Control-Allow-Origin"] = anyOrigin
	h["Access-Control-Allow-Headers"] = allowedFrom
	h["Access-Control-Max-Age"] = preflightAge
	h.Set("Access-Control-Allow-Methods", method)
	h.Set("Allow", method+", OPTIONS")
	w.WriteHeader(http.StatusNoContent)
}
