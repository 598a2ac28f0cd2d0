package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// assignment reads NAME=VALUE,VALUE.
func assignment(option, text string) (name string, values []string, err error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", nil, usage(fmt.Errorf("--%s %s: write it as NAME=VALUE,VALUE", option, text))
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
	f.Overrides, f.Prerequisites = slices.Clone(f.Overrides), slices.Clone(f.Prerequisites)
	for _, text := range e.overrides {
		variant, users, err := assignment("override", text)
		if err != nil {
			return err
		}
		f.Overrides = slices.DeleteFunc(f.Overrides, func(o flag.Override) bool { return o.Variant == variant })
		if len(users) > 0 {
			f.Overrides = append(f.Overrides, flag.Override{Variant: variant, Units: users})
		}
	}
	for _, text := range e.needs {
		parent, variants, err := assignment("need", text)
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

func (e *flagEdit) applySchema(f *flag.Flag) error {
	if e.schema == "" {
		f.Schema = nil
		return nil
	}
	file, err := os.Open(e.schema)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, flag.MaxFlagBytes+1))
	if err != nil {
		return err
	}
	if !json.Valid(data) || len(data) > flag.MaxFlagBytes {
		return fmt.Errorf("%s: a JSON Schema is JSON of at most %d bytes", e.schema, flag.MaxFlagBytes)
	}
	f.Schema = data
	return nil
}
