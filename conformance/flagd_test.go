package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/cucumber/godog"
	"github.com/seatrial/seatrial/internal/core/targeting"
)

// testkit is flagd's test kit for evaluators.
const testkit = "../../shared/conformance/flagd/evaluator"

// flags are the flags of the test kit with the evaluators that they share.
type flags struct {
	Flags      map[string]json.RawMessage `json:"flags"`
	Evaluators map[string]json.RawMessage `json:"$evaluators"`
}

func readFlags(t *testing.T) (f flags) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testkit, "flags", "testkit-flags.json"))
	if err != nil {
		absent(t, "needs flagd's test kit in ../shared/conformance: %v", err)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// Every scenario that flagd's evaluators pass in every language, but for those of the generations
// of fractional before and after ours.
func TestFlagdScenarios(t *testing.T) {
	known := readFlags(t)
	scenarios := 0
	suite := godog.TestSuite{
		Name: "flagd",
		ScenarioInitializer: func(sc *godog.ScenarioContext) {
			scenarios++
			s := &scenario{flags: known, attributes: map[string]any{}}
			s.register(sc)
		},
		Options: &godog.Options{
			Format: "progress", Output: new(strings.Builder), NoColors: true, Strict: true, TestingT: t,
			Paths: []string{filepath.Join(testkit, "gherkin")}, Tags: "~@fractional-v1 && ~@fractional-v3",
		},
	}
	if status := suite.Run(); status != 0 {
		t.Errorf("godog ends with status %d", status)
	}
	if scenarios != 125 {
		t.Errorf("%d scenarios ran, want 125", scenarios)
	}
}

// scenario is one evaluation, as OpenFeature's clients see it.
type scenario struct {
	flags        flags
	kind, key    string
	fallback     any
	targetingKey string
	attributes   map[string]any

	value             any
	reason, errorCode string
	metadata          map[string]any
}

func (s *scenario) register(sc *godog.ScenarioContext) {
	sc.Step(`^an evaluator$`, func() {})
	sc.Step(`^an? (\w+)-flag with key "([^"]*)" and a fallback value "(.*)"$`, s.given)
	sc.Step(`^a context containing a key "([^"]*)", with type "([^"]*)" and with value "([^"]*)"$`, s.attribute)
	sc.Step(`^a context containing a targeting key with value "([^"]*)"$`, func(key string) { s.targetingKey = key })
	sc.Step(`^a context containing a nested property with outer key "([^"]*)" and inner key "([^"]*)", with value "([^"]*)"$`,
		func(outer, inner, value string) { s.attributes[outer] = map[string]any{inner: value} })
	sc.Step(`^the flag was evaluated with details$`, s.evaluate)
	sc.Step(`^the resolved details value should be "(.*)"$`, s.valueIs)
	sc.Step(`^the reason should be "([^"]*)"$`, func(want string) error { return same("reason", s.reason, want) })
	sc.Step(`^the error-code should be "([^"]*)"$`, func(want string) error { return same("error code", s.errorCode, want) })
	sc.Step(`^the resolved metadata is empty$`, func() error { return same("size of the metadata", len(s.metadata), 0) })
	sc.Step(`^the resolved metadata should contain$`, s.metadataHas)
}

func same(what string, got, want any) error {
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s is %#v, want %#v", what, got, want)
	}
	return nil
}

func (s *scenario) given(kind, key, fallback string) (err error) {
	s.kind, s.key = kind, key
	s.fallback, err = read(kind, fallback)
	return err
}

func (s *scenario) attribute(key, kind, text string) (err error) {
	s.attributes[key], err = read(kind, text)
	return err
}

// read gives a value of the test kit's types.
func read(kind, text string) (any, error) {
	switch kind {
	case "Boolean":
		return strconv.ParseBool(text)
	case "Integer":
		return strconv.ParseInt(text, 10, 64)
	case "Float":
		return strconv.ParseFloat(text, 64)
	case "Object":
		var object map[string]any
		err := json.Unmarshal([]byte(strings.ReplaceAll(text, `\"`, `"`)), &object)
		return object, err
	}
	return text, nil
}

func (s *scenario) evaluate(context.Context) {
	s.value = s.fallback
	raw, found := s.flags.Flags[s.key]
	if !found {
		s.errorCode = "FLAG_NOT_FOUND"
		return
	}
	definition, err := targeting.ParseDefinition(raw, s.flags.Evaluators)
	if err != nil {
		s.errorCode = "PARSE_ERROR"
		return
	}
	s.metadata = definition.Metadata
	in := &targeting.Input{FlagKey: s.key, TargetingKey: s.targetingKey, Attributes: s.attributes}
	variant, reason, err := definition.Decide(in)
	switch s.reason = reason.String(); {
	case err != nil:
		s.reason, s.errorCode = "ERROR", "GENERAL"
	case variant >= 0 && definition.Type != strings.ToLower(s.kind):
		s.reason, s.errorCode = "ERROR", "TYPE_MISMATCH"
	case variant >= 0:
		s.value = definition.Variants[variant].Value
	}
}

func (s *scenario) valueIs(text string) error {
	want, err := read(s.kind, text)
	if err != nil {
		return err
	}
	return same("value", s.value, want)
}

func (s *scenario) metadataHas(table *godog.Table) error {
	for _, row := range table.Rows[1:] {
		want, err := read(row.Cells[1].Value, row.Cells[2].Value)
		if err != nil {
			return err
		}
		if err := same("metadata "+row.Cells[0].Value, s.metadata[row.Cells[0].Value], want); err != nil {
			return err
		}
	}
	return nil
}
