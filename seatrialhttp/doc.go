// Package seatrialhttp connects net/http to Seatrial, on both sides of a request.
//
// [NewHandler] goes around the handlers of a service: it takes up the trace of the caller, opens a
// server span, and opens the unit of work to which the outcomes of flags are attributed. With
// [WithPoint] faults can be injected into the service itself.
//
// [NewTransport] goes into an http.Client: each request is a call to a named dependency, under the
// dependency's policy (timeouts, retries, breaker, limits, rivals) and subject to its faults, with
// a client span for every try.
//
//	http.Handle("/", seatrialhttp.NewHandler(client, mux))
//	payment := &http.Client{Transport: seatrialhttp.NewTransport(client, "payment")}
//
// Spans follow the OpenTelemetry semantic conventions for HTTP, 1.43. What a URL's query holds is
// not recorded: it is often personal. Both work with a nil client: then they only trace.
package seatrialhttp
