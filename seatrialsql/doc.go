// Package seatrialsql connects database/sql to Seatrial: what a program asks of a database becomes
// calls to a named dependency.
//
//	db := seatrialsql.Open(connector, client, "orders-db")
//
// A driver without a Connector is wrapped and registered under a name of its own:
//
//	sql.Register("seatrial-sqlite", seatrialsql.WrapDriver(&sqlite.Driver{}, client, "orders-db"))
//
// Every operation (connect, ping, prepare, begin, query, exec, commit, rollback) gets a client span
// that follows the OpenTelemetry semantic conventions for SQL databases, 1.43 (stable). All but the
// rollback go through the dependency's policy (timeouts, breaker, bulkhead, rate limit), and all
// pass its point of faults. With a nil client the package only traces.
//
// # Time
//
// The policy's timeouts bound an operation until the driver has returned from it. Reading rows, and
// the life of a transaction, are bounded by the caller's context alone. The wait for a connection
// of the pool comes before the policy; bound it with the caller's context.
//
// # What is repeated
//
// A policy with a retry repeats connecting and pinging, and those queries and statements that the
// caller marked with [WithRetryable] and that are not part of a transaction. Everything else is
// made once: only the program knows whether a statement may run twice. What a driver reports as
// [driver.ErrBadConn] surely was not carried out; package sql itself makes it again on another
// connection, and each of these is a call of its own to the policy.
//
// # What is a failure
//
// See [Classify], and [WithClassifier] to change it. A constraint that is violated is an answer of a
// healthy database, a connection that breaks is a failure.
//
// # Commit and rollback
//
// A rollback is always carried out, whatever is injected. A commit that is not made, because the
// breaker refuses it or a fault takes its place, is rolled back at once, so that the connection
// does not go back to the pool with a transaction on it.
//
// # Faults
//
//   - error: the operation fails with a *fault.Error, in phase after once it is done;
//   - latency and cancel: as everywhere; a driver that ignores its context is not cancelled;
//   - reset: the connection is lost before the operation; the error is a [driver.ErrBadConn] too,
//     so that package sql repeats it as it does in earnest;
//   - lost-reply: the operation is done, then the connection is lost. The error is no ErrBadConn:
//     nobody can know whether it was done. On COMMIT it finds programs that write twice;
//   - truncate: rows end early, with an error.
//
// The bytes that a driver sends are its own: bandwidth and corrupt cannot be done here, and are
// left undone. Wrap the driver's net.Conn for them.
//
// # Interfaces
//
// To package sql the wrapped driver behaves as the driver itself, whichever optional interfaces of
// package driver it has. The driver's own connection is to be had by [Underlying] in [sql.Conn.Raw].
package seatrialsql
