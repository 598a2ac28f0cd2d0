// Command seatrial is the control plane and the command line of Seatrial: feature flags,
// canaries, chaos experiments and traces that test changes in production, safely.
//
// Run it without arguments for help, and `seatrial demo` to see what it does. The commands live
// in package cli; what scripts may rely on is in docs/cli-json.md.
package main

import (
	"os"

	"github.com/seatrial/seatrial/internal/cli"
)

func main() { os.Exit(cli.Main()) }
