package flagd

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/flagtest"
)

// testKit is the file with which flagd tests its evaluators.
func testKit(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("../../../../shared/conformance/flagd/evaluator/flags/testkit-flags.json")
	if err != nil {
		if os.Getenv("SEATRIAL_TEST_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip("needs flagd's test kit in ../shared/conformance: ", err)
	}
	return data
}

func TestFilesComeBackEqual(t *testing.T) {
	data := testKit(t)
	flags, segments, err := Import(data)
	if err != nil {
		t.Fatal(err)
	}
	document, err := Export(flag.Set{Flags: flags, Segments: segments})
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := decoded(t, out), decoded(t, data); !reflect.DeepEqual(got, want) {
		t.Errorf("the file came back as %s", out)
	}
	if len(document.ServerEvaluated) > 0 {
		t.Errorf("evaluated by the server: %v", document.ServerEvaluated)
	}
}

// What was exported is a valid set once it is imported, and the same file when exported again.
func TestExportsComeBackEqual(t *testing.T) {
	for seed := range uint64(100) {
		set := flagtest.New(seed, flagtest.Options{Flags: 8}).Set
		first, err := Export(set)
		if err != nil {
			t.Fatal(err)
		}
		written, err := first.MarshalJSON()
		if err != nil || len(written) != first.Bytes {
			t.Fatal(err, len(written), first.Bytes)
		}
		flags, segments, err := Import(written)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		imported := flag.Set{Environment: set.Environment, Revision: set.Revision, Flags: flags, Segments: segments}
		if _, err := eval.Compile(imported); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		second, err := Export(imported)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := second.MarshalJSON(); !bytes.Equal(again, written) {
			t.Fatalf("seed %d:\n%s\ncame back as\n%s", seed, written, again)
		}
	}
}

func decoded(t testing.TB, data []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestFlagsMayBeAList(t *testing.T) {
	asList := `{"$schema": "x", "metadata": {"flagSetId": "a", "version": "7"}, "flags": [
		{"state": "ENABLED", "key": "b", "variants": {"on": true}, "defaultVariant": "on"},
		{"key": "a", "variants": {"x": 1, "y": 2.5}, "state": "DISABLED", "metadata": {"owner": "me"}}]}`
	flags, segments, err := Import([]byte(asList))
	if err != nil || len(segments) > 0 {
		t.Fatal(segments, err)
	}
	want := []flag.Flag{
		{Key: "a", Kind: flag.KindRelease, Type: flag.TypeFloat, Enabled: true,
			Definition: json.RawMessage(`{"variants":{"x":1,"y":2.5},"state":"DISABLED","metadata":{"owner":"me"}}`)},
		{Key: "b", Kind: flag.KindRelease, Type: flag.TypeBoolean, Enabled: true,
			Definition: json.RawMessage(`{"state":"ENABLED","variants":{"on":true},"defaultVariant":"on"}`)},
	}
	if !reflect.DeepEqual(flags, want) {
		t.Errorf("imported %+v", flags)
	}
}

func TestImportSaysWhatItCannotKeep(t *testing.T) {
	const good = `{"state":"ENABLED","variants":{"on":true}}`
	tests := map[string]struct{ file, pointer, detail string }{
		"no JSON":            {`{"flags":`, "", "not valid JSON"},
		"no object":          {`[]`, "", "must be a JSON object"},
		"something after":    {`{"flags":{}} {}`, "", "closing brace"},
		"no UTF-8":           {"{\"flags\":{\"\xff\":1}}", "", "UTF-8"},
		"no flags":           {`{}`, "/flags", "missing"},
		"unknown part":       {`{"flags":{},"Flags":{}}`, "/Flags", "not a part"},
		"twice":              {`{"flags":{"a":` + good + `,"a":` + good + `}}`, "/flags/a", "twice"},
		"flag is no object":  {`{"flags":{"a":1}}`, "/flags/a", "must be a JSON object"},
		"key with a space":   {`{"flags":{"a b":` + good + `}}`, "/flags/a b", "rename the flag"},
		"key that is a path": {`{"flags":{"a/../b":` + good + `}}`, "/flags/a~1..~1b", "rename the flag"},
		"list without key":   {`{"flags":[` + good + `]}`, "/flags/0/key", "missing"},
		"twice in a list":    {`{"flags":[{"key":"a","state":"ENABLED","variants":{"on":true}},{"key":"a","state":"ENABLED","variants":{"on":true}}]}`, "/flags/1", "twice"},
		"metadata":           {`{"flags":{},"metadata":{"team":"x"}}`, "/metadata/team", "cannot be kept"},
		"evaluator key":      {`{"flags":{},"$evaluators":{"a b":{}}}`, "/$evaluators/a b", "rename the evaluator"},
		"evaluator null":     {`{"flags":{},"$evaluators":{"a":null}}`, "/$evaluators/a", "null"},
		"long definition":    {`{"flags":{"a":{"state":"ENABLED","variants":{"on":"` + strings.Repeat("x", flag.MaxFlagBytes) + `"}}}}`, "/flags/a", "at most"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			flags, segments, err := Import([]byte(test.file))
			var problems *flag.Problems
			if !errors.As(err, &problems) || flags != nil || segments != nil {
				t.Fatalf("gives %v %v %v", flags, segments, err)
			}
			if one := problems.List[0]; one.Pointer != test.pointer || !strings.Contains(one.Detail, test.detail) {
				t.Errorf("%s: %s", one.Pointer, one.Detail)
			}
		})
	}
	if _, _, err := Import(make([]byte, MaxFile+1)); err == nil {
		t.Error("a file that is too long is read")
	}
}

// Whatever is imported comes back as the same file.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		`{"flags":{"a":{"state":"ENABLED","variants":{"on":true},"targeting":{"$ref":"e"}}},"$evaluators":{"e":{"==":[1,1]}}}`,
		`{"flags":[{"key":"a","state":"DISABLED","variants":{"x":1e9,"y":null}}],"metadata":{"version":"1"}}`,
		`{"flags":{"a":{"state":1,"variants":{"on":[]},"state":2}}}`, `{"flags":{}}`, `[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		flags, segments, err := Import(data)
		if err != nil {
			return
		}
		document, err := Export(flag.Set{Flags: flags, Segments: segments})
		if err != nil {
			t.Fatal(err)
		}
		written, err := document.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, evaluators, err := Import(written)
		if err != nil || !reflect.DeepEqual(again, flags) || !reflect.DeepEqual(evaluators, segments) {
			t.Errorf("%s\nbecame %s\n%v", data, written, err)
		}
	})
}
