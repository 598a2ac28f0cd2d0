package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/definition"
	"github.com/seatrial/seatrial/internal/importer"
	"github.com/spf13/cobra"
)

// fromFlagd is the source that package importer has not: its definitions are kept as they are.
const fromFlagd = "flagd"

// importing is what import is asked.
type importing struct {
	writing
	from, environment string
	print, overwrite  bool
}

// imported is what import prints as JSON.
type imported struct {
	Source  string          `json:"source"`
	Notes   []importer.Note `json:"notes"`
	Applied api.Applied     `json:"applied"`
}

func newImport(a *app) *cobra.Command {
	var w importing
	cmd := &cobra.Command{
		Use: "import FILE", GroupID: groupWork, Short: "Bring flags from another system here, in one change", Args: cobra.ExactArgs(1),
		Long: "Bring the flags and segments of another system's file here, in one change, and say of each who keeps the variant and who does\n" +
			"not: every system has a hash of its own, so the users of percentages are dealt out anew. What cannot be said here is left\n" +
			"out, never imported as something else. Flags that exist here and differ are only replaced with --overwrite.\n\n" + sourcesHelp(),
		Example: "  seatrial import --from launchdarkly flags.json --environment production --dry-run\n" +
			"  seatrial import flags.goff.yaml --print > flags/imported.yaml\n  seatrial import unleash.json --env staging --reason \"we move\"",
	}
	flags := cmd.Flags()
	flags.StringVar(&w.from, "from", "", strings.Join(sourceNames(), ", ")+" (default: what the file looks like)")
	flags.StringVar(&w.environment, "environment", "", "the environment in the file, if it has several; --env is the one here")
	flags.BoolVar(&w.print, "print", false, "print a definition file instead, for seatrial apply; the notes go to standard error")
	flags.BoolVar(&w.overwrite, "overwrite", false, "replace flags and segments that exist here")
	w.withDryRun(cmd)
	completeWords(cmd, "from", sourceNames()...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if w.from != "" {
			if err := oneOf("from", w.from, sourceNames()...); err != nil {
				return err
			}
		}
		source, result, err := a.readForeign(args[0], w)
		if err != nil {
			return err
		}
		if w.print {
			return a.printImported(source, result)
		}
		return a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
			return a.applyImported(cmd.Context(), c, source, result, w)
		})(cmd, args)
	}
	return cmd
}

func sourceNames() []string {
	return append(namesOf(importer.Sources(), func(s importer.Source) string { return s.Name }), fromFlagd)
}

func sourcesHelp() string {
	var b strings.Builder
	b.WriteString("The files:\n")
	for _, s := range importer.Sources() {
		fmt.Fprintf(&b, "  %-13s %s\n", s.Name, s.Hint)
	}
	fmt.Fprintf(&b, "  %-13s %s", fromFlagd, "a flag file; its flags are kept as they are and evaluated as flagd does")
	return b.String()
}

// readForeign reads another system's file, "-" is standard input.
func (a *app) readForeign(path string, w importing) (source string, result *importer.Result, err error) {
	data, err := a.readInput(path, definition.MaxFile)
	if err != nil {
		return "", nil, err
	}
	from, known := importer.Detect(data)
	if w.from != "" {
		i := slices.IndexFunc(importer.Sources(), func(s importer.Source) bool { return s.Name == w.from })
		if known = i >= 0; known {
			from = importer.Sources()[i]
		}
	}
	switch {
	case known:
		result, err = from.Import(data, importer.Options{Environment: w.environment, Now: time.Now()})
		return from.Name, result, inFile(path, err)
	case w.environment != "":
		return "", nil, usage(errors.New("--environment: a file of flagd has no environments, leave it out"))
	}
	result, err = importFlagd(shownPath(path), data)
	return fromFlagd, result, err
}

// inFile names the file in errors of package importer, which does not know it.
func inFile(path string, err error) error {
	var faults definition.Faults
	switch {
	case err == nil:
		return nil
	case errors.As(err, &faults):
		for i := range faults {
			faults[i].File = shownPath(path)
		}
		return faults
	case errors.Is(err, importer.ErrEnvironment):
		return fmt.Errorf("%s: %w with --environment", shownPath(path), err)
	}
	return fmt.Errorf("%s: %w", shownPath(path), err)
}

// importFlagd reads a file of flagd: what can be evaluated is kept as it is.
func importFlagd(name string, data []byte) (*importer.Result, error) {
	b := &definition.Bundle{Evaluate: true}
	if err := b.Add(name, data); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(b.Flags, func(f flag.Flag) bool { return f.Definition == nil }) || len(b.Flags) == 0 {
		return nil, fmt.Errorf("%s: is of no system that is known: use --from with %s; files of Seatrial itself are for seatrial apply", name, either(slices.Values(sourceNames())))
	}
	result := &importer.Result{Segments: b.Segments}
	broken := b.TakeBroken()
	for _, key := range slices.Sorted(maps.Keys(broken)) {
		result.Notes = append(result.Notes, importer.Note{Flag: key, Level: importer.Skipped, Detail: broken[key].Error()})
	}
	for _, f := range b.Flags {
		result.Flags = append(result.Flags, f)
		result.Notes = append(result.Notes, importer.Note{Flag: f.Key, Level: importer.Kept, Detail: "everybody keeps the variant: the definition is kept as it is"})
	}
	for _, name := range slices.Sorted(maps.Keys(b.Metadata)) {
		if name != "flagSetId" && name != "version" {
			result.Notes = append(result.Notes, importer.Note{Level: importer.Lossy, Detail: fmt.Sprintf("metadata %q of the file is not kept; the flags' own is", name)})
		}
	}
	return result, b.Validate()
}

func (a *app) printImported(source string, r *importer.Result) error {
	if !a.quiet {
		if _, err := io.WriteString(a.err, a.narration.wrapped(noteColumns, noteTable(r).rows)); err != nil {
			return err
		}
	}
	a.say("%s", importedSummary(source, r))
	return a.exportBundle(bundle{Flags: r.Flags, Segments: r.Segments})
}

// applyImported makes the flags those of the environment, unless they would replace others.
func (a *app) applyImported(ctx context.Context, c *api.Client, source string, r *importer.Result, w importing) error {
	batch, err := batchOf(ctx, c, &definition.Bundle{Flags: r.Flags, Segments: r.Segments}, false)
	if err != nil {
		return err
	}
	var applied api.Applied
	if len(r.Flags)+len(r.Segments) > 0 {
		if applied, err = c.Apply(ctx, batch, api.Write{DryRun: true}); err != nil {
			return err
		}
	}
	if !w.overwrite {
		if err := replaces(applied); err != nil {
			return err
		}
	}
	if !w.dryRun && len(applied.Items) > 0 {
		to := w.to("")
		to.Reason = orElse(w.reason, "Imported from "+source+".")
		if applied, err = c.Apply(ctx, batch, to); err != nil {
			return err
		}
	}
	t := noteTable(r)
	t.json = imported{Source: source, Notes: r.Notes, Applied: applied}
	if err := a.print(t); err != nil {
		return err
	}
	a.say("%s", importedSummary(source, r))
	a.sayApplied(w.writing, applied)
	if len(r.Flags) == 0 {
		return errors.New("no flag was imported")
	}
	return nil
}

// replaces refuses to change what exists here.
func replaces(applied api.Applied) error {
	var names []string
	for _, item := range applied.Items {
		if item.Action == "updated" {
			names = append(names, item.Kind+" "+item.Key)
		}
	}
	if len(names) == 0 {
		return nil
	}
	const most = 5
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return &exit{code: exitConflict, err: fmt.Errorf("%s: these exist here and differ; --overwrite replaces them, --env imports into another environment", strings.Join(names, ", "))}
}

var (
	noteColumns = []string{"FLAG", "LEVEL", "DETAIL"}
	noteMarks   = map[importer.Level]mark{importer.Kept: markGood, importer.Rebucketed: markWarn, importer.Lossy: markWarn, importer.Skipped: markBad}
)

func noteTable(r *importer.Result) table {
	t := table{json: r.Notes, head: noteColumns, wrap: true}
	for _, n := range r.Notes {
		t.rows = append(t.rows, []cell{{plain: n.Flag, shown: orElse(n.Flag, "(all)")}, marked(noteMarks[n.Level], string(n.Level)), text("%s", n.Detail)})
	}
	return t
}

// importedSummary counts flags by the worst that is noted about each.
func importedSummary(source string, r *importer.Result) string {
	worst := []importer.Level{importer.Kept, importer.Rebucketed, importer.Lossy, importer.Skipped}
	levels := map[string]int{}
	for _, n := range r.Notes {
		if n.Flag != "" && !strings.HasPrefix(n.Flag, "segment ") {
			levels[n.Flag] = max(levels[n.Flag], slices.Index(worst, n.Level))
		}
	}
	counts := make([]int, len(worst))
	for _, level := range levels {
		counts[level]++
	}
	parts := []string{counted(len(r.Flags), "flag"), counted(len(r.Segments), "segment")}
	for i, says := range []string{"keep every variant", "deal a percentage out anew", "differ in something", "cannot be imported"} {
		if counts[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[i], says))
		}
	}
	return "read as a file of " + source + ": " + strings.Join(parts, ", ")
}
