// Package importer reads the flags of other systems: GO Feature Flag files, and exports of Unleash,
// LaunchDarkly and GrowthBook.
//
// What comes out decides as the other system did, but for one thing: each system has a hash of its
// own, so users of percentage rollouts are dealt out anew. The notes say for every flag who keeps
// the variant and how many of the others do. A flag whose decisions cannot be expressed is left out
// with a note, never imported as something else; what differs in detail is noted as lossy.
package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/definition"
)

// Level says what became of a flag, or of a part of it.
type Level string

// The levels.
const (
	Kept       Level = "kept"       // all users keep what they have
	Rebucketed Level = "rebucketed" // a share of the users of a percentage changes variant
	Lossy      Level = "lossy"      // something differs; the note says what
	Skipped    Level = "skipped"    // not imported
)

// Note is one thing to know about an imported flag, for people.
type Note struct {
	Flag   string `json:"flag"` // as the other system calls it; a segment's note has "segment " before its name; empty: all
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
}

// Result is what was read. Flags and Segments are valid together, sorted by key; every flag of the
// file has at least one note.
type Result struct {
	Flags    []flag.Flag
	Segments []flag.Segment
	Notes    []Note
}

// Options of an import.
type Options struct {
	// Environment is the one to read from a file that has several. Empty is right if it has one.
	Environment string
	// Now is the instant at which flags that change by themselves are taken. The zero time is
	// before all of their steps.
	Now time.Time
}

// ErrEnvironment is in the error about a file with environments of which the options name none.
var ErrEnvironment = errors.New("choose one")

// Source is a system that flags can come from.
type Source struct {
	Name  string // for the command line: "unleash"
	Title string // for people: "Unleash"
	Hint  string // where such a file comes from
	// Import reads a file. The error says where the file is broken, or that it has no such
	// environment.
	Import func(data []byte, opt Options) (*Result, error)

	looks func(top map[string]json.RawMessage) bool
}

// Sources gives all sources, those first whose files are told most easily.
func Sources() []Source {
	return []Source{
		{"launchdarkly", "LaunchDarkly", "GET /api/v2/flags/PROJECT?summary=0, or the data of a relay or a file data source", LaunchDarkly, looksLaunchDarkly},
		{"unleash", "Unleash", "the export of a project, or the answer of /api/client/features", Unleash, looksUnleash},
		{"growthbook", "GrowthBook", "the answer of the SDK endpoint /api/features/KEY", GrowthBook, looksGrowthBook},
		{"goff", "GO Feature Flag", "the flag file, YAML or JSON", GoFeatureFlag, looksGoFeatureFlag},
	}
}

// Detect gives the source that a file seems to come from.
func Detect(data []byte) (Source, bool) {
	document, err := read(data)
	var top map[string]json.RawMessage
	if err != nil || json.Unmarshal(document.JSON, &top) != nil {
		return Source{}, false
	}
	for _, source := range Sources() {
		if source.looks(top) {
			return source, true
		}
	}
	return Source{}, false
}

// read reads JSON or YAML, which must be one document.
func read(data []byte) (*definition.Document, error) {
	documents, err := definition.Documents("file", data)
	switch {
	case err != nil:
		return nil, err
	case len(documents) != 1:
		return nil, fmt.Errorf("the file has %d documents; give one", len(documents))
	}
	return &documents[0], nil
}

// decode reads a file into a structure. Fields that the structure has not are no error.
func decode(data []byte, title string, into any) error {
	document, err := read(data)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(document.JSON), []byte("{")) {
		return fmt.Errorf("the file is no %s file: it must be an object", title)
	}
	err = json.Unmarshal(document.JSON, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("the file is no %s file: %s is a %s, which cannot stand there", title, wrong.Field, wrong.Value)
	}
	return err
}

// has reports whether an object has all of some members.
func has(object map[string]json.RawMessage, names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return object[name] == nil })
}
