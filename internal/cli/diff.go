package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

// lineDiff is one line of a difference.
type lineDiff struct {
	// Op is " " for a line on both sides, "-" for one on the old side, "+" for one on the new.
	Op   string `json:"op"`
	Line string `json:"line"`
}

// flagDiff is what flag diff prints as JSON.
type flagDiff struct {
	Flag  string     `json:"flag"`
	From  int64      `json:"from"`         // revision; 0: there was no flag
	To    int64      `json:"to,omitempty"` // revision; 0: the file
	Lines []lineDiff `json:"lines"`
}

func newFlagDiff(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "diff NAME [FROM [TO]]", Short: "Show how a flag changed", Args: cobra.RangeArgs(1, 3), ValidArgsFunction: a.complete(flagNames),
		Long: "Show how a flag changed: from the revision before the newest to the newest, or between two revisions of the log,\n" +
			"or from what is stored to a file.",
		Example: `  seatrial flag diff search
  seatrial flag diff search 12 15
  seatrial flag diff search -f search.yaml`,
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "compare what is stored with this JSON or YAML file, - for standard input")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if file != "" && len(args) > 1 {
			return usage(errors.New("revisions and --file do not go together"))
		}
		if file != "" {
			return a.diffWithFile(cmd, c, args[0], file)
		}
		versions, err := c.Changes(cmd.Context(), api.ChangeFilter{Kind: "flag", Key: args[0]})
		if err != nil {
			return err
		}
		if len(versions) == 0 {
			return fmt.Errorf("the log has no change of flag %q: `seatrial flag list` shows what there is", args[0])
		}
		from, to, err := pickVersions(args, versions)
		if err != nil {
			return err
		}
		return a.printDiff(flagDiff{Flag: args[0], From: from.Revision, To: to.Revision,
			Lines: diffLines(versionLines(from, args[0]), versionLines(to, args[0]))})
	})
	return cmd
}

func (a *app) diffWithFile(cmd *cobra.Command, c *api.Client, key, file string) error {
	stored, _, err := c.Flag(cmd.Context(), key)
	if err != nil {
		return orSuggest(err, "flag", key, known(cmd.Context(), c, flagNames))
	}
	wanted, err := a.flagFromFile([]string{key}, file)
	if err != nil {
		return err
	}
	return a.printDiff(flagDiff{Flag: key, From: stored.Revision, Lines: diffLines(jsonLines(stored.Flag), jsonLines(wanted))})
}

// pickVersions gives the versions that held at the revisions asked for. versions are newest first.
func pickVersions(args []string, versions []api.Change) (from, to api.Change, err error) {
	to = versions[0]
	if len(versions) > 1 {
		from = versions[1]
	}
	if len(args) < 2 {
		return from, to, nil
	}
	pick := func(text string) (api.Change, error) {
		revision, err := parseRevision(text)
		if err != nil {
			return api.Change{}, err
		}
		for _, v := range versions {
			if v.Revision <= revision {
				return v, nil
			}
		}
		return api.Change{}, nil // not made yet
	}
	if from, err = pick(args[1]); err == nil && len(args) == 3 {
		to, err = pick(args[2])
	}
	return from, to, err
}

func versionLines(change api.Change, key string) []string {
	for _, op := range change.Ops {
		if op.Kind == "flag" && op.Key == key && !deletes(op) {
			return jsonLines(op.Value)
		}
	}
	return nil
}

// jsonLines writes v with one value on a line and fields in alphabetical order.
func jsonLines(v any) []string {
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var plain any
	if decoder.Decode(&plain) != nil {
		return nil
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if encoder.Encode(plain) != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

func (a *app) printDiff(d flagDiff) error {
	switch a.format() {
	case formatJSON:
		return a.printJSON(d)
	case formatTSV:
		rows := make([][]cell, len(d.Lines))
		for i, l := range d.Lines {
			rows[i] = []cell{text("%s", l.Op), text("%s", l.Line)}
		}
		return writeTSV(a.out, rows)
	}
	if !slices.ContainsFunc(d.Lines, func(l lineDiff) bool { return l.Op != " " }) {
		a.say("%s", a.narration.marked(markGood, "no differences"))
		return nil
	}
	return a.writeDiff(d.Lines)
}

// writeDiff shows a difference to people: what changed, and some lines around it.
func (a *app) writeDiff(lines []lineDiff) error {
	marks := map[string]mark{"+": markGood, "-": markBad, " ": markQuiet}
	var b strings.Builder
	for i, l := range lines {
		if !nearChange(lines, i) {
			if i == 0 || nearChange(lines, i-1) {
				b.WriteString(a.style.paint(markQuiet, a.style.choose("  …", "  ...")) + "\n")
			}
			continue
		}
		b.WriteString(a.style.paint(marks[l.Op], l.Op+" "+l.Line) + "\n")
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

// diffContext is how many lines around a change are shown to people.
const diffContext = 4

func nearChange(lines []lineDiff, i int) bool {
	around := lines[max(0, min(i-diffContext, len(lines))):max(0, min(i+diffContext+1, len(lines)))]
	return slices.ContainsFunc(around, func(l lineDiff) bool { return l.Op != " " })
}

// maxDiffLines bounds the table of diffLines to a few MB; longer texts are compared as a whole.
const maxDiffLines = 2000

// diffLines gives the lines of x and y with those they share, by longest common subsequence.
func diffLines(x, y []string) []lineDiff {
	out := []lineDiff{}
	take := func(op string, lines ...string) {
		for _, line := range lines {
			out = append(out, lineDiff{op, line})
		}
	}
	if len(x) > maxDiffLines || len(y) > maxDiffLines {
		take("-", x...)
		take("+", y...)
		return out
	}
	common := commonLengths(x, y)
	i, j := 0, 0
	for i < len(x) && j < len(y) {
		switch {
		case x[i] == y[j]:
			take(" ", x[i])
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			take("-", x[i])
			i++
		default:
			take("+", y[j])
			j++
		}
	}
	take("-", x[i:]...)
	take("+", y[j:]...)
	return out
}

// commonLengths gives, for each pair of places, how many lines the rests have in common.
func commonLengths(x, y []string) [][]int {
	table := make([][]int, len(x)+1)
	for i := range table {
		table[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	return table
}
