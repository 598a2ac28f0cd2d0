// Package server measures the control plane from outside, in a process of its own: how many flags
// it evaluates over OFREP, against a handler of net/http that does nothing but answer with as many
// bytes, how much memory it takes, and how soon it answers after its start.
package server

import (
	"fmt"
	"os"
	"testing"
)

// TestMain is two programs: the tests, and the trivial handler that they start as another process.
func TestMain(m *testing.M) {
	if sizes := os.Getenv(trivialVariable); sizes != "" {
		fmt.Fprintln(os.Stderr, serveTrivially(sizes))
		os.Exit(1)
	}
	code := m.Run()
	if folder != "" {
		_ = os.RemoveAll(folder)
	}
	os.Exit(code)
}
