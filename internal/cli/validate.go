package cli

import (
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/internal/definition"
	"github.com/spf13/cobra"
)

func newValidate(a *app) *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use: "validate PATH...", GroupID: groupWork, Short: "Check definition files, without a control plane", Args: cobra.ArbitraryArgs,
		Long: "Check files that define flags, segments and layers, in the form of Seatrial (YAML or JSON) or of flagd, as a set that stands on\n" +
			"its own: with the code that evaluates them. A folder is searched for .json, .yaml and .yml. Each fault is printed with file, line\n" +
			"and column. --schema prints the JSON Schema of the files, for editors.",
		Example: "  seatrial validate flags/\n  seatrial validate --schema > seatrial.schema.json",
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of definition files and check nothing")
	cmd.RunE = func(_ *cobra.Command, paths []string) error {
		if schema {
			_, err := a.out.Write(definition.Schema)
			return err
		}
		if len(paths) == 0 {
			return usage(errors.New("which files? name files or folders, or - for standard input"))
		}
		bundle, err := a.readBundle(paths)
		hint := "; what the files say together is checked when each can be read"
		if err == nil {
			err, hint = bundle.Validate(), ""
		}
		var faults definition.Faults
		if !errors.As(err, &faults) && err != nil {
			return err
		}
		if err := a.print(faultTable(faults)); err != nil {
			return err
		}
		if len(faults) > 0 {
			return errors.New(counted(len(faults), "fault") + hint)
		}
		a.say("%s", a.narration.marked(markGood, fmt.Sprintf("%s, %s and %s are valid", counted(len(bundle.Flags), "flag"),
			counted(len(bundle.Segments), "segment"), counted(len(bundle.Layers), "layer"))))
		return nil
	}
	return cmd
}

var faultColumns = []string{"PLACE", "POINTER", "DETAIL"}

func faultTable(faults definition.Faults) table {
	t := table{json: orEmpty(faults), head: faultColumns, wrap: true}
	for _, f := range faults {
		t.rows = append(t.rows, []cell{text("%s:%d:%d", f.File, f.Line, f.Column), text("%s", f.Pointer), text("%s", f.Detail)})
	}
	return t
}

func orEmpty(faults definition.Faults) definition.Faults {
	if faults == nil {
		return definition.Faults{}
	}
	return faults
}

// counted gives "1 flag", "3 flags".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
