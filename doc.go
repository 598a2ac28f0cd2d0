// Package seatrial is the client that an application imports: it evaluates feature flags in
// process, attributes the outcome of every request to the trials that the request took part in,
// and puts resilience policies and injected faults around the calls to dependencies.
//
//	client, err := seatrial.Open(ctx, seatrial.WithService("order"))
//	...
//	http.Handle("/", client.Handler(mux))
//	...
//	ctx = seatrial.WithContext(ctx, seatrial.NewContext(userID))
//	if client.Bool(ctx, "express-checkout", false) { … }
//
// # What an evaluation costs and needs
//
// An evaluation reads an immutable snapshot through an atomic pointer. It takes no lock, does no
// I/O, never panics, and allocates nothing on the simple paths. It works with the control plane
// gone, for as long as the process lives: the last snapshot stays in force, after a restart the
// one in the file of [WithFile], and before any snapshot the default in the code.
//
// # Units of work
//
// [Client.Handler] and [Client.Begin] open a unit of work in the context. What is evaluated
// inside it and is under trial counts as exposure; when the unit of work ends, its duration and
// whether it went wrong are counted for each exposure, per trial, version and arm, and sent to
// the control plane as OTLP metrics. That is all that a trial needs to be judged.
//
// # Dependencies
//
// [Client.Dependency] names a called service. Its policy (timeouts, retries, breaker) comes live
// from a flag, or from the code; faults come from flags too, only if the application allowed
// them with [WithFaults], and only while the control plane keeps renewing them.
package seatrial

// Version is the version of the client, as it appears in telemetry.
const Version = "0.1.0"
