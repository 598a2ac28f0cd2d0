// Package conformance compares Seatrial with what other people wrote. It is a module of its own, so that oracles
// never enter the product's module graph.
package conformance
