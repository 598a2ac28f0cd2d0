// Package cli is the command seatrial: one file per noun.
//
// The commands speak HTTP to a control plane, through package api; only serve, dev and demo
// start one. Data goes to standard output, narration to standard error. What a script may rely
// on (exit codes, the shape of -o json and of TSV) is in docs/cli-json.md.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs the command line of this process and returns its exit code. An interrupt ends the
// command in good order, a second one ends the process at once.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from now on signals have their usual effect
	return run(ctx, os.Args[1:], newApp(os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// app is what commands share: the streams, the terminal, and the settings of this call.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	// style is that of standard output, narration that of standard error.
	style, narration style

	server, token string
	environment   string
	output        string
	quiet         bool
}

func newApp(in io.Reader, out, err io.Writer, getenv func(string) string) *app {
	return &app{in: in, out: out, err: err, getenv: getenv, style: newStyle(out, getenv), narration: newStyle(err, getenv)}
}

func run(ctx context.Context, args []string, a *app) int {
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	code := exitCode(err)
	var silent *exit
	if err != nil && !(errors.As(err, &silent) && silent.err == nil) {
		fmt.Fprintf(a.err, "error: %v\n", err)
	}
	if code == exitUsage && cmd != nil {
		fmt.Fprintf(a.err, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

// Groups of commands in the help.
const (
	groupStart = "start"
	groupWork  = "work"
	groupLook  = "look"
)

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "seatrial",
		Short: "Feature flags, canaries, chaos and tracing that test changes in production, safely",
		Example: `  seatrial demo                      see a canary promoted, one rolled back, and a fault survived
  seatrial dev                       run a control plane on this machine
  seatrial rollout start new-search --flag search --treatment on --control off
  seatrial rollout get new-search -w`,
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.AddGroup(&cobra.Group{ID: groupStart, Title: "Run it:"},
		&cobra.Group{ID: groupWork, Title: "Change things:"}, &cobra.Group{ID: groupLook, Title: "Look:"})
	flags := root.PersistentFlags()
	flags.StringVar(&a.server, "server", "", "URL of the control plane (default $SEATRIAL_SERVER, then what login stored, then a running dev or demo)")
	flags.StringVar(&a.token, "token", "", "API token (default $SEATRIAL_TOKEN, then as for --server)")
	flags.StringVarP(&a.environment, "env", "e", "", "environment (default $SEATRIAL_ENVIRONMENT, then that of the token, then the server's first)")
	flags.StringVarP(&a.output, "output", "o", "", "output: table, tsv or json (default table on a terminal, else tsv)")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no narration on standard error")
	root.AddCommand(newServe(a), newDev(a), newDemo(a), newLogin(a), newLogout(a),
		newFlag(a), newSegment(a), newLayer(a), newSchedule(a), newEnv(a), newRollout(a), newChaos(a), newHalt(a), newWebhook(a), newToken(a),
		newApply(a), newDiff(a), newValidate(a), newExport(a), newImport(a),
		newDependency(a), newPoint(a), newTrace(a), newEval(a), newExplain(a), newVerdict(a), newSimulate(a), newChange(a), newVersion(a))
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.checkOutput() }
	root.SetUsageTemplate(usageTemplate)
	beStrict(root)
	return root
}

// usageTemplate is cobra's, with the examples first and without an invocation that only shows help.
const usageTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}Usage:
{{if .HasAvailableSubCommands}}  {{.CommandPath}} COMMAND [flags]{{else}}  {{.UseLine}}{{end}}
{{if .HasAvailableSubCommands}}{{$all := .Commands}}{{range $group := .Groups}}
{{.Title}}{{range $all}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if not .AllChildCommandsHaveGroup}}
{{if .Groups}}Besides:{{else}}Commands:{{end}}{{range $all}}{{if and (eq .GroupID "") (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableSubCommands}}
Use "{{.CommandPath}} COMMAND --help" for more about a command.
{{end}}`

// say narrates on standard error, unless --quiet.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}
