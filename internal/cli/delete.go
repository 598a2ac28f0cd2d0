package cli

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

// deletion says how the entities of a noun are deleted.
type deletion struct {
	noun, short, example string
	names                func(context.Context, *api.Client) ([]string, error)
	etag                 func(context.Context, *api.Client, string) (string, error)
	remove               func(*api.Client, context.Context, string, api.Write) error
	after                string // what to know once it is gone
}

// newDelete deletes what is there now, and nothing that somebody has changed meanwhile.
func newDelete(a *app, d deletion) *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use: "delete NAME", Short: d.short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(d.names), Example: d.example,
	}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		etag, err := d.etag(cmd.Context(), c, args[0])
		if err == nil {
			err = d.remove(c, cmd.Context(), args[0], w.to(etag))
		}
		if err != nil {
			return orSuggest(err, d.noun, args[0], known(cmd.Context(), c, d.names))
		}
		return a.wrote(w, nil, "%s", fmt.Sprintf("%s %s deleted%s", d.noun, args[0], d.after))
	})
	return cmd
}

func newFlagDelete(a *app) *cobra.Command {
	return newDelete(a, deletion{noun: "flag", short: "Delete a flag; code that asks for it gets its own default",
		example: "  seatrial flag delete search --reason \"shipped long ago\"", names: flagNames, remove: (*api.Client).DeleteFlag,
		etag: func(ctx context.Context, c *api.Client, key string) (string, error) {
			_, etag, err := c.Flag(ctx, key)
			return etag, err
		},
		after: "; `seatrial change list` has what it was"})
}

func newSegmentDelete(a *app) *cobra.Command {
	return newDelete(a, deletion{noun: "segment", short: "Delete a segment that nothing uses",
		example: "  seatrial segment delete friends", names: segmentNames, remove: (*api.Client).DeleteSegment,
		etag: func(ctx context.Context, c *api.Client, key string) (string, error) {
			_, etag, err := c.Segment(ctx, key)
			return etag, err
		}})
}

func newLayerDelete(a *app) *cobra.Command {
	return newDelete(a, deletion{noun: "layer", short: "Delete a layer; its flags are free to try on everybody",
		example: "  seatrial layer delete search", names: layerNames, remove: (*api.Client).DeleteLayer,
		etag: func(ctx context.Context, c *api.Client, key string) (string, error) {
			_, etag, err := c.Layer(ctx, key)
			return etag, err
		}})
}
