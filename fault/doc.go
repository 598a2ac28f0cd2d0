// Package fault injects errors, latency, cancellations, resets, lost replies, slow, short and spoilt
// bytes, and panics at named places of a program, for chaos experiments in production.
//
// A [Point] is such a place: [Point.Do] around a call, [Point.Inject] in code that has none, and
// [Point.Begin] in adapters. With nothing armed each is an atomic load. [Register] gives a point that
// the process knows by name; an experiment arms it with a [Source], which says for the unit (user,
// request) in the context which [Program] applies, if any.
//
// What keeps it safe, whoever wrote the program:
//
//   - A program is on loan: it ends by itself when its [Lease] is not renewed, at most 30 s later.
//     Only the monotonic clock counts.
//   - [Point.Off], [Lease.End] and each [Switch] work at once, without a lock on the path of calls, and
//     cut short what is being injected. The switch of the process also obeys the environment variable
//     SEATRIAL_FAULTS, and a file if one is watched, with every server gone.
//   - [Caps] set in code bound the share, the number, the length and the kinds of faults. A program can
//     ask for less, never for more. Health checks, logins, telemetry and our own traffic are never
//     hit, and replies that are about money are not lost unless that is allowed.
//   - Whatever is unknown, broken or panics on the way to a decision means: no fault.
//   - What was injected says so: errors.Is(err, [ErrInjected]), [From], an event on the span, and an
//     [Observer].
//
// Whether a call is hit, and by what, is a pure function of the seed, the experiment, the point, the
// unit and the number of the call: the same everywhere, and again when replayed. (Latencies drawn from
// a normal or lognormal distribution can differ by a nanosecond between processor architectures.)
package fault
