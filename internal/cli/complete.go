package cli

import (
	"context"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

// completing bounds how long the shell waits for names.
const completing = 2 * time.Second

type completion = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// names lists what exists of one noun.
type names func(ctx context.Context, c *api.Client) ([]string, error)

func flagNames(ctx context.Context, c *api.Client) ([]string, error) {
	flags, err := c.Flags(ctx)
	return namesOf(flags, func(f api.Flag) string { return f.Key }), err
}

func segmentNames(ctx context.Context, c *api.Client) ([]string, error) {
	segments, err := c.Segments(ctx)
	return namesOf(segments, func(s api.Segment) string { return s.Key }), err
}

func envNames(ctx context.Context, c *api.Client) ([]string, error) {
	environments, err := c.Environments(ctx)
	return namesOf(environments, func(e api.Environment) string { return e.Key }), err
}

func layerNames(ctx context.Context, c *api.Client) ([]string, error) {
	layers, err := c.Layers(ctx)
	return namesOf(layers, func(l api.Layer) string { return l.Key }), err
}

func tokenNames(ctx context.Context, c *api.Client) ([]string, error) {
	tokens, err := c.Tokens(ctx)
	return namesOf(tokens, func(t api.Token) string { return t.ID }), err
}

func namesOf[T any](list []T, name func(T) string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = name(v)
	}
	return out
}

// known gives the names for a suggestion; without an answer there is no suggestion.
func known(ctx context.Context, c *api.Client, list names) func() []string {
	return func() []string {
		found, _ := list(ctx, c)
		return found
	}
}

// complete offers the names of what exists as the first argument.
func (a *app) complete(list names) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.offer(cmd, list)
	}
}

// completeThenFile offers the names as the first argument and files as the second.
func (a *app) completeThenFile(list names) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return a.complete(list)(cmd, args, typed)
	}
}

// completeFlag offers the names as the value of a command-line flag.
func (a *app) completeFlag(cmd *cobra.Command, name string, list names) {
	_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.offer(cmd, list)
	})
}

func completeWords(cmd *cobra.Command, name string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	})
}

func (a *app) offer(cmd *cobra.Command, list names) ([]string, cobra.ShellCompDirective) {
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completing)
	defer cancel()
	found, _ := list(ctx, c)
	return found, cobra.ShellCompDirectiveNoFileComp
}

// traceNames offers the newest traces.
func traceNames(ctx context.Context, c *api.Client) ([]string, error) {
	traces, err := c.Traces(ctx, api.TraceFilter{Limit: 20})
	return namesOf(traces, func(t api.TraceSummary) string { return t.TraceID + "\t" + t.Service + " " + t.Root }), err
}
