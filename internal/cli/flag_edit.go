package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

// newFlagCreate makes a flag from short flags or from a file.
func newFlagCreate(a *app) *cobra.Command {
	var (
		w        writing
		file     string
		disabled bool
		edit     flagEdit
		f        = flag.Flag{Enabled: true}
	)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a flag", Args: cobra.MaximumNArgs(1),
		Long: "Create a flag, from the flags below or from a JSON or YAML file.\n\nWithout --type and --variant it is a boolean with the variants on and off.",
		Example: `  seatrial flag create search
  seatrial flag create theme --type string --variant light=light --variant dark=dark --default light
  seatrial flag create limits --kind config --type object --variant normal='{"rps":50}' --default normal
  seatrial flag create -f search.yaml`,
	}
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "read the flag from this JSON or YAML file, - for standard input")
	flags.StringVar((*string)(&f.Kind), "kind", string(flag.KindRelease), "release, config, fault or policy")
	flags.StringVar((*string)(&f.Type), "type", string(flag.TypeBoolean), "boolean, string, integer, float or object")
	flags.BoolVar(&disabled, "disabled", false, "create it switched off")
	edit.withFlags(cmd)
	w.withDryRun(cmd)
	completeWords(cmd, "kind", flagKinds...)
	completeWords(cmd, "type", flagTypes...)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		f.Enabled = !disabled
		made, err := a.flagToCreate(cmd, args, file, f, edit)
		if err != nil {
			return err
		}
		stored, err := c.CreateFlag(cmd.Context(), made, w.to(""))
		if err != nil {
			return err
		}
		return a.wrote(w, stored, "flag %s created", stored.Key)
	})
	return cmd
}

func (a *app) flagToCreate(cmd *cobra.Command, args []string, file string, f flag.Flag, edit flagEdit) (flag.Flag, error) {
	if file != "" {
		for _, name := range []string{"kind", "type", "variant", "default", "add-rule", "disabled", "schema", "override", "need", "description", "owner", "tag", "expires", "client-side"} {
			if cmd.Flags().Changed(name) {
				return f, usage(fmt.Errorf("--%s and --file are both given: say it in one place", name))
			}
		}
		return a.flagFromFile(args, file)
	}
	if len(args) == 0 {
		return f, usage(errors.New("name the flag, or give it by -f FILE"))
	}
	f.Key = args[0]
	if err := oneOf("kind", string(f.Kind), flagKinds...); err != nil {
		return f, err
	}
	if err := oneOf("type", string(f.Type), flagTypes...); err != nil {
		return f, err
	}
	if f.Type == flag.TypeBoolean && len(edit.variants) == 0 {
		f.Variants = []flag.Variant{{Name: "on", Value: json.RawMessage("true")}, {Name: "off", Value: json.RawMessage("false")}}
		f.DefaultVariant = "off"
	}
	return f, edit.apply(a, cmd, &f)
}

func (a *app) flagFromFile(args []string, file string) (flag.Flag, error) {
	document, err := a.readDocument(file)
	if err != nil {
		return flag.Flag{}, err
	}
	f, err := flag.DecodeFlag(withoutRevision(document))
	if err != nil {
		return f, fmt.Errorf("%s: %w", shownPath(file), err)
	}
	if len(args) == 1 && f.Key != "" && f.Key != args[0] {
		return f, usage(fmt.Errorf("the file holds flag %q, the command line names %q", f.Key, args[0]))
	}
	if len(args) == 1 {
		f.Key = args[0]
	}
	return f, nil
}

// withoutRevision drops the field that `get -o json` shows and that nobody can set, so that what
// get printed can be given back.
func withoutRevision(document json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) != nil || fields["revision"] == nil {
		return document
	}
	delete(fields, "revision")
	rest, err := json.Marshal(fields)
	if err != nil {
		return document
	}
	return rest
}

// flagEdit is what the command line changes about a flag.
type flagEdit struct {
	fallback, description, owner         string
	tags, variants, addRules, firstRules []string
	removeVariants, removeRules          []string
	expires, schema                      string
	clientSide                           bool
	overrides, needs                     []string
}

// withFlags adds the command-line flags that create and set share.
func (e *flagEdit) withFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&e.variants, "variant", nil, "`NAME=VALUE`, add a variant or change its value (repeatable)")
	flags.StringVar(&e.fallback, "default", "", "variant that is served where nothing else applies; empty: the value in the code")
	flags.StringVar(&e.description, "description", "", "what it is for")
	flags.StringVar(&e.owner, "owner", "", "who answers for it")
	flags.StringArrayVar(&e.tags, "tag", nil, "a `tag` (repeatable; replaces all)")
	flags.StringVar(&e.expires, "expires", "", "day from which on it counts as overdue for removal, such as 2027-01-31; empty: none")
	flags.BoolVar(&e.clientSide, "client-side", false, "browsers' keys may ask for its value")
	flags.StringVar(&e.schema, "schema", "", "`FILE` with a JSON Schema, in JSON or YAML, that the values of an object flag must meet; empty: none")
	flags.StringArrayVar(&e.overrides, "override", nil, "`VARIANT=USER,USER`, users who get a variant before any rule; VARIANT= for none (repeatable)")
	flags.StringArrayVar(&e.needs, "need", nil, "`FLAG=VARIANT,VARIANT`, a prerequisite: another flag must give one of these; FLAG= for none (repeatable)")
	flags.StringArrayVar(&e.addRules, "add-rule", nil, "add a `rule` after the others, such as \"country in SE,NO => on\" (repeatable)")
}

func newFlagSet(a *app) *cobra.Command {
	var (
		w    writing
		file string
		edit flagEdit
	)
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change a flag", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Long: "Change what the command line names, and nothing else of the flag.\n\n" +
			"A rule is CONDITION => VARIANT, or a split: CONDITION => on:20%,off:80%. A condition is clauses joined by\n" +
			"\"and\": \"country in SE,NO\", \"age >= 18\", \"email endsWith @example.com\", \"plan exists\", \"segment NAME\",\n" +
			"\"not segment NAME\", or \"everybody\". What this notation cannot say, a file can: seatrial flag set NAME -f FILE.",
		Example: `  seatrial flag set search --default on
  seatrial flag set search --add-rule "nordic: country in SE,NO => on" --reason "launch in the north"
  seatrial flag set search --add-rule "everybody => on:20%,off:80%"
  seatrial flag set search --remove-rule nordic
  seatrial flag set limits --variant normal='{"rps":80}'`,
	}
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "replace the whole flag by this JSON or YAML file, - for standard input")
	edit.withFlags(cmd)
	flags.StringArrayVar(&edit.firstRules, "add-rule-first", nil, "add a `rule` before the others (repeatable)")
	flags.StringArrayVar(&edit.removeRules, "remove-rule", nil, "remove a `rule` by its name or number (repeatable)")
	flags.StringArrayVar(&edit.removeVariants, "remove-variant", nil, "remove a `variant` (repeatable)")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if !anyChanged(cmd, "file", "variant", "default", "description", "owner", "tag", "add-rule", "add-rule-first", "remove-rule", "remove-variant",
			"expires", "client-side", "schema", "override", "need") {
			return usage(errors.New("nothing to set: name what to change, such as --default on"))
		}
		return a.editFlag(cmd.Context(), c, args[0], w, "changed", func(f *flag.Flag) error {
			if file != "" {
				whole, err := a.flagFromFile(args, file)
				if err != nil {
					return err
				}
				*f = whole
			}
			return edit.apply(a, cmd, f)
		})
	})
	return cmd
}

func anyChanged(cmd *cobra.Command, names ...string) bool {
	return slices.ContainsFunc(names, cmd.Flags().Changed)
}

// editFlag reads a flag, changes it and writes it back, unless somebody else changed it in between.
func (a *app) editFlag(ctx context.Context, c *api.Client, key string, w writing, done string, change func(*flag.Flag) error) error {
	current, etag, err := c.Flag(ctx, key)
	if err != nil {
		return orSuggest(err, "flag", key, known(ctx, c, flagNames))
	}
	changed := current.Flag
	if err := change(&changed); err != nil {
		return err
	}
	if flagsEqual(current.Flag, changed) {
		a.say("flag %s is %s already; nothing was changed", key, done)
		return a.storedAlready(w, current)
	}
	stored, err := c.PutFlag(ctx, changed, w.to(etag))
	if err != nil {
		return err
	}
	return a.wrote(w, stored, "flag %s %s", key, done)
}

// storedAlready prints what is stored where a change would have printed it.
func (a *app) storedAlready(w writing, stored any) error {
	if w.dryRun || a.format() == formatJSON {
		return a.printJSON(stored)
	}
	return nil
}

func flagsEqual(x, y flag.Flag) bool {
	a, errA := json.Marshal(x)
	b, errB := json.Marshal(y)
	return errA == nil && errB == nil && string(a) == string(b)
}

// apply makes the edits that were asked for, in a copy of what f points to.
func (e *flagEdit) apply(a *app, cmd *cobra.Command, f *flag.Flag) error {
	f.Variants, f.Rules = slices.Clone(f.Variants), slices.Clone(f.Rules)
	for _, text := range e.variants {
		if err := setVariant(f, text); err != nil {
			return err
		}
	}
	for _, name := range e.removeVariants {
		i := slices.IndexFunc(f.Variants, func(v flag.Variant) bool { return v.Name == name })
		if i < 0 {
			return fmt.Errorf("flag %s has no variant %q%s", f.Key, name, flag.Suggest(name, variantNames(f.Variants)))
		}
		f.Variants = slices.Delete(f.Variants, i, i+1)
	}
	if err := e.applyRules(f); err != nil {
		return err
	}
	if err := e.applyAssignments(f); err != nil {
		return err
	}
	if cmd.Flags().Changed("schema") {
		if err := e.applySchema(a, f); err != nil {
			return err
		}
	}
	for name, set := range map[string]func(){
		"default":     func() { f.DefaultVariant = e.fallback },
		"description": func() { f.Description = e.description },
		"owner":       func() { f.Owner = e.owner },
		"expires":     func() { f.Expires = e.expires },
		"client-side": func() { f.ClientSide = e.clientSide },
		"tag":         func() { f.Tags = slices.DeleteFunc(slices.Clone(e.tags), func(t string) bool { return t == "" }) },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	return e.checkNames(f)
}

// checkNames finds misspelt variants before the server does, as here the notation can be shown.
func (e *flagEdit) checkNames(f *flag.Flag) error {
	check := func(where, name string) error {
		if name == "" || slices.ContainsFunc(f.Variants, func(v flag.Variant) bool { return v.Name == name }) {
			return nil
		}
		return fmt.Errorf("%s: flag %s has no variant %q%s", where, f.Key, name, flag.Suggest(name, variantNames(f.Variants)))
	}
	if err := check("--default", f.DefaultVariant); err != nil {
		return err
	}
	for _, r := range f.Rules {
		if err := check("rule \""+showRule(r)+"\"", r.Serve); err != nil {
			return err
		}
	}
	return nil
}

func variantNames(list []flag.Variant) func(func(string) bool) {
	return slices.Values(namesOf(list, func(v flag.Variant) string { return v.Name }))
}

func (e *flagEdit) applyRules(f *flag.Flag) error {
	for _, name := range e.removeRules {
		i := slices.IndexFunc(f.Rules, func(r flag.Rule) bool { return r.Name == name })
		if n, err := strconv.Atoi(name); i < 0 && err == nil && n >= 1 && n <= len(f.Rules) {
			i = n - 1
		}
		if i < 0 {
			return fmt.Errorf("flag %s has no rule %q: it has %d, `seatrial flag get %s` numbers them", f.Key, name, len(f.Rules), f.Key)
		}
		f.Rules = slices.Delete(f.Rules, i, i+1)
	}
	var first []flag.Rule
	for _, list := range []struct {
		texts []string
		into  *[]flag.Rule
	}{{e.firstRules, &first}, {e.addRules, &f.Rules}} {
		for _, text := range list.texts {
			rule, err := parseRule(text)
			if err != nil {
				return usage(err)
			}
			*list.into = append(*list.into, rule)
		}
	}
	f.Rules = append(first, f.Rules...)
	return nil
}

// setVariant adds or changes a variant by "NAME=VALUE". For flags of type string the value is
// the text itself, unless it is quoted.
func setVariant(f *flag.Flag, text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return usage(fmt.Errorf("variant %q: write it as NAME=VALUE, such as on=true", text))
	}
	raw := json.RawMessage(value)
	if _, err := flag.DecodeValue(f.Type, raw); f.Type == flag.TypeString && err != nil {
		raw, _ = json.Marshal(value)
	} else if err != nil {
		return usage(fmt.Errorf("variant %s: value %s %w", name, value, err))
	}
	for i := range f.Variants {
		if f.Variants[i].Name == name {
			f.Variants[i].Value = raw
			return nil
		}
	}
	f.Variants = append(f.Variants, flag.Variant{Name: name, Value: raw})
	return nil
}
