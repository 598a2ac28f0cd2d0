// Package fault injects errors, latency and cancellations at named places of a program, for chaos
// experiments in production.
//
// A [Point] is such a place: calls to a dependency go through [Point.Do]. With nothing armed that
// costs about as much as a function call. An experiment arms the point with a [Source], which says
// for the unit (user, request) in the context which [Program] applies, if any.
//
// What keeps it safe, whoever wrote the program:
//
//   - A program is on loan: it ends by itself when its [Lease] is not renewed, at most 30 s later.
//     Only the monotonic clock counts.
//   - [Point.Off] and [Lease.End] work at once, without a lock on the path of calls, and cut
//     latencies short that are being injected.
//   - [Caps] set in code bound the share, the number and the length of faults. A program can ask
//     for less, never for more.
//   - Whatever is unknown, broken or panics on the way to a decision means: no fault.
//   - What was injected says so: errors.Is(err, [ErrInjected]), [From], and an event on the span.
//
// Whether a call is hit, and by what, is a pure function of the seed, the experiment, the point, the
// unit and the number of the call: the same everywhere, and again when replayed.
package fault
