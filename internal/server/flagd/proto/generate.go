// Package proto holds flagd's contracts, written after those that flagd publishes (open-feature/flagd-schemas), and, in
// packages of their own, the Go code generated from them. The code is committed: building needs none of its tools.
package proto

//go:generate sh generate.sh
