package api

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// Change is one entry of the change log.
type Change struct {
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	Hash     string    `json:"hash"`
	Ops      []Op      `json:"ops"`
}

// Op is what a change did to one entity; a null Value is a deletion.
type Op struct {
	Kind  string          `json:"kind"`
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"`
}

// Changes gives at most limit changes after a revision, oldest first.
func (c *Client) Changes(ctx context.Context, after int64, limit int) ([]Change, error) {
	var p page[Change]
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	_, err := c.do(ctx, request{method: "GET", path: "/api/v1/changes", query: query}, &p)
	return p.Items, err
}

// Revert undoes one change by a new one.
func (c *Client) Revert(ctx context.Context, revision int64, reason string) (change Change, err error) {
	path := "/api/v1/changes/" + strconv.FormatInt(revision, 10) + "/revert"
	_, err = c.do(ctx, request{method: "POST", path: path, body: map[string]string{"reason": reason}, write: &Write{}}, &change)
	return change, err
}

// Evaluation is what a unit gets and why.
type Evaluation struct {
	Flag        string            `json:"flag"`
	Value       json.RawMessage   `json:"value"`
	Variant     string            `json:"variant"`
	Reason      string            `json:"reason"`
	ErrorCode   string            `json:"errorCode,omitempty"`
	Trial       string            `json:"trial,omitempty"`
	Role        string            `json:"role,omitempty"`
	Explanation []json.RawMessage `json:"explanation,omitempty"`
}

// Evaluate asks what a context would get of a flag. It counts as no exposure.
func (c *Client) Evaluate(ctx context.Context, flagKey string, attributes map[string]any) (e Evaluation, err error) {
	body := map[string]any{"flag": flagKey, "context": attributes}
	_, err = c.do(ctx, request{method: "POST", path: "/api/v1/evaluate", body: body}, &e)
	return e, err
}
