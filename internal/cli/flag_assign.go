package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// assignment reads NAME=VALUE,VALUE; form is how the option is written.
func assignment(option, form, text string) (name string, values []string, err error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", nil, usage(fmt.Errorf("--%s %s: write it as %s", option, text, form))
	}
	for _, v := range strings.Split(rest, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return name, values, nil
}

// applyAssignments sets overrides and prerequisites: each one named replaces what it was, and one
// without values goes.
func (e *flagEdit) applyAssignments(f *flag.Flag) error {
	f.Prerequisites = slices.Clone(f.Prerequisites)
	for _, text := range e.overrides {
		variant, users, err := assignment("override", "VARIANT=USER,USER", text)
		if err != nil {
			return err
		}
		f.Overrides = override(f.Overrides, variant, users)
	}
	for _, text := range e.needs {
		parent, variants, err := assignment("need", "FLAG=VARIANT,VARIANT", text)
		if err != nil {
			return err
		}
		f.Prerequisites = slices.DeleteFunc(f.Prerequisites, func(p flag.Prerequisite) bool { return p.Flag == parent })
		if len(variants) > 0 {
			f.Prerequisites = append(f.Prerequisites, flag.Prerequisite{Flag: parent, Variants: variants})
		}
	}
	return nil
}

// override makes users those who get a variant, and takes them away from the others.
func override(list []flag.Override, variant string, users []string) []flag.Override {
	var kept []flag.Override
	for _, o := range list {
		others := slices.DeleteFunc(slices.Clone(o.Units), func(u string) bool { return slices.Contains(users, u) })
		if o.Variant != variant && len(others) > 0 {
			kept = append(kept, flag.Override{Variant: o.Variant, Units: others})
		}
	}
	if len(users) > 0 {
		kept = append(kept, flag.Override{Variant: variant, Units: users})
	}
	return kept
}

// applySchema reads the JSON Schema of the values; no file: there is none any more.
func (e *flagEdit) applySchema(a *app, f *flag.Flag) (err error) {
	f.Schema = nil
	if e.schema != "" {
		f.Schema, err = a.readDocument(e.schema)
	}
	return err
}
