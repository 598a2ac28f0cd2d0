package api

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
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

// pageOfLog is how many changes are read at a time.
const pageOfLog = 1000

// ChangeFilter selects changes; empty fields select all.
type ChangeFilter struct {
	Kind, Key string // changes with an op on such an entity
	After     int64  // changes with a greater revision
	// Limit is the most changes, the newest ones. 0: all.
	Limit int
}

// Changes gives the selected changes, newest first. It asks for the history of one entity where
// that is what is wanted, else it reads the log backwards down to After, a page at a time.
func (c *Client) Changes(ctx context.Context, f ChangeFilter) ([]Change, error) {
	if path := historyPaths[f.Kind]; path != "" && f.Key != "" {
		return c.history(ctx, path+"/"+url.PathEscape(f.Key)+"/history", f)
	}
	found := []Change{}
	query := url.Values{"order": {"newest"}, "after": {strconv.FormatInt(f.After, 10)}, "limit": {strconv.Itoa(f.page())}}
	for {
		var p page[Change]
		if _, err := c.do(ctx, request{method: "GET", path: "/api/v1/changes", query: query}, &p); err != nil {
			return nil, err
		}
		for _, change := range p.Items {
			if f.Limit > 0 && len(found) == f.Limit {
				return found, nil
			}
			if f.selects(change) {
				found = append(found, change)
			}
		}
		if p.NextCursor == "" || f.Limit > 0 && len(found) == f.Limit {
			return found, nil
		}
		query.Set("cursor", p.NextCursor)
	}
}

// page gives how many changes to ask for at a time: what is wanted, where every change is.
func (f ChangeFilter) page() int {
	if f.Limit > 0 && f.Kind == "" && f.Key == "" {
		return min(f.Limit, pageOfLog)
	}
	return pageOfLog
}

// historyPaths are the kinds of entity that have a history of their own.
var historyPaths = map[string]string{"flag": flagsPath, "segment": segmentsPath, "layer": layersPath, "trial": trialsPath}

// history gives the newest changes of one entity down to f.After.
func (c *Client) history(ctx context.Context, path string, f ChangeFilter) ([]Change, error) {
	found := []Change{}
	query := url.Values{"limit": {strconv.Itoa(pageOfLog)}}
	for {
		var p page[Change]
		if _, err := c.do(ctx, request{method: "GET", path: path, query: query}, &p); err != nil {
			return nil, err
		}
		for _, change := range p.Items {
			if change.Revision <= f.After || f.Limit > 0 && len(found) == f.Limit {
				return found, nil
			}
			found = append(found, change)
		}
		if len(p.Items) < pageOfLog {
			return found, nil
		}
		query.Set("before", strconv.FormatInt(p.Items[len(p.Items)-1].Revision, 10))
	}
}

func (f ChangeFilter) selects(change Change) bool {
	if f.Kind == "" && f.Key == "" {
		return true
	}
	return slices.ContainsFunc(change.Ops, func(op Op) bool {
		return (f.Kind == "" || op.Kind == f.Kind) && (f.Key == "" || op.Key == f.Key)
	})
}

// Change gives one change.
func (c *Client) Change(ctx context.Context, revision int64) (change Change, err error) {
	_, err = c.do(ctx, request{method: "GET", path: "/api/v1/changes/" + strconv.FormatInt(revision, 10)}, &change)
	return change, err
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
