package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	server "github.com/seatrial/seatrial/internal/server/app"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/spf13/cobra"
)

// devFolder keeps what dev stores between runs, where it exists.
const devFolder = ".seatrial"

func newDev(a *app) *cobra.Command {
	var addr, prometheus string
	var keep, verbose bool
	cmd := &cobra.Command{
		Use: "dev", GroupID: groupStart, Short: "Run a control plane on this machine, for development",
		Long: "Run a control plane that only this machine can reach, with a key and a token made for this run. Other terminals find it by\n" +
			"themselves: `seatrial flag list` just works.\n\n" +
			"What it stores is gone when it ends, unless there is a folder .seatrial here; --keep makes it.",
		Example: "  seatrial dev\n  seatrial dev --keep\n  seatrial dev --addr 127.0.0.1:9000",
	}
	flags := cmd.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:8420", "address; the next free port if it is taken")
	flags.StringVar(&prometheus, "prometheus-url", "", "Prometheus that guardrails may pull counts from, such as http://127.0.0.1:9090")
	flags.BoolVar(&keep, "keep", false, "keep the data in "+devFolder+" in this folder, for the next run")
	flags.BoolVar(&verbose, "verbose", false, "show the server's log")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		data, remove, err := devData(keep)
		if err != nil {
			return err
		}
		defer remove()
		logger := slog.New(slog.DiscardHandler)
		if verbose {
			logger = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		return a.dev(cmd.Context(), server.Config{Addr: addr, NextFreePort: true, DataDir: data, Environment: "dev", Logger: logger, Local: true,
			Prometheus: server.Prometheus{URL: prometheus}})
	}
	return cmd
}

// devData gives the folder for the data of a run and how to clean up after it.
func devData(keep bool) (dir string, remove func(), err error) {
	info, err := os.Stat(devFolder)
	switch {
	case err == nil && info.IsDir():
		return devFolder, func() {}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", nil, err
	case keep:
		return devFolder, func() {}, os.MkdirAll(devFolder, 0o700)
	}
	dir, err = os.MkdirTemp("", "seatrial-dev-*")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// devRun is what one run of dev made for itself.
type devRun struct {
	name, token, key string
	client           *api.Client
}

func (a *app) dev(ctx context.Context, cfg server.Config) error {
	srv, err := server.Start(ctx, cfg)
	if err != nil {
		return err
	}
	closing := context.WithoutCancel(ctx)
	run, err := newDevRun(ctx, srv)
	if err != nil {
		return errors.Join(err, srv.Close(closing))
	}
	forget := a.announceLocal(connection{Server: srv.URL(), Token: run.token})
	defer forget()
	if err := a.greetDev(srv, cfg.DataDir, run); err != nil {
		return errors.Join(err, srv.Close(closing))
	}
	return untilInterrupted(ctx, srv, stopWithin, run.revoke)
}

// newDevRun makes the token and the SDK key of this run.
func newDevRun(ctx context.Context, srv *server.Server) (*devRun, error) {
	const valid = 30 * 24 * time.Hour // should this process be killed, they do not stay for ever
	run := &devRun{name: "dev " + time.Now().Format("2006-01-02 15:04:05")}
	var err error
	if run.token, err = srv.CreateToken(ctx, control.NewToken{Name: run.name, Kind: control.TokenAPI, Role: control.RoleAdmin, ExpiresIn: valid}); err != nil {
		return nil, err
	}
	if run.key, err = srv.CreateToken(ctx, control.NewToken{Name: run.name, Kind: control.TokenSDK, ExpiresIn: valid}); err != nil {
		return nil, err
	}
	run.client, err = api.New(srv.URL(), run.token)
	return run, err
}

// revoke ends the key and the token of the run, so that a folder that is kept does not collect
// them. The token comes last: it is what revokes.
func (r *devRun) revoke(ctx context.Context) {
	tokens, err := r.client.Tokens(ctx)
	if err != nil {
		return
	}
	slices.SortFunc(tokens, func(x, y api.Token) int { return strings.Compare(y.Kind, x.Kind) }) // sdk before api
	for _, t := range tokens {
		if t.Name == r.name {
			_ = r.client.RevokeToken(ctx, t.ID) // it expires by itself
		}
	}
}

// devStarted is what dev prints as JSON once it runs.
type devStarted struct {
	Server    string `json:"server"`
	Token     string `json:"token"`
	SDKKey    string `json:"sdkKey"`
	LoginLink string `json:"loginLink"`
	Data      string `json:"data"`
}

// greetDev says how to go on.
func (a *app) greetDev(srv *server.Server, data string, run *devRun) error {
	if a.format() == formatJSON {
		return a.printLine(devStarted{Server: srv.URL(), Token: run.token, SDKKey: run.key, LoginLink: srv.LoginLink(), Data: data})
	}
	kept := "in " + data
	if data != devFolder {
		kept = "gone when this ends (--keep keeps it in " + devFolder + ")"
	}
	s := a.style
	_, err := fmt.Fprintf(a.out, `%s  data: %s
Browser, once:  %s

Other terminals of yours find it by themselves:
  seatrial flag create search
  seatrial eval search --key u1

For a service (the key is of this run):
  export SEATRIAL_SERVER=%s
  export SEATRIAL_KEY=%s

  client, err := seatrial.Open(ctx, seatrial.WithService("shop"))
  search := client.BoolFlag("search", false)
  http.ListenAndServe("127.0.0.1:8080", seatrialhttp.NewHandler(client, mux))

Stop it with Ctrl-C.
`, s.bold(s.marked(markGood, "Seatrial runs on "+srv.URL())), kept, srv.LoginLink(), srv.URL(), run.key)
	return err
}
