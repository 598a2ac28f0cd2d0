package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/spf13/cobra"
)

func newEval(a *app) *cobra.Command {
	var (
		given      string
		key        string
		attributes []string
	)
	cmd := &cobra.Command{
		Use: "eval FLAG", GroupID: groupLook, Short: "Show what a user gets of a flag, and why", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(flagNames),
		Long: "Show what a user gets of a flag and why, rule by rule, as the control plane sees it now. It counts as no exposure.",
		Example: `  seatrial eval search --key u1
  seatrial eval search --key u1 --attr country=SE --attr age=34
  seatrial eval search --context '{"targetingKey":"u1","country":"SE"}' -o json`,
	}
	flags := cmd.Flags()
	flags.StringVar(&given, "context", "", "the evaluation context as a JSON object")
	flags.StringVar(&key, "key", "", "the targeting key, as a short form of --context")
	flags.StringArrayVar(&attributes, "attr", nil, "`NAME=VALUE`, an attribute (repeatable); a value that is JSON is taken as such")
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		context, err := parseContext(given, key, attributes)
		if err != nil {
			return usage(err)
		}
		e, err := c.Evaluate(cmd.Context(), args[0], context)
		if err != nil {
			return orSuggest(err, "flag", args[0], known(cmd.Context(), c, flagNames))
		}
		if err := a.printDetails(evaluationDetails(e)); err != nil {
			return err
		}
		if e.ErrorCode == string(eval.ErrorFlagNotFound) {
			return orSuggest(&api.Problem{Status: 404}, "flag", args[0], known(cmd.Context(), c, flagNames))
		}
		return nil
	})
	return cmd
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
