package cli

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/seatrial/seatrial/internal/demo"
	"github.com/spf13/cobra"
)

func newDemo(a *app) *cobra.Command {
	cfg := demo.Config{}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "See a canary promoted, one rolled back, and a fault survived, on real traffic",
		GroupID: groupStart,
		Long: `Starts a control plane, a shop of six services and 2,000 customers on this machine, and plays
scenes: a good canary, a bad one, and chaos with and without a resilience policy. It takes about
a minute. Then the shop goes on, to look around in, until Ctrl-C; everything that was
stored is removed at the end.

The exit code is 0 if all scenes ended as they should, else 1.`,
		Example: `  seatrial demo
  seatrial demo --once -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Out, cfg.JSON, cfg.Screen = a.out, a.output == formatJSON, demoScreen{a.style}
			cfg.Command = commandName()
			cfg.Announce = func(server, token string) func() {
				return a.announceLocal(connection{Server: server, Token: token})
			}
			ctx, stop := untilHangup(cmd.Context())
			defer stop()
			sum, err := demo.Run(ctx, cfg)
			if err != nil {
				return err
			}
			if !sum.OK {
				return &exit{code: exitError}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&cfg.Once, "once", false, "end after the scenes")
	flags.Uint64Var(&cfg.Seed, "seed", 1, "varies customers, working times and misfortunes")
	flags.StringVar(&cfg.Addr, "addr", "127.0.0.1:8420", "address of the control plane; the next free port if it is taken")
	return cmd
}

// untilHangup ends when the terminal goes away, too: the demo must clean up after itself. With
// nohup it goes on.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// commandName is how a person calls this program again: by its name, unless `go run` has built it
// somewhere for this one call.
func commandName() string {
	if path, err := os.Executable(); err == nil && strings.Contains(path, "go-build") {
		return "go run ./cmd/seatrial"
	}
	return "seatrial"
}

// demoScreen shows the demo in the command line's style.
type demoScreen struct{ style style }

var demoMarks = map[demo.Mark]mark{
	demo.MarkNone: markNone, demo.MarkGood: markGood, demo.MarkBad: markBad,
	demo.MarkBusy: markBusy, demo.MarkWarn: markWarn, demo.MarkQuiet: markQuiet,
}

func (s demoScreen) Icon(m demo.Mark) string {
	pair, ok := icons[demoMarks[m]]
	if !ok {
		return ""
	}
	return s.style.choose(pair[0], pair[1])
}

func (s demoScreen) Paint(m demo.Mark, text string) string { return s.style.paint(demoMarks[m], text) }

func (s demoScreen) Bold(text string) string { return s.style.bold(text) }

func (s demoScreen) Width() int {
	if !s.style.terminal {
		return 0
	}
	return s.style.width()
}
