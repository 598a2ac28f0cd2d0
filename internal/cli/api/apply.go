package api

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Batch is what many definitions become in one change.
type Batch struct {
	Flags          []flag.Flag    `json:"flags,omitempty"`
	Segments       []flag.Segment `json:"segments,omitempty"`
	Layers         []flag.Layer   `json:"layers,omitempty"`
	DeleteFlags    []string       `json:"deleteFlags,omitempty"`
	DeleteSegments []string       `json:"deleteSegments,omitempty"`
	DeleteLayers   []string       `json:"deleteLayers,omitempty"`
	// IfMatch are conditions that must all hold.
	IfMatch []Condition `json:"ifMatch,omitempty"`
}

// Condition asks that an entity is at a revision; 0: that it does not exist.
type Condition struct {
	Kind     string `json:"kind"`
	Key      string `json:"key"`
	Revision int64  `json:"revision"`
}

// Applied is what a batch did, or would do.
type Applied struct {
	Revision int64         `json:"revision"` // 0: nothing was stored
	Items    []AppliedItem `json:"items"`
}

// AppliedItem is what a batch did to one entity.
type AppliedItem struct {
	Kind   string          `json:"kind"`
	Key    string          `json:"key"`
	Action string          `json:"action"` // created, updated, deleted, unchanged
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Apply makes a batch one change.
func (c *Client) Apply(ctx context.Context, b Batch, w Write) (Applied, error) {
	return send[Applied](ctx, c, "POST", "/api/v1/apply", b, w)
}

// Compare says what would change in an environment if everything of another came there.
func (c *Client) Compare(ctx context.Context, environment, with string) (a Applied, err error) {
	_, err = c.do(ctx, request{method: "GET", path: at(environmentsPath, environment) + "/compare", query: url.Values{"with": {with}}}, &a)
	return a, err
}

// Promotion says what of an environment goes to another. All keys empty: everything.
type Promotion struct {
	From     string   `json:"from"`
	Flags    []string `json:"flags,omitempty"`
	Segments []string `json:"segments,omitempty"`
	Layers   []string `json:"layers,omitempty"`
	State    bool     `json:"state,omitempty"`
	Prune    bool     `json:"prune,omitempty"`
}

// Promote makes definitions of another environment those of this one, in one change.
func (c *Client) Promote(ctx context.Context, environment string, p Promotion, w Write) (Applied, error) {
	return send[Applied](ctx, c, "POST", at(environmentsPath, environment)+"/promote", p, w)
}
