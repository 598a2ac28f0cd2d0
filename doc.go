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
// [Client.Dependency] names a called service. Its policy (timeouts, retries, breaker, limits) comes
// live from a flag, or from the code. How its dependencies stand the client reports to the control
// plane, and offers as metrics to the application's own OpenTelemetry ([WithMeterProvider]).
//
// # Faults
//
// A chaos experiment is a trial of a flag whose variants are fault programs. Faults come to units in
// the treatment of an experiment that runs, at the points that it names: those of dependencies, of
// [Client.Point], and of package fault. And that only if the application allowed them with
// [WithFaults], within its caps; while the control plane keeps renewing them, at most 30 s after its
// last word; and while nobody has stopped them: by the environment variable SEATRIAL_FAULTS, by the
// file of [WithFaultsFile], with [Client.StopFaults], or for all clients at once in the control
// plane.
//
// Who meets a fault is decided once, where a unit of work begins, and travels with the calls it
// makes; see [Client.Carry]. What the unit of work met further inside comes back with the answers;
// see [Marks]. The adapters seatrialhttp and seatrialgrpc do both. A unit of work that a fault hit
// counts for the experiment of that fault, and for no other trial.
package seatrial

// Version is the version of the client, as it appears in telemetry.
const Version = "0.1.0"
