package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

func newEnv(a *app) *cobra.Command {
	return group(groupWork, "env", "Environments: list, create, compare, promote between them",
		newEnvList(a), newEnvCreate(a), newEnvDelete(a), newEnvCompare(a), newEnvPromote(a))
}

var envColumns = []string{"NAME", "FLAGS", "SEGMENTS", "TRIALS", "REVISION"}

func newEnvList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List environments", Example: "  seatrial env list"}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		list, err := c.Environments(cmd.Context())
		if err != nil {
			return err
		}
		t := table{json: list, head: envColumns}
		for _, e := range list {
			t.rows = append(t.rows, []cell{text("%s", e.Key), text("%d", e.Flags), text("%d", e.Segments), text("%d", e.Trials), text("%d", e.Revision)})
		}
		return a.print(t)
	})
	return cmd
}

func newEnvCreate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create an environment", Args: cobra.ExactArgs(1),
		Long: "Create an environment: a flag set with a change log of its own. Commands use it with --env NAME, services with a key that is\n" +
			"for it: seatrial token create checkout --kind sdk --env NAME",
		Example: "  seatrial env create staging\n  seatrial flag list --env staging",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		e, err := c.CreateEnvironment(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.wrote(writing{}, e, "environment %s created; use it with --env %s", e.Key, e.Key)
	})
	return cmd
}

func newEnvDelete(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Stop an environment and set its data aside, on the server's disk", Args: cobra.ExactArgs(1),
		Example: "  seatrial env delete old-staging", ValidArgsFunction: a.complete(envNames),
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if err := c.DeleteEnvironment(cmd.Context(), args[0]); err != nil {
			return orSuggestEnv(cmd.Context(), c, err, args[0])
		}
		return a.wrote(writing{}, nil, "environment %s deleted; its folder on the server is set aside, not removed", args[0])
	})
	return cmd
}

func newEnvCompare(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "compare FROM TO", Short: "Show what would change in TO if everything of FROM went there", Args: cobra.ExactArgs(2),
		Example: "  seatrial env compare staging production", ValidArgsFunction: a.complete(envNames),
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		applied, err := c.Compare(cmd.Context(), args[1], args[0])
		if err != nil {
			return orSuggestEnv(cmd.Context(), c, err, args...)
		}
		return a.printDifferences(applied)
	})
	return cmd
}

func newEnvPromote(a *app) *cobra.Command {
	var w writing
	var p api.Promotion
	cmd := &cobra.Command{
		Use: "promote FROM TO", Short: "Bring definitions of FROM to TO, in one change", Args: cobra.ExactArgs(2), ValidArgsFunction: a.complete(envNames),
		Long: "Bring flags, segments and layers of FROM to TO, in one change: those that are named, or else all. What is the same already stays\n" +
			"untouched. Whether a flag is enabled, and member lists, stay as they are in TO; --state takes the first along.",
		Example: "  seatrial env promote staging production --flag search --dry-run\n  seatrial env promote staging production --reason \"release 42\"",
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&p.Flags, "flag", nil, "a `flag` (repeatable)")
	flags.StringArrayVar(&p.Segments, "segment", nil, "a `segment` (repeatable)")
	flags.StringArrayVar(&p.Layers, "layer", nil, "a `layer` (repeatable)")
	flags.BoolVar(&p.State, "state", false, "also whether flags are enabled")
	flags.BoolVar(&p.Prune, "prune", false, "also delete what FROM does not have; only with everything")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		p.From = args[0]
		if p.Prune && len(p.Flags)+len(p.Segments)+len(p.Layers) > 0 {
			return usage(errors.New("--prune is about everything: leave out --flag, --segment and --layer"))
		}
		applied, err := c.Promote(cmd.Context(), args[1], p, w.to(""))
		if err != nil {
			return orSuggestEnv(cmd.Context(), c, err, args...)
		}
		return a.printApplied(w, applied)
	})
	return cmd
}

// orSuggestEnv tells whether it is an environment that does not exist, and which one may be meant.
// Who may not list them gets err as it is.
func orSuggestEnv(ctx context.Context, c *api.Client, err error, names ...string) error {
	if !api.NotFound(err) || slices.Equal(names, []string{""}) {
		return err
	}
	there, failed := envNames(ctx, c)
	if failed != nil {
		return err
	}
	for _, name := range names {
		if !slices.Contains(there, name) {
			return noEnvironment(err, name, there)
		}
	}
	return err
}

func noEnvironment(err error, name string, there []string) error {
	return &named{err: err, text: fmt.Sprintf("there is no environment %q%s; `seatrial env list` shows what there is", name, flag.Suggest(name, slices.Values(there)))}
}
