package flagd

import "net/http"

// What pages of other origins may send and read. Credentials of browsers (cookies) are not among
// it: a page sends its key itself.
const (
	allowedHeaders = "Content-Type, Authorization, X-API-Key, Flagd-Selector, Connect-Protocol-Version, Connect-Timeout-Ms, " +
		"Connect-Accept-Encoding, Connect-Content-Encoding, Content-Encoding, Grpc-Timeout, Grpc-Accept-Encoding, Grpc-Encoding, " +
		"X-Grpc-Web, X-User-Agent, Traceparent, Tracestate, Baggage"
	exposedHeaders = "Content-Encoding, Connect-Content-Encoding, Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Retry-After"
	preflightAge   = "7200" // seconds
)

// crossOrigin lets pages of any origin call h.
func crossOrigin(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			header.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
			header.Set("Access-Control-Allow-Headers", allowedHeaders)
			header.Set("Access-Control-Max-Age", preflightAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		header.Set("Access-Control-Expose-Headers", exposedHeaders)
		h.ServeHTTP(w, r)
	})
}
