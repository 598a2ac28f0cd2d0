package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/definition"
)

// This file evaluates flags of definition files without a control plane, so that people can test
// their flags where they test their code.

// offlineRequest is one line of --requests.
type offlineRequest struct {
	Flag    string          `json:"flag"`
	Context map[string]any  `json:"context"`
	Default json.RawMessage `json:"default"` // absent: any type will do
}

// offlineResult is one line of the answer. Value is the request's default where the flag gives none.
type offlineResult struct {
	Flag      string          `json:"flag"`
	Value     json.RawMessage `json:"value"`
	Variant   string          `json:"variant"`
	Reason    string          `json:"reason"`
	ErrorCode string          `json:"errorCode"`
	Metadata  map[string]any  `json:"metadata"`
}

// offline evaluates the flags of files.
type offline struct {
	flags    *eval.Snapshot
	metadata map[string]any // of the set
	broken   map[string]error
}

func (a *app) openOffline(paths []string) (*offline, error) {
	bundle, err := a.readInto(&definition.Bundle{Evaluate: true}, paths)
	if err != nil {
		return nil, err
	}
	broken := bundle.TakeBroken()
	for _, key := range slices.Sorted(maps.Keys(broken)) {
		a.say("%s", a.narration.marked(markWarn, fmt.Sprintf("flag %s cannot be evaluated: %v", key, broken[key])))
	}
	if err := bundle.Validate(); err != nil {
		return nil, err
	}
	flags, err := eval.Compile(bundle.Set(""))
	return &offline{flags: flags, metadata: bundle.Metadata, broken: broken}, err
}

// context makes an evaluation context of a JSON object.
func (o *offline) context(given map[string]any) (*eval.Context, error) {
	c := &eval.Context{Attributes: make(map[string]any, len(given)), Time: time.Now().Unix()}
	for name, value := range given {
		if name != "targetingKey" {
			c.Attributes[name] = value
			continue
		}
		key, ok := value.(string)
		if !ok && value != nil {
			return nil, errors.New("targetingKey must be a string: quote it")
		}
		c.TargetingKey = key
	}
	return c, nil
}

func (o *offline) evaluate(r offlineRequest) offlineResult {
	f := o.flags.Flag(r.Flag)
	result := offlineResult{Flag: r.Flag, Value: orNull(r.Default), Metadata: map[string]any{}}
	maps.Copy(result.Metadata, o.metadata)
	maps.Copy(result.Metadata, f.Metadata())
	c, err := o.context(r.Context)
	if err != nil {
		result.Reason, result.ErrorCode = string(eval.ReasonError), string(eval.ErrorInvalidContext)
		return result
	}
	if o.broken[r.Flag] != nil {
		result.Reason, result.ErrorCode = string(eval.ReasonError), string(eval.ErrorParse)
		return result
	}
	e := f.Evaluate(c)
	value, err := json.Marshal(e.Value)
	if e.Value != nil && err == nil && !sameType(value, r.Default) {
		result.Reason, result.ErrorCode = string(eval.ReasonError), string(eval.ErrorTypeMismatch)
		return result
	}
	if e.Value != nil || e.Variant != "" {
		result.Value = value
	}
	result.Variant, result.Reason, result.ErrorCode = e.Variant, string(e.Reason), string(e.Error)
	return result
}

// explain evaluates with every step, in the form in which the control plane answers.
func (o *offline) explain(name string, given map[string]any) api.Evaluation {
	c, err := o.context(given)
	if err != nil {
		return api.Evaluation{Flag: name, Reason: string(eval.ReasonError), ErrorCode: string(eval.ErrorInvalidContext)}
	}
	if broken := o.broken[name]; broken != nil {
		step, _ := json.Marshal(eval.ExplainStep{Part: "definition", Matched: true, Detail: broken.Error()})
		return api.Evaluation{Flag: name, Reason: string(eval.ReasonError), ErrorCode: string(eval.ErrorParse), Explanation: []json.RawMessage{step}}
	}
	e := o.flags.Flag(name).Explain(c)
	shown := api.Evaluation{Flag: name, Variant: e.Result.Variant, Reason: string(e.Result.Reason), ErrorCode: string(e.Result.Error)}
	if e.Result.Value != nil {
		shown.Value, _ = json.Marshal(e.Result.Value) // a decoded JSON value can be written
	}
	for _, step := range e.Steps {
		raw, _ := json.Marshal(step)
		shown.Explanation = append(shown.Explanation, raw)
	}
	return shown
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

// sameType compares types as clients do: a default that is absent or null asks for none.
func sameType(value, def json.RawMessage) bool {
	if len(def) == 0 || string(def) == "null" {
		return true
	}
	return kindOf(value) == kindOf(def)
}

func kindOf(raw json.RawMessage) byte {
	switch c := raw[0]; c {
	case '{', '[', '"':
		return c
	case 't', 'f':
		return 't'
	}
	return '0'
}

// maxRequestLine bounds one line of --requests, in bytes.
const maxRequestLine = 4 << 20

// evaluateRequests answers each line of a file of requests with a line.
func (a *app) evaluateRequests(o *offline, path string) error {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRequestLine)
	out := bufio.NewWriter(a.out)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	n := 0
	for lines.Scan() {
		n++
		if len(lines.Bytes()) == 0 {
			continue
		}
		r, err := parseRequest(lines.Bytes())
		if err != nil {
			return fmt.Errorf("%s:%d: %w", shownPath(path), n, err)
		}
		if err := encoder.Encode(o.evaluate(r)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w: a line has at most %d bytes", shownPath(path), n+1, err, maxRequestLine)
	}
	return nil
}

func parseRequest(line []byte) (r offlineRequest, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf(`%w: write {"flag":"search","context":{"targetingKey":"u1"},"default":false}`, err)
	}
	if r.Flag == "" {
		return r, errors.New(`names no flag: write {"flag":"search","context":{…},"default":false}`)
	}
	return r, nil
}
