package control

import (
	"bytes"
	"encoding/json"
)

// maxPatchDepth bounds how deep a merge patch reaches into a document. What is deeper replaces as
// a whole.
const maxPatchDepth = 64

// mergePatch gives target after a JSON merge patch (RFC 7396, section 2): members of an object
// replace those of that name, null removes one, anything else replaces the whole. What the patch
// does not name keeps its bytes. An empty target is an absent one.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	return mergeLevel(target, patch, maxPatchDepth)
}

func mergeLevel(target, patch json.RawMessage, depth int) (json.RawMessage, error) {
	if !isObject(patch) || depth == 0 {
		return patch, nil
	}
	var changes, fields map[string]json.RawMessage
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, err
	}
	if isObject(target) {
		if err := json.Unmarshal(target, &fields); err != nil {
			return nil, err
		}
	}
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	for name, change := range changes {
		if string(bytes.TrimSpace(change)) == "null" {
			delete(fields, name)
			continue
		}
		merged, err := mergeLevel(fields[name], change, depth-1)
		if err != nil {
			return nil, err
		}
		fields[name] = merged
	}
	return json.Marshal(fields)
}

func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{'
}
