package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestProblemsReadWell(t *testing.T) {
	b := newBench(t)
	tag := b.send("POST", v1+"/flags", searchFlag).want(201).etag()
	b.send("PUT", v1+"/flags/search", searchFlag, "If-Match: "+tag).want(200)
	b.send("POST", v1+"/trials", searchRun).want(201)
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
	}{
		{"flag-with-unknown-field", "POST", v1 + "/flags", `{"key":"a","kinds":"release","type":"boolean","enabled":true,"variants":[{"name":"on","value":1}]}`, nil},
		{"flag-with-key-of-another", "PUT", v1 + "/flags/search", `{"key":"find","kind":"release","type":"boolean","enabled":true,"variants":[{"name":"on","value":true}]}`, nil},
		{"trial-with-misspelt-fields", "POST", v1 + "/trials", `{"name":"x","flag":"search","treatement":"on","steps":[{"share":"5%"}],"interval":15}`, nil},
		{"trial-with-impossible-plan", "POST", v1 + "/trials", `{"name":"x","flag":"search","treatment":"on","control":"on","steps":[{"share":120000}]}`, nil},
		{"broken-json", "POST", v1 + "/flags", `{"key":`, nil},
		{"broken-token", "POST", v1 + "/tokens", `{"name":"x","kind":"sdk"`, nil},
		{"no-flag", "GET", v1 + "/flags/serach", "", nil},
		{"no-path", "GET", v1 + "/flag", "", nil},
		{"no-method", "DELETE", v1 + "/flags", "", nil},
		{"unknown-parameter", "POST", v1 + "/flags?dry-run=true", searchFlag, nil},
		{"exists", "POST", v1 + "/flags", searchFlag, nil},
		{"no-condition", "DELETE", v1 + "/flags/search", "", nil},
		{"stale", "PUT", v1 + "/flags/search", searchFlag, []string{"If-Match: " + tag}},
		{"trial-runs", "DELETE", v1 + "/flags/search", "", []string{"If-Match: *"}},
		{"no-token", "GET", v1 + "/flags", "", []string{"as: nobody"}},
		{"sdk-key", "GET", v1 + "/flags", "", []string{"as: sdk"}},
		{"weak-role", "POST", v1 + "/flags", searchFlag, []string{"as: viewer"}},
		{"media-type", "POST", v1 + "/flags", searchFlag, []string{"Content-Type: text/plain"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := b.send(test.method, test.path, test.body, test.headers...)
			if a.status < 400 || a.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("no problem: %d %s", a.status, a.body)
			}
			golden(t, filepath.Join("testdata", "problems", test.name+".json"), stable(t, a, tag))
		})
	}
}

// stable gives a problem without what differs from run to run.
func stable(t *testing.T, a answer, tag string) []byte {
	t.Helper()
	var p Problem
	a.json(&p)
	history, _, _ := strings.Cut(strings.Trim(tag, `"`), ":")
	text := strings.NewReplacer(p.RequestID, "REQUEST", history, "HISTORY").Replace(string(a.body))
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}
