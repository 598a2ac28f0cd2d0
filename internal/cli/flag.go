package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

func newFlag(a *app) *cobra.Command {
	return group(groupWork, "flag", "Feature flags: list, change, look back",
		newFlagList(a), newFlagGet(a), newFlagCreate(a), newFlagSet(a),
		newFlagSwitch(a, "enable", true), newFlagSwitch(a, "disable", false), newFlagArchive(a), newFlagRestore(a), newFlagDelete(a),
		newFlagStale(a), newHistory(a, "flag", flagNames), newFlagDiff(a))
}

var flagColumns = []string{"KEY", "KIND", "TYPE", "STATE", "DEFAULT", "RULES", "REVISION", "DESCRIPTION"}

func newFlagList(a *app) *cobra.Command {
	var kind, tag string
	cmd := &cobra.Command{
		Use: "list", Short: "List flags",
		Example: "  seatrial flag list\n  seatrial flag list --kind fault -o json",
	}
	cmd.Flags().StringVar(&kind, "kind", "", "only flags of this kind: release, config, fault or policy")
	cmd.Flags().StringVar(&tag, "tag", "", "only flags with this tag")
	completeWords(cmd, "kind", flagKinds...)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		if kind != "" {
			if err := oneOf("kind", kind, flagKinds...); err != nil {
				return err
			}
		}
		flags, err := c.Flags(cmd.Context())
		if err != nil {
			return err
		}
		return a.print(flagTable(selectFlags(flags, kind, tag)))
	})
	return cmd
}

var (
	flagKinds = []string{string(flag.KindRelease), string(flag.KindConfig), string(flag.KindFault), string(flag.KindPolicy)}
	flagTypes = []string{string(flag.TypeBoolean), string(flag.TypeString), string(flag.TypeInteger), string(flag.TypeFloat), string(flag.TypeObject)}
)

func selectFlags(flags []api.Flag, kind, tag string) []api.Flag {
	selected := []api.Flag{}
	for _, f := range flags {
		tagged := tag == ""
		for _, t := range f.Tags {
			tagged = tagged || t == tag
		}
		if tagged && (kind == "" || string(f.Kind) == kind) {
			selected = append(selected, f)
		}
	}
	return selected
}

func flagTable(flags []api.Flag) table {
	t := table{json: flags, head: flagColumns,
		empty: "There are no flags yet. Make one: seatrial flag create search --type boolean --variant on=true --variant off=false --default off"}
	for _, f := range flags {
		t.rows = append(t.rows, []cell{text("%s", f.Key), text("%s", f.Kind), text("%s", f.Type), flagState(f.Flag),
			text("%s", f.DefaultVariant), text("%d", len(f.Rules)), text("%d", f.Revision), text("%s", f.Description)})
	}
	return t
}

func flagState(f flag.Flag) cell {
	switch {
	case f.Archived:
		return marked(markQuiet, "archived")
	case f.Enabled:
		return marked(markGood, "enabled")
	}
	return marked(markPaused, "disabled")
}

func newFlagGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show one flag", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Example: "  seatrial flag get search\n  seatrial flag get search -o json > search.json",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		f, _, err := c.Flag(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "flag", args[0], known(cmd.Context(), c, flagNames))
		}
		return a.printDetails(flagDetails(f))
	})
	return cmd
}

func flagDetails(f api.Flag) details {
	return details{json: f, rows: []detail{
		{"flag", text("%s", f.Key)},
		{"kind", text("%s", f.Kind)},
		{"type", text("%s", f.Type)},
		{"state", flagState(f.Flag)},
		{"description", text("%s", f.Description)},
		{"owner", text("%s", f.Owner)},
		{"tags", text("%s", strings.Join(f.Tags, ", "))},
		{"expires", text("%s", f.Expires)},
		{"for clients", text("%s", map[bool]string{true: "yes"}[f.ClientSide])},
		{"needs", text("%s", lines(f.Prerequisites, func(_ int, p flag.Prerequisite) string { return p.Flag + " = " + strings.Join(p.Variants, ",") }))},
		{"overrides", text("%s", lines(f.Overrides, func(_ int, o flag.Override) string { return o.Variant + " = " + strings.Join(o.Units, ",") }))},
		{"variants", text("%s", lines(f.Variants, func(_ int, v flag.Variant) string { return v.Name + " = " + compact(v.Value) }))},
		{"rules", text("%s", lines(f.Rules, func(i int, r flag.Rule) string { return strconv.Itoa(i+1) + ". " + showRule(r) }))},
		{"default", text("%s", orElse(f.DefaultVariant, "the value in the code"))},
		{"definition", text("%s", definitionOf(f.Flag))},
		{"schema", text("%s", compactOr(f.Schema))},
		{"revision", text("%d", f.Revision)},
	}}
}

// compactOr writes JSON on one line, nothing for nothing.
func compactOr(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	return compact(raw)
}

// definitionOf shows a definition of flagd, which decides instead of all that is above it.
func definitionOf(f flag.Flag) string {
	if f.Definition == nil {
		return ""
	}
	return "flagd: " + compact(f.Definition)
}

// lines gives one line for each element.
func lines[T any](list []T, show func(int, T) string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = show(i, v)
	}
	return strings.Join(out, "\n")
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// compact writes JSON on one line.
func compact(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(v) != nil {
		return string(raw)
	}
	return strings.TrimSpace(b.String())
}

func newFlagSwitch(a *app, verb string, on bool) *cobra.Command {
	var w writing
	short := "Switch a flag on: its rules and trials decide"
	if !on {
		short = "Switch a flag off, now: everybody gets the value in the code"
	}
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Example: fmt.Sprintf("  seatrial flag %s search --reason \"incident 42\"", verb),
	}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		return a.editFlag(cmd.Context(), c, args[0], w, verb+"d", func(f *flag.Flag) error {
			f.Enabled = on
			return nil
		})
	})
	return cmd
}
