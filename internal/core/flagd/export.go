package flagd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// maxDocument bounds the memory that an export takes, in bytes of JSON: prerequisites are inlined,
// so that a set of a few megabytes could become one of many.
const maxDocument = 256 << 20

// Export writes a valid set as a flagd file. The error says which flag's JSON is broken, or that
// the file would have over 256 MiB; a flag that flagd cannot express is no error, see
// [Document.ServerEvaluated].
func Export(set flag.Set) (Document, error) {
	d := Document{FlagSetID: set.Environment, Reasons: map[string]string{}}
	if set.Revision > 0 {
		d.Version = strconv.FormatInt(set.Revision, 10)
	}
	e, size := newExporter(&set), 0
	for _, name := range slices.Sorted(maps.Keys(e.flags)) {
		definition, err := e.definition(e.flags[name], &d)
		if err != nil {
			return Document{}, fmt.Errorf("flag %q: %w", name, err)
		}
		d.Flags = append(d.Flags, Entry{name, definition})
		if size += len(name) + len(definition); size > maxDocument {
			return Document{}, fmt.Errorf("flag set %q would have over %d bytes as a flagd file; export fewer flags", set.Environment, maxDocument)
		}
	}
	if err := e.evaluators(&d); err != nil {
		return Document{}, err
	}
	data, err := d.MarshalJSON()
	d.Bytes = len(data)
	return d, err
}

// evaluators adds those that came as such, and the segments that the flags refer to.
func (e *exporter) evaluators(d *Document) error {
	for _, name := range slices.Sorted(maps.Keys(e.segments)) {
		rule := json.RawMessage(e.groups[name].evaluator) // empty if no flag asked for it
		if s := e.segments[name]; s.HasRule() {
			rule = s.Rule
		}
		if len(rule) == 0 {
			continue
		}
		var b bytes.Buffer
		if err := json.Compact(&b, rule); err != nil {
			return fmt.Errorf("segment %q: its rule is not JSON: %w", name, err)
		}
		d.Evaluators = append(d.Evaluators, Entry{name, b.Bytes()})
	}
	return nil
}

func (e *exporter) definition(f *flag.Flag, d *Document) (json.RawMessage, error) {
	enabled := f.Enabled && !f.Archived
	if f.HasDefinition() {
		return rawDefinition(f.Definition, enabled)
	}
	decided := e.decide(f)
	if decided.err != nil {
		d.ServerEvaluated = append(d.ServerEvaluated, f.Key)
		d.Reasons[f.Key] = decided.err.Error()
	}
	variants, err := variantsOf(f)
	if err != nil {
		return nil, err
	}
	fields := []string{`"state":"DISABLED"`, `"variants":` + variants}
	if enabled && decided.err == nil {
		fields[0] = `"state":"ENABLED"`
	}
	if f.DefaultVariant != "" {
		fields = append(fields, `"defaultVariant":`+string(text(f.DefaultVariant)))
	}
	if decided.err == nil && e.mayDiffer(f) {
		fields = append(fields, `"targeting":`+string(object(decided.targeting)))
	}
	if metadata := e.metadata(f, decided); metadata != "" {
		fields = append(fields, `"metadata":{`+metadata+`}`)
	}
	return json.RawMessage("{" + strings.Join(fields, ",") + "}"), nil
}

// mayDiffer reports whether the flag asks anything about the unit. One that does is never static,
// even if the answers are the same for everybody today: clients keep what is static.
func (e *exporter) mayDiffer(f *flag.Flag) bool {
	return len(f.Prerequisites)+len(f.Overrides)+len(f.Rules)+len(e.allocations[f.Key]) > 0
}

// object gives an outcome as a rule: flagd takes objects for targeting, not bare names.
func object(targeting expr) expr {
	if isName(targeting) || targeting == none {
		return call("if", yes, targeting, none)
	}
	return targeting
}

func variantsOf(f *flag.Flag) (string, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range f.Variants {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(text(f.Variants[i].Name)) + ":")
		if err := json.Compact(&b, f.Variants[i].Value); err != nil {
			return "", fmt.Errorf("the value of variant %q is not JSON: %w", f.Variants[i].Name, err)
		}
	}
	b.WriteByte('}')
	return b.String(), nil
}

// metadata is the trial's version while one runs, which stock hooks copy into telemetry, and the
// mark of flags that the server evaluates.
func (e *exporter) metadata(f *flag.Flag, decided *decision) string {
	var parts []string
	if trials := e.allocations[f.Key]; len(trials) > 0 && trials[0].Version != "" {
		parts = append(parts, `"version":`+string(text(trials[0].Version)))
	}
	if decided.err != nil {
		parts = append(parts, `"`+ServerEvaluated+`":true`)
	}
	return strings.Join(parts, ",")
}

// rawDefinition gives a definition as it came, or disabled if the flag is.
func rawDefinition(definition json.RawMessage, enabled bool) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, definition); err != nil {
		return nil, fmt.Errorf("its definition is not JSON: %w", err)
	}
	if enabled {
		return b.Bytes(), nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(definition, &fields); err != nil {
		return nil, fmt.Errorf("its definition is not an object: %w", err)
	}
	fields["state"] = json.RawMessage(`"DISABLED"`)
	names := slices.SortedFunc(maps.Keys(fields), cmp.Compare[string])
	entries := make([]Entry, len(names))
	for i, name := range names {
		entries[i] = Entry{name, fields[name]}
	}
	b.Reset()
	writeEntries(&b, entries)
	return b.Bytes(), nil
}
