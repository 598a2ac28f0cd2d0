package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

// evaluation is what eval and explain are asked.
type evaluation struct {
	context    string
	key        string
	attributes []string
	flag       string
	files      []string
	requests   string
	why        bool // say it in one sentence
}

func newEval(a *app) *cobra.Command {
	var e evaluation
	cmd := &cobra.Command{
		Use: "eval [FLAG]", GroupID: groupLook, Short: "Show what a user gets of a flag, and why", Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.complete(flagNames),
		Long: "Show what a user gets of a flag and why, rule by rule, as the control plane sees it now. It counts as no exposure.\n\n" +
			"With --file flags are evaluated from definition files (of Seatrial or flagd), without a control plane: test your flags where you\n" +
			"test your code. With --requests each line {\"flag\":…,\"context\":…,\"default\":…} of a file is answered with a line\n" +
			"{\"flag\",\"value\",\"variant\",\"reason\",\"errorCode\",\"metadata\"}; without variant the value is the line's default.",
		Example: `  seatrial eval search --key u1
  seatrial eval search --key u1 --attr country=SE --attr age=34
  seatrial eval search --context '{"targetingKey":"u1","country":"SE"}' -o json
  seatrial eval --file flags/ --flag search --key u1
  seatrial eval --file flags.json --requests cases.ndjson`,
	}
	e.withFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&e.flag, "flag", "", "the flag, instead of as an argument")
	flags.StringVar(&e.requests, "requests", "", "`FILE` of requests, one a line, - for standard input; needs --file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := e.name(args); err != nil {
			return err
		}
		if len(e.files) > 0 {
			return a.evalOffline(e)
		}
		return a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
			return a.evaluateAt(cmd.Context(), c, e)
		})(cmd, args)
	}
	return cmd
}

func newExplain(a *app) *cobra.Command {
	e := evaluation{why: true}
	cmd := &cobra.Command{
		Use: "explain FLAG", GroupID: groupLook, Short: "Say why a user gets what", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Long: "Say why a user gets what: prerequisites, overrides, layers, rule by rule with the user's bucket, and trials. As eval, with the\n" +
			"answer first. With --file the flag is taken from definition files, without a control plane.",
		Example: "  seatrial explain search --key u42\n  seatrial explain search --key u42 --attr country=SE\n  seatrial explain search --key u42 --file flags/",
	}
	e.withFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e.flag = args[0]
		if len(e.files) > 0 {
			return a.evalOffline(e)
		}
		return a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
			return a.evaluateAt(cmd.Context(), c, e)
		})(cmd, args)
	}
	return cmd
}

func (e *evaluation) withFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&e.context, "context", "", "the evaluation context as a JSON object")
	flags.StringVar(&e.key, "key", "", "the targeting key, as a short form of --context")
	flags.StringArrayVar(&e.attributes, "attr", nil, "`NAME=VALUE`, an attribute (repeatable); a value that is JSON is taken as such")
	flags.StringArrayVar(&e.files, "file", nil, "`PATH` of a file or folder with definitions, - for standard input (repeatable)")
}

// name takes the flag from the argument or from --flag, and checks what goes together.
func (e *evaluation) name(args []string) error {
	switch {
	case len(args) > 0 && e.flag != "" && args[0] != e.flag:
		return usage(fmt.Errorf("the argument names flag %s, --flag %s: give one of the two", args[0], e.flag))
	case len(args) > 0:
		e.flag = args[0]
	}
	switch {
	case e.requests != "" && len(e.files) == 0:
		return usage(errors.New("--requests needs --file: requests are answered from definition files"))
	case e.requests != "" && (e.flag != "" || e.key != "" || e.context != "" || len(e.attributes) > 0):
		return usage(errors.New("--requests names flags and contexts itself: leave out the flag, --key, --context and --attr"))
	case e.requests == "" && e.flag == "":
		return usage(errors.New("which flag? name it, as in: seatrial eval search --key u1"))
	}
	return nil
}

func (a *app) evaluateAt(ctx context.Context, c *api.Client, e evaluation) error {
	given, err := parseContext(e.context, e.key, e.attributes)
	if err != nil {
		return usage(err)
	}
	result, err := c.Evaluate(ctx, e.flag, given)
	if err != nil {
		return orSuggest(err, "flag", e.flag, known(ctx, c, flagNames))
	}
	if err := a.printEvaluation(e, result, given); err != nil {
		return err
	}
	if result.ErrorCode == string(eval.ErrorFlagNotFound) {
		return orSuggest(&api.Problem{Status: 404}, "flag", e.flag, known(ctx, c, flagNames))
	}
	return nil
}

func (a *app) printEvaluation(e evaluation, result api.Evaluation, given map[string]any) error {
	shown := evaluationDetails(result)
	if e.why {
		shown.rows = append([]detail{{"why", text("%s", whyOf(result, given))}}, shown.rows...)
	}
	return a.printDetails(shown)
}

// whyOf says in one sentence what decided.
func whyOf(e api.Evaluation, context map[string]any) string {
	who := "A unit without a targeting key"
	if key, ok := context["targetingKey"].(string); ok && key != "" {
		who = key
	}
	what := "the value in the code"
	if e.Variant != "" {
		what = "variant " + e.Variant
	}
	for _, raw := range e.Explanation {
		var step eval.ExplainStep
		if json.Unmarshal(raw, &step) != nil || !step.Matched {
			continue
		}
		by := ""
		if step.Part != "default" && step.Part != "flag" {
			by = ", by " + strings.TrimSpace(step.Part+" "+step.Name)
		}
		return fmt.Sprintf("%s gets %s of %s%s: %s.", who, what, e.Flag, by, step.Detail)
	}
	return fmt.Sprintf("%s gets %s of %s (%s).", who, what, e.Flag, e.Reason)
}

// evalOffline evaluates from files.
func (a *app) evalOffline(e evaluation) error {
	o, err := a.openOffline(e.files)
	if err != nil {
		return err
	}
	if e.requests != "" {
		return a.evaluateRequests(o, e.requests)
	}
	given, err := parseContext(e.context, e.key, e.attributes)
	if err != nil {
		return usage(err)
	}
	if a.format() == formatJSON && !e.why {
		err = a.printLine(o.evaluate(offlineRequest{Flag: e.flag, Context: given}))
	} else {
		err = a.printEvaluation(e, o.explain(e.flag, given), given)
	}
	if err != nil {
		return err
	}
	if o.flags.Flag(e.flag) == nil && o.broken[e.flag] == nil {
		names := func(yield func(string) bool) {
			for _, f := range o.flags.Flags() {
				if !yield(f.Key()) {
					return
				}
			}
		}
		return fmt.Errorf("there is no flag %q in %s%s", e.flag, strings.Join(e.files, ", "), flag.Suggest(e.flag, names))
	}
	return nil
}

func parseContext(given, key string, attributes []string) (map[string]any, error) {
	context := map[string]any{}
	if given != "" {
		if err := json.Unmarshal([]byte(given), &context); err != nil || context == nil {
			return nil, fmt.Errorf("--context %s: give a JSON object such as '{\"targetingKey\":\"u1\",\"country\":\"SE\"}'", given)
		}
	}
	for _, text := range attributes {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--attr %s: write it as NAME=VALUE", text)
		}
		var v any
		if json.Unmarshal([]byte(value), &v) != nil {
			v = value
		}
		context[name] = v
	}
	if key != "" {
		context["targetingKey"] = key
	}
	if k, there := context["targetingKey"]; there {
		if _, ok := k.(string); !ok {
			return nil, errors.New("targetingKey must be a string: quote it")
		}
	}
	return context, nil
}

func evaluationDetails(e api.Evaluation) details {
	value := compact(e.Value)
	if len(e.Value) == 0 || value == "null" && e.Variant == "" {
		value = "(the value in the code)"
	}
	d := details{json: e, rows: []detail{
		{"value", text("%s", value)},
		{"variant", text("%s", e.Variant)},
		{"reason", text("%s", e.Reason)},
		{"error", marked(markBad, e.ErrorCode)},
		{"trial", text("%s", strings.TrimSpace(e.Trial+" "+e.Role))},
	}}
	if e.ErrorCode == "" {
		d.rows[3] = detail{"error", cell{}}
	}
	for _, raw := range e.Explanation {
		d.rows = append(d.rows, explained(raw))
	}
	return d
}

// explained shows one step of the explanation; the one that decided is marked.
func explained(raw json.RawMessage) detail {
	var step eval.ExplainStep
	if json.Unmarshal(raw, &step) != nil {
		return detail{"step", text("%s", string(raw))}
	}
	name := step.Part
	if step.Name != "" && step.Part != "default" {
		name += " " + step.Name
	}
	c := cell{plain: step.Detail}
	if step.Matched {
		c.mark = markGood
	}
	return detail{name, c}
}
