package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/definition"
	"github.com/seatrial/seatrial/internal/demo"
)

const contractFile = "../../docs/cli-json.md"

// output is what one command prints.
type output struct {
	command string
	columns []string // of TSV
	names   []string // of TSV with one name and value a row
	json    any      // nil: nothing; a slice: a list
	note    string
}

// contract holds every command; TestContractIsComplete sees to that.
func contract() []output {
	flagOut, segmentOut, changeOut, trialOut := api.Flag{}, api.Segment{}, api.Change{}, trialOutput{}
	const written = "TSV and table print nothing on standard output, or with `--dry-run` the JSON."
	list := []output{
		{command: "serve", note: "Prints nothing on standard output."},
		{command: "dev", json: devStarted{}, note: "JSON is one line, once it runs."},
		{command: "demo", json: demo.Summary{}, note: "NDJSON: one object a line with a `type`: `event` with a `text` for people, and last a `summary`."},
		{command: "login", note: "Prints nothing on standard output."},
		{command: "logout", note: "Prints nothing on standard output."},
		{command: "flag list", columns: flagColumns, json: []api.Flag{}},
		{command: "flag get", names: rowNames(flagDetails(flagOut)), json: flagOut},
		{command: "flag delete", note: "Prints nothing on standard output."},
		{command: "flag history", columns: changeColumns, json: []api.Change{}},
		{command: "flag diff", columns: []string{"OP", "LINE"}, json: flagDiff{}},
		{command: "segment list", columns: segmentColumns, json: []api.Segment{}},
		{command: "segment get", names: rowNames(segmentDetails(segmentOut)), json: segmentOut},
		{command: "segment delete", note: "Prints nothing on standard output."},
		{command: "segment import", json: api.ListChange{}, note: written},
		{command: "segment clear", json: api.ListChange{}, note: written},
		{command: "segment has", names: rowNames(membershipDetails(membership{})), json: membership{}},
		{command: "segment history", columns: changeColumns, json: []api.Change{}},
		{command: "flag archive", json: flagOut, note: written},
		{command: "flag restore", json: flagOut, note: written},
		{command: "flag stale", columns: staleColumns, json: api.StaleReport{}},
		{command: "layer list", columns: layerColumns, json: []api.Layer{}},
		{command: "layer get", names: rowNames(layerDetails(api.Layer{})), json: api.Layer{}},
		{command: "layer create", json: api.Layer{}, note: written},
		{command: "layer set", json: api.Layer{}, note: written},
		{command: "layer history", columns: changeColumns, json: []api.Change{}},
		{command: "layer delete", note: "Prints nothing on standard output."},
		{command: "schedule list", columns: scheduleColumns, json: []api.Schedule{}},
		{command: "schedule create", json: api.Schedule{}, note: written},
		{command: "schedule cancel", json: api.Schedule{}, note: written},
		{command: "chaos off", columns: haltColumns[1:], json: api.MovedLever{}, note: "A row for each experiment that was found running. Exits with 1 if one could not be ended; faults are off all the same."},
		{command: "chaos on", json: api.Lever{}, note: written},
		{command: "chaos lever", names: rowNames(leverDetails(api.Lever{})), json: api.Lever{}},
		{command: "chaos run", columns: dayColumns, json: dayOutput{}, note: "A row for each step; with `--dry-run` as it is planned. RESULT is empty for pauses and for what was not started."},
		{command: "chaos report", json: reportOutput{}, note: "Prints Markdown, and JSON with `-o json`."},
		{command: "chaos journal", note: "Prints a journal of the Chaos Toolkit, in JSON, whatever the format asked for."},
		{command: "chaos schedule list", columns: chaosScheduleColumns, json: []api.Schedule{}, note: "LAST is skipped, or the attempt that was started; REASON tells why it was skipped."},
		{command: "chaos schedule create", json: api.Schedule{}, note: written + " A dry run gives an object with `flag` and `trial`, the plan."},
		{command: "chaos schedule cancel", json: api.Schedule{}, note: written},
		{command: "apply", columns: appliedColumns, json: api.Applied{}, note: "TSV leaves out what is unchanged."},
		{command: "diff", columns: []string{"KIND", "KEY", "OP", "LINE"}, json: []difference{}, note: "TSV has only the lines that differ."},
		{command: "validate", columns: faultColumns, json: definition.Faults{}, note: "Exits with 1 if there is a fault."},
		{command: "export", json: bundle{}, note: "Prints YAML, and JSON with `-o json`. With `--format flagd` it is a flagd file."},
		{command: "import", columns: noteColumns, json: imported{}, note: "With `--print` it prints a definition file, as `export` does."},
		{command: "explain", names: append([]string{"why"}, append(rowNames(evaluationDetails(api.Evaluation{})), "PART NAME, one for each step of the explanation")...), json: api.Evaluation{}},
		{command: "env compare", columns: []string{"KIND", "KEY", "OP", "LINE"}, json: []difference{}, note: "TSV has only the lines that differ."},
		{command: "env promote", columns: appliedColumns, json: api.Applied{}, note: "TSV leaves out what is unchanged."},
		{command: "env list", columns: envColumns, json: []api.Environment{}},
		{command: "env create", json: api.Environment{}, note: "TSV and table print nothing on standard output."},
		{command: "env delete", note: "Prints nothing on standard output."},
		{command: "token list", columns: tokenColumns, json: []api.Token{}},
		{command: "token create", json: api.Token{}, note: "TSV and table print the secret alone."},
		{command: "token revoke", note: "Prints nothing on standard output."},
		{command: "change list", columns: changeColumns, json: []api.Change{}},
		{command: "change get", names: append(rowNames(changeDetails(changeOut)), "KIND KEY, one for each entity"), json: changeOut},
		{command: "change revert", json: changeOut, note: written},
		{command: "point list", columns: pointColumns, json: []api.Point{}},
		{command: "dependency list", columns: dependencyColumns, json: []api.Dependency{},
			note: "BUDGET is a share. With `-w` TSV has the columns " + columnNames(transitionColumns) + ", a row for each change of a breaker, and JSON is NDJSON of the transitions of `dependency get`."},
		{command: "dependency get", columns: instanceColumns, json: api.DependencyDetail{}, note: "TSV has a row for each process."},
		{command: "trace list", columns: traceColumns, json: []api.TraceSummary{}},
		{command: "trace get", columns: spanColumns, json: api.Trace{}, note: "OFFSET and DURATION are milliseconds. Parents come before their children."},
		{command: "eval", names: append(rowNames(evaluationDetails(api.Evaluation{})), "PART NAME, one for each step of the explanation"), json: api.Evaluation{},
			note: "With `--file` JSON is one line: `flag`, `value`, `variant`, `reason`, `errorCode`, `metadata`; with `--requests` one line for each request."},
		{command: "halt", columns: haltColumns, json: api.Halted{}, note: "A row for each trial that was found running; RESULT is aborted, or running if it could not be stopped."},
		{command: "verdict", columns: verdictColumns, json: verdictOutput{},
			note: "A row for each interval, up to and including it; the columns of the file that are not counts follow at the end. Logs are natural logarithms of e-values. " +
				"Exits with 0 if safe, 3 if harmful, 5 if undecided or without data."},
		{command: "simulate", columns: simulatedColumns, json: simulated{},
			note: "A row for each cell. FIRED and ERROR are shares; MEDIAN is a minute, 0 if half of the runs never fired, and -1 where the reference does not tell it."},
		{command: "webhook list", columns: webhookColumns, json: []api.Webhook{}},
		{command: "webhook get", names: rowNames(webhookDetails(api.Webhook{})), json: api.Webhook{}},
		{command: "webhook create", json: api.Webhook{}, note: "TSV and table print the secret alone."},
		{command: "webhook set", json: api.Webhook{}, note: written},
		{command: "webhook rotate", json: api.Webhook{}, note: "TSV and table print the secret alone."},
		{command: "webhook test", names: rowNames(answerDetails(api.WebhookAnswer{})), json: api.WebhookAnswer{}, note: "Exits with 1 if it was not delivered."},
		{command: "webhook delete", note: "Prints nothing on standard output."},
		{command: "version", names: rowNames(versionDetails(buildInfo{})), json: buildInfo{}},
	}
	for _, verb := range []string{"create", "set", "enable", "disable"} {
		list = append(list, output{command: "flag " + verb, json: flagOut, note: written})
	}
	for _, verb := range []string{"create", "set"} {
		list = append(list, output{command: "segment " + verb, json: segmentOut, note: written})
	}
	for _, noun := range []string{"rollout", "chaos"} {
		list = append(list,
			output{command: noun + " list", columns: trialColumns, json: []trialOutput{}},
			output{command: noun + " get", names: trialNames(), json: trialOut,
				note: "The rows treatment and control have three values: users, requests, bad requests. A row guardrail has the values " + columnNames(guardrailColumns) +
					". With `-w` TSV has the columns of status, a row for each change, and JSON is NDJSON."},
			output{command: noun + " status", columns: watchColumns, json: trialOut},
			output{command: noun + " explain", json: explainOutput{},
				names: []string{"name", "attempt", "status", "why", "share", "blamed", "spent", "guardrail, trace, decision and rule, one for each"},
				note: "The row spent has the values users, requests, bad requests, bad requests caused. A row guardrail has: name, verdict, bad and exposures of treatment, of control, ratio, low, high, tolerance, " +
					"log harm and its mark, log no worse and its mark, log any harm. A row decision has: " + columnNames(decisionColumns) + ". A row rule has: " + columnNames(ruleColumns) + "."},
			output{command: noun + " replay", columns: replayColumns, json: replayOutput{},
				note: "With `--rule` TSV has the columns " + columnNames(ruleColumns) + ". EVIDENCE is, for each guardrail, its name and the natural logarithms for harm, no worse and any harm. Exits with 1 if something differs."})
		for _, verb := range []string{"start", "pause", "resume", "approve", "abort"} {
			list = append(list, output{command: noun + " " + verb, json: trialOut, note: written})
		}
	}
	list = append(list, output{command: "rollout advance", json: trialOut, note: written}, output{command: "rollout promote", json: trialOut, note: written},
		output{command: "rollout plan", columns: planColumns, json: planOutput{}, note: "Times are minutes; empty: never, or not known."},
		output{command: "rollout aa", columns: aaColumns, json: aaOutput{}, note: "With `--flag`, but without `-w`, JSON is the trial that was started, as that of `rollout start`, and TSV nothing. The last column is a value for `--guardrail`."})
	for i := range list {
		if list[i].command == "chaos start" {
			list[i].note += " A dry run gives an object with `flag` and `trial`, the plan."
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].command < list[j].command })
	return list
}

func rowNames(d details) []string { return namesOf(d.rows, func(r detail) string { return r.name }) }

func trialNames() []string {
	one := rolling(0)
	one.State.StartedAt = time.Unix(0, 0)
	var names []string
	for _, row := range trialTSV(api.Trial{Spec: one.Spec, State: trial.State{}}) {
		if name := row[0].plain; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func columnNames(columns []string) string { return strings.ToLower(strings.Join(columns, ", ")) }

func TestContractIsComplete(t *testing.T) {
	known := map[string]bool{}
	for _, o := range contract() {
		known[o.command] = true
	}
	for _, c := range commands(newRoot(quietApp(&bytes.Buffer{}))) {
		if !known[pathOf(c)] {
			t.Errorf("seatrial %s is not in the contract", pathOf(c))
		}
		delete(known, pathOf(c))
	}
	for command := range known {
		t.Errorf("the contract has seatrial %s, which does not exist", command)
	}
}

// TestContractIsDocumented: docs/cli-json.md says of every command what the code does. The part
// between the markers is written by -update.
func TestContractIsDocumented(t *testing.T) {
	const begin, end = "<!-- from the code: go test ./internal/cli -run TestContract -update -->\n", "<!-- end -->\n"
	data, err := os.ReadFile(contractFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: the markers %q and %q are missing", contractFile, begin, end)
	}
	golden(t, contractFile, before+begin+describeContract()+end+after)
}

func describeContract() string {
	var b strings.Builder
	types := map[string]reflect.Type{}
	for _, o := range contract() {
		fmt.Fprintf(&b, "\n### seatrial %s\n\n", o.command)
		if o.note != "" {
			fmt.Fprintf(&b, "%s\n\n", o.note)
		}
		if o.columns != nil {
			fmt.Fprintf(&b, "- TSV columns: %s\n", columnNames(o.columns))
		}
		if o.names != nil {
			fmt.Fprintf(&b, "- TSV rows of name and value: %s\n", strings.Join(o.names, ", "))
		}
		if o.json != nil {
			typ := reflect.TypeOf(o.json)
			word := "JSON: "
			if typ.Kind() == reflect.Slice {
				typ, word = typ.Elem(), "JSON: list of "
			}
			types[typeName(typ)] = typ
			fmt.Fprintf(&b, "- %s[%s](#%s)\n", word, typeName(typ), typeName(typ))
		}
	}
	b.WriteString("\n## JSON objects\n")
	names := make([]string, 0, len(types))
	for name := range types {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&b, "\n### %s\n\n| Field | Type |\n|---|---|\n", name)
		for _, f := range fields(types[name], "", 0) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", f[0], f[1])
		}
	}
	return b.String()
}

func typeName(t reflect.Type) string {
	return strings.ToLower(strings.TrimSuffix(t.Name(), "Output"))
}

// fields lists the JSON fields of a struct with their types, depth first, as encoding/json names
// them: an outer field hides one of an embedded struct.
func fields(t reflect.Type, prefix string, depth int) [][2]string {
	var list [][2]string
	hidden := map[string]bool{}
	for i := range t.NumField() {
		if f := t.Field(i); !f.Anonymous {
			hidden[jsonName(f)] = true
		}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range fields(f.Type, prefix, depth) {
				first, _, _ := strings.Cut(strings.TrimPrefix(inner[0], prefix), ".")
				if !hidden[strings.TrimSuffix(first, "[]")] {
					list = append(list, inner)
				}
			}
			continue
		}
		name := jsonName(f)
		if name == "" || name == "-" {
			continue
		}
		word, inner, suffix := describe(f.Type)
		if strings.Contains(f.Tag.Get("json"), ",omit") {
			word += ", may be absent"
		}
		list = append(list, [2]string{prefix + name, word})
		if inner != nil && depth < 4 {
			list = append(list, fields(inner, prefix+name+suffix+".", depth+1)...)
		}
	}
	return list
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// describe gives the word for a type, and the struct inside it whose fields are to be listed.
func describe(t reflect.Type) (word string, inner reflect.Type, suffix string) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time (RFC 3339)", nil, ""
	case t == reflect.TypeFor[trial.Duration]():
		return `duration, such as "15s"`, nil, ""
	case t == reflect.TypeFor[json.RawMessage]():
		return "any JSON", nil, ""
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describeCondition(t.Elem())
	case reflect.Slice:
		of, inner, suffix := describe(t.Elem())
		return "list of " + of, inner, "[]" + suffix
	case reflect.Struct:
		if t.Name() == "Condition" {
			return describeCondition(t)
		}
		return "object", t, ""
	case reflect.Bool:
		return "boolean", nil, ""
	case reflect.String:
		return "string", nil, ""
	case reflect.Map, reflect.Interface:
		return "any JSON", nil, ""
	}
	return "number", nil, ""
}

// describeCondition: conditions nest without end; the HTTP API describes them.
func describeCondition(t reflect.Type) (string, reflect.Type, string) {
	if t.Name() == "Condition" {
		return "condition", nil, ""
	}
	return describe(t)
}
