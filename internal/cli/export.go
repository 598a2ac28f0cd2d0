package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/flagd"
	"github.com/spf13/cobra"
)

var exportFormats = []string{"seatrial", "flagd"}

func newExport(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "export", GroupID: groupWork, Short: "Print all definitions of the environment, as a file", Args: cobra.NoArgs,
		Long: "Print all flags, segments and layers of the environment as a file that `seatrial apply` takes: YAML, or JSON with -o json.\n\n" +
			"With --format flagd it is a flagd file (JSON) that gives the same variants in every flagd client, running trials included. What\n" +
			"flagd cannot say (regular expressions, networks, dates, long lists) is exported as disabled, marked, and named here.",
		Example: "  seatrial export > flags.yaml\n  seatrial export --format flagd --env production > flagd.json",
	}
	cmd.Flags().StringVar(&format, "format", "seatrial", "seatrial or flagd")
	completeWords(cmd, "format", exportFormats...)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if err := oneOf("format", format, exportFormats...); err != nil {
			return err
		}
		set, err := c.Snapshot(cmd.Context())
		if err != nil {
			return err
		}
		if format == "flagd" {
			return a.exportFlagd(set)
		}
		return a.exportBundle(bundle{Flags: set.Flags, Segments: set.Segments, Layers: set.Layers})
	})
	return cmd
}

// bundle is a definition file.
type bundle struct {
	Flags    []flag.Flag    `json:"flags"`
	Segments []flag.Segment `json:"segments,omitempty"`
	Layers   []flag.Layer   `json:"layers,omitempty"`
}

func (a *app) exportBundle(b bundle) error {
	if b.Flags == nil {
		b.Flags = []flag.Flag{}
	}
	if a.format() == formatJSON {
		return a.printJSON(b)
	}
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	text, err := yamlOf(data)
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.out, text)
	return err
}

func (a *app) exportFlagd(set flag.Set) error {
	document, err := flagd.Export(set)
	if err != nil {
		return err
	}
	if err := a.printJSON(document); err != nil {
		return err
	}
	slices.Sort(document.ServerEvaluated)
	for _, key := range document.ServerEvaluated {
		a.say("%s", a.narration.marked(markWarn, fmt.Sprintf("flag %s is for the server only, in-process clients use the code's default: %s", key, document.Reasons[key])))
	}
	return nil
}
