package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	server "github.com/seatrial/seatrial/internal/server/app"
	"github.com/spf13/cobra"
)

// stopWithin is how long a stopping server may take, the drain delay not counted.
const stopWithin = 20 * time.Second

func newServe(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "serve", GroupID: groupStart, Short: "Run the control plane",
		Long: "Run the control plane: API, change stream, telemetry receiver and controller, on one port.\n\n" +
			"Settings come from flags, then from variables, then from the file of --config (YAML or JSON), then from the defaults:\n\n" +
			settingsHelp() + "\n\nAs long as there is no admin token, a one-time link is printed at the start: give it to `seatrial login`.\n" +
			"The log goes to standard error. An interrupt stops it in good order, a second one at once.",
		Example: `  seatrial serve
  seatrial serve --addr :8420 --data /var/lib/seatrial --environment production
  SEATRIAL_LOG_FORMAT=json seatrial serve --config seatrial.yaml`,
	}
	cmd.Flags().StringVar(&file, "config", "", "file with settings (default $SEATRIAL_CONFIG)")
	withSettings(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.readSettings(cmd, file)
		if err != nil {
			return err
		}
		if wrong := misspeltVariable(os.Environ()); wrong != "" {
			return usage(errors.New(wrong))
		}
		return a.serve(cmd.Context(), s)
	}
	return cmd
}

func (a *app) serve(ctx context.Context, s settings) error {
	srv, err := server.Start(ctx, server.Config{
		Addr: s.addr, DataDir: s.data, Environment: s.environment, Logger: s.logger(a.err), Bootstrap: a.err,
		AlsoListen: s.alsoListen, OpenEvaluation: s.openEvaluation, PublicURL: s.publicURL, WebhookAllow: s.webhookAllow, FourEyes: s.fourEyes,
		Prometheus: s.prometheus.config(),
		AcceptLoss: s.acceptLoss, DrainDelay: s.drainDelay, MaxConnections: s.maxConnections,
	})
	if err != nil {
		return err
	}
	a.say("Seatrial listens on %s, data in %s", srv.URL(), s.data)
	if beyondThisMachine(s.addr) {
		a.say("%s", a.narration.marked(markWarn, "reachable from other machines without encryption: put a proxy with TLS in front"))
	}
	return untilInterrupted(ctx, srv, s.drainDelay+stopWithin, nil)
}

func (p prometheusSettings) config() server.Prometheus {
	return server.Prometheus{URL: p.url, BearerTokenFile: p.tokenFile, BasicUser: p.user, BasicPasswordFile: p.passwordFile, Lag: p.lag, Align: p.align}
}

// beyondThisMachine reports whether an address is more than loopback.
func beyondThisMachine(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsLoopback()
}

// untilInterrupted serves until ctx ends, which is how it is meant to end and no error, or until
// the server cannot go on. Before it stops, it does what last says (nil: nothing).
func untilInterrupted(ctx context.Context, srv *server.Server, within time.Duration, last func(context.Context)) error {
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Wait() }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if last != nil {
		last(closing)
	}
	if err := srv.Close(closing); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}
