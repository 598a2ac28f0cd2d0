// Package flagd writes flag sets as flagd definition files, and reads such files.
//
// A structured flag becomes JsonLogic that gives the same variant for every context in every
// client that implements flagd's fractional v2; only the reason differs (TARGETING_MATCH instead
// of SPLIT). A flag that flagd cannot decide is marked as evaluated by the server. A flag that came
// as a flagd definition is written back as it came.
//
// What a context is: JSON attributes and a targeting key that is a string.
package flagd

import (
	"bytes"
	"encoding/json"
	"strings"
)

// MaxMessage is what stock gRPC clients receive at most, in bytes. A longer document still is a
// good file.
const MaxMessage = 4 << 20

// ServerEvaluated is the name of the metadata that marks a flag which in-process clients cannot
// decide. Such a flag is exported as disabled, so that they use the code default.
const ServerEvaluated = "seatrialServerEvaluated"

// Document is a flagd definition file. It marshals to {"flags", "$evaluators", "metadata"}; equal
// sets give equal bytes.
type Document struct {
	Flags      []Entry // by key
	Evaluators []Entry // by key
	FlagSetID  string  // the environment
	Version    string  // the revision, in decimal
	// ServerEvaluated lists, by key, the flags that stock in-process clients cannot decide, and
	// Reasons says why, for people.
	ServerEvaluated []string
	Reasons         map[string]string
	// Bytes is the length of the JSON; compare it with [MaxMessage].
	Bytes int
}

// Entry is one flag's definition or one evaluator, as compact JSON.
type Entry struct {
	Key        string
	Definition json.RawMessage
}

// MarshalJSON writes the file.
func (d Document) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(d.Bytes)
	b.WriteString(`{"flags":`)
	writeEntries(&b, d.Flags)
	if len(d.Evaluators) > 0 {
		b.WriteString(`,"$evaluators":`)
		writeEntries(&b, d.Evaluators)
	}
	if metadata := d.metadata(); metadata != "" {
		b.WriteString(`,"metadata":{` + metadata + `}`)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (d *Document) metadata() string {
	var parts []string
	if d.FlagSetID != "" {
		parts = append(parts, `"flagSetId":`+string(text(d.FlagSetID)))
	}
	if d.Version != "" {
		parts = append(parts, `"version":`+string(text(d.Version)))
	}
	return strings.Join(parts, ",")
}

func writeEntries(b *bytes.Buffer, entries []Entry) {
	b.WriteByte('{')
	for i, one := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(text(one.Key)))
		b.WriteByte(':')
		b.Write(one.Definition)
	}
	b.WriteByte('}')
}
