// Package seatrialnet injects faults into network connections: below TLS, HTTP, gRPC and database
// protocols, where everything meets them that uses a net.Conn.
//
// A [Dialer] goes into an http.Transport or a database driver, a [Listener] in front of a server,
// and [Conn] around any connection. Each has a [fault.Point]. While nothing is armed, a read or write
// costs an atomic load more, and sendfile and splice are used where they were.
//
// # What is decided, and for whom
//
// One decision is taken for a connection, when it is dialled or accepted, and again whenever the
// point is armed anew: connections of pools meet an experiment that begins after them. The context
// is that of DialContext, also later on: with a pool that is who needed the connection first, not
// who uses it. For accepted and wrapped connections it is context.Background(), so that only programs
// without regard to the user apply. Rates are shares of connections, [fault.Caps.MaxActive] and
// MaxTotal numbers of connections; a connection keeps its place until it is closed or the point
// armed anew. MaxLatency bounds each read and write. The address dialled is the operation that the
// deny list sees.
//
// # What the faults do
//
//   - error, reset: the dial fails; an accepted connection is closed, with a reset (TCP RST) if that
//     is the fault, and the server sees nothing of it; a connection that was open before fails at its next
//     read or write. Phase after: the connection works until there is an answer, which is lost, and
//     the connection with it.
//   - lost-reply: what is written arrives, and reading the answer fails; nothing is closed. On an
//     accepted connection the answers are what is written: the first one counts as written, and the
//     peer sees a reset.
//   - latency: the dial and each read and write is late; a read when there is something to read. With
//     phase instead it fails with a timeout and nothing is read or written.
//   - cancel: the dial is cancelled, or the open connection closed, after the delay.
//   - bandwidth, truncate, corrupt: on what is read and what is written, each way on its own. Where
//     bytes are cut short the connection is closed.
//   - panic: the dial, or the next read or write, panics; only where the caps list it.
//
// Deadlines and Close work while a fault holds an operation up. Errors are or wrap a [*fault.Error].
package seatrialnet
