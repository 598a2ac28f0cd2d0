package control

import (
	"bytes"
	"encoding/json"
	"slices"
)

// WriteOptions go with every write. The zero value is an unconditional write by nobody, which
// is refused: Actor is required.
type WriteOptions struct {
	// Actor is who writes, as recorded in the log: "token:<id> (<name>)", "controller". 1 to 200 bytes.
	Actor string
	// Reason tells people why; at most 2 000 bytes. Empty is allowed.
	Reason string
	// IdempotencyKey, if not empty, makes a repeated write by the same actor return the first
	// one's result instead of writing again. At most 200 bytes. A key that was used for
	// something else is a conflict.
	IdempotencyKey string
	// IfMatch is the condition on the entity. The zero value is none.
	IfMatch IfMatch
	// DryRun checks everything and returns what would be stored, but stores nothing. The
	// revision of the result is then that of the entity before, 0 if it is new.
	DryRun bool
}

// IfMatch is a condition on the entity that a write touches. A positive value is the revision
// of the last change to it; a mismatch is a *Error with [CodeConflict].
type IfMatch int64

// The conditions that are no revision.
const (
	MatchAlways IfMatch = 0  // no condition
	MatchExists IfMatch = -1 // the entity exists ("If-Match: *")
	MatchAbsent IfMatch = -2 // the entity does not exist ("If-None-Match: *")
)

// Page asks for part of a list that is sorted by key.
type Page struct {
	// After is the cursor: the key after which the page starts. Empty: from the start.
	After string
	// Limit is the most entries to return, 1 to 1 000. 0 means 100; more is cut to 1 000.
	Limit int
}

// setOp builds an op that sets an entity.
func setOp(kind EntityKind, key string, value any) (Op, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return Op{}, &Error{Code: CodeInvalid, Message: string(kind) + " " + key + ": cannot be written as JSON: " + err.Error(), Err: err}
	}
	return Op{Kind: kind, Key: key, Value: raw}, nil
}

// sameJSON reports whether two values are the same to those who read them as JSON. What cannot be
// written is the same as nothing.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// pageSize brings a limit into 1 to 1 000; 0 and less mean 100.
func pageSize(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, 1_000)
}

// page cuts a page out of a collection by key, and gives the cursor of the next one.
func page[T any](all map[string]T, p Page) (items []T, next string) {
	keys := make([]string, 0, len(all))
	for key := range all {
		if key > p.After {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if n := pageSize(p.Limit); len(keys) > n {
		keys = keys[:n]
		next = keys[n-1]
	}
	items = make([]T, 0, len(keys))
	for _, key := range keys {
		items = append(items, all[key])
	}
	return items, next
}
