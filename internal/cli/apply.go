package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/definition"
	"github.com/spf13/cobra"
)

// applying is what apply and diff are asked.
type applying struct {
	writing
	paths []string
	prune bool
}

func (w *applying) withFlags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&w.paths, "file", "f", nil, "`PATH` of a file or folder with definitions, - for standard input (repeatable)")
	cmd.Flags().BoolVar(&w.prune, "prune", false, "also delete flags, segments and layers that the files do not define")
}

func newApply(a *app) *cobra.Command {
	var w applying
	cmd := &cobra.Command{
		Use: "apply -f PATH", GroupID: groupWork, Short: "Make the definitions of files those of the environment, in one change", Args: cobra.NoArgs,
		Long: "Make the definitions of files (of Seatrial in YAML or JSON, or of flagd) those of the environment, in one change: all of it or\n" +
			"nothing. What is so already stays untouched, so applying twice changes nothing. Member lists of segments are kept.",
		Example: "  seatrial apply -f flags/ --dry-run\n  seatrial apply -f flags/ --env staging --reason \"release 42\"\n  seatrial apply -f flags.yaml --prune",
	}
	w.withFlags(cmd)
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		applied, err := a.apply(cmd.Context(), c, w)
		if err != nil {
			return err
		}
		return a.printApplied(w.writing, applied)
	})
	return cmd
}

func newDiff(a *app) *cobra.Command {
	w := applying{writing: writing{dryRun: true}}
	cmd := &cobra.Command{
		Use: "diff -f PATH", GroupID: groupWork, Short: "Show what applying files would change, line by line", Args: cobra.NoArgs,
		Long:    "Show what `seatrial apply` with the same files would change, line by line. Nothing is stored.",
		Example: "  seatrial diff -f flags/\n  seatrial diff -f flags/ --prune --env production",
	}
	w.withFlags(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		applied, err := a.apply(cmd.Context(), c, w)
		if err != nil {
			return err
		}
		return a.printDifferences(applied)
	})
	return cmd
}

func (a *app) apply(ctx context.Context, c *api.Client, w applying) (api.Applied, error) {
	if len(w.paths) == 0 {
		return api.Applied{}, usage(errors.New("which files? name them with -f, a folder or - for standard input"))
	}
	bundle, err := a.readBundle(w.paths)
	if err != nil {
		return api.Applied{}, err
	}
	if faults := twice(bundle); len(faults) > 0 {
		return api.Applied{}, faults
	}
	batch, err := batchOf(ctx, c, bundle, w.prune)
	if err != nil {
		return api.Applied{}, err
	}
	applied, err := c.Apply(ctx, batch, w.to(""))
	return applied, inFiles(bundle, err)
}

// twice finds what the files define more than once.
func twice(b *definition.Bundle) (faults definition.Faults) {
	check := func(kind string, keys []string) {
		seen := map[string]bool{}
		for i, key := range keys {
			if seen[key] {
				faults = append(faults, b.Locate(flag.Problem{Pointer: flag.Pointer("/"+kind+"s", i, "key"), Detail: fmt.Sprintf("%s %q is there twice; keep one of the two", kind, key)}))
			}
			seen[key] = true
		}
	}
	check("flag", namesOf(b.Flags, func(f flag.Flag) string { return f.Key }))
	check("segment", namesOf(b.Segments, func(s flag.Segment) string { return s.Key }))
	check("layer", namesOf(b.Layers, func(l flag.Layer) string { return l.Key }))
	return faults
}

// inFiles says where in the files stands what the control plane does not take.
func inFiles(b *definition.Bundle, err error) error {
	var problem *api.Problem
	if !errors.As(err, &problem) || len(problem.Errors) == 0 {
		return err
	}
	lines := []string{problem.Title}
	for _, field := range problem.Errors {
		fault := b.Locate(flag.Problem{Pointer: field.Pointer, Detail: field.Detail})
		if fault.File == "" {
			lines = append(lines, field.Pointer+": "+field.Detail)
			continue
		}
		lines = append(lines, fault.String())
	}
	return &named{err: err, text: strings.Join(lines, "\n  ")}
}

// batchOf gives what makes a bundle the state of an environment.
func batchOf(ctx context.Context, c *api.Client, b *definition.Bundle, prune bool) (api.Batch, error) {
	set, err := c.Snapshot(ctx)
	if err != nil {
		return api.Batch{}, err
	}
	batch := api.Batch{Flags: b.Flags, Segments: slices.Clone(b.Segments), Layers: b.Layers}
	lists := map[string]*flag.List{}
	for _, s := range set.Segments {
		lists[s.Key] = s.List
	}
	for i := range batch.Segments {
		if s := &batch.Segments[i]; s.List == nil && s.Rule == nil {
			s.List = lists[s.Key]
		}
	}
	if prune {
		batch.DeleteFlags = missing(set.Flags, b.Flags, func(f flag.Flag) string { return f.Key })
		batch.DeleteSegments = missing(set.Segments, b.Segments, func(s flag.Segment) string { return s.Key })
		batch.DeleteLayers = missing(set.Layers, b.Layers, func(l flag.Layer) string { return l.Key })
	}
	return batch, nil
}

// missing gives the keys of what is stored and not wanted.
func missing[T any](stored, wanted []T, key func(T) string) (keys []string) {
	keep := make(map[string]bool, len(wanted))
	for _, w := range wanted {
		keep[key(w)] = true
	}
	for _, s := range stored {
		if k := key(s); !keep[k] {
			keys = append(keys, k)
		}
	}
	return keys
}

var appliedColumns = []string{"ACTION", "KIND", "KEY"}

var actionMarks = map[string]mark{"created": markGood, "updated": markWarn, "deleted": markBad, "unchanged": markQuiet}

// printApplied shows what a batch did: what it left as it was is only counted, except as JSON.
func (a *app) printApplied(w writing, applied api.Applied) error {
	t := table{json: applied, head: appliedColumns}
	for _, item := range applied.Items {
		if item.Action != "unchanged" {
			t.rows = append(t.rows, []cell{marked(actionMarks[item.Action], item.Action), text("%s", item.Kind), text("%s", item.Key)})
		}
	}
	if err := a.print(t); err != nil {
		return err
	}
	a.sayApplied(w, applied)
	return nil
}

// sayApplied narrates how much a batch did.
func (a *app) sayApplied(w writing, applied api.Applied) {
	counts := map[string]int{}
	for _, item := range applied.Items {
		counts[item.Action]++
	}
	var parts []string
	for _, action := range []string{"created", "updated", "deleted", "unchanged"} {
		if counts[action] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[action], action))
		}
	}
	summary := orElse(strings.Join(parts, ", "), "it is all so already")
	switch {
	case w.dryRun:
		a.say("%s", a.narration.marked(markQuiet, "dry run, nothing was stored: "+summary))
	case applied.Revision == 0:
		a.say("%s", a.narration.marked(markGood, "nothing to change: "+summary))
	default:
		a.say("%s", a.narration.marked(markGood, fmt.Sprintf("%s, revision %d; to undo: seatrial change revert %d", summary, applied.Revision, applied.Revision)))
	}
}

// difference is one entity of what diff prints as JSON.
type difference struct {
	Kind   string     `json:"kind"`
	Key    string     `json:"key"`
	Action string     `json:"action"`
	Lines  []lineDiff `json:"lines"`
}

func (a *app) printDifferences(applied api.Applied) error {
	differences := []difference{}
	for _, item := range applied.Items {
		if item.Action != "unchanged" {
			differences = append(differences, difference{item.Kind, item.Key, item.Action, diffLines(linesOf(item.Before), linesOf(item.After))})
		}
	}
	switch a.format() {
	case formatJSON:
		return a.printJSON(differences)
	case formatTSV:
		var rows [][]cell
		for _, d := range differences {
			for _, l := range d.Lines {
				if l.Op != " " {
					rows = append(rows, []cell{text("%s", d.Kind), text("%s", d.Key), text("%s", l.Op), text("%s", l.Line)})
				}
			}
		}
		return writeTSV(a.out, rows)
	}
	if len(differences) == 0 {
		a.say("%s", a.narration.marked(markGood, "no differences"))
	}
	for _, d := range differences {
		title := a.style.marked(actionMarks[d.Action], fmt.Sprintf("%s %s %s", d.Kind, d.Key, d.Action))
		if _, err := io.WriteString(a.out, title+"\n"); err != nil {
			return err
		}
		if err := a.writeDiff(d.Lines); err != nil {
			return err
		}
	}
	return nil
}

func linesOf(raw json.RawMessage) []string {
	if len(raw) == 0 {
		return nil
	}
	return jsonLines(raw)
}
