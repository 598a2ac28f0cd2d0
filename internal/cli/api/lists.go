package api

import (
	"context"
	"io"
	"net/url"
)

// ListStat describes the member list of a segment.
type ListStat struct {
	Segment  string `json:"segment"`
	Members  int    `json:"members"`
	Parts    int    `json:"parts"`
	Bytes    int64  `json:"bytes"`    // of all parts, on the server's disk
	Revision int64  `json:"revision"` // of the segment
}

// ListChange is what a change did to a list.
type ListChange struct {
	ListStat
	Added   int `json:"added"`
	Removed int `json:"removed"`
}

// ListEdit says what becomes of a list by an upload.
type ListEdit struct{ method, path string }

// The edits of a list.
var (
	ReplaceList = ListEdit{"PUT", "/list"}
	AddToList   = ListEdit{"POST", "/list/add"}
	TakeOffList = ListEdit{"POST", "/list/remove"}
)

// The types of an upload.
const (
	TypeText = "text/plain; charset=utf-8" // one targeting key a line
	TypeGzip = "application/gzip"          // of such a text
)

// UploadList changes the list of a segment by what keys has, which is of the type. It may take as
// long as ctx allows.
func (c *Client) UploadList(ctx context.Context, segment string, how ListEdit, keys io.Reader, contentType string, w Write) (change ListChange, err error) {
	_, err = c.do(ctx, request{method: how.method, path: at(segmentsPath, segment) + how.path,
		stream: keys, contentType: contentType, write: &w}, &change)
	return change, err
}

// ClearList removes the list of a segment.
func (c *Client) ClearList(ctx context.Context, segment string, w Write) (change ListChange, err error) {
	_, err = c.do(ctx, request{method: "DELETE", path: at(segmentsPath, segment) + "/list", write: &w}, &change)
	return change, err
}

// ListHas tells whether a unit is in the list of a segment. The segment's other members and its
// condition are not asked.
func (c *Client) ListHas(ctx context.Context, segment, unit string) (bool, error) {
	var answer struct {
		Member bool `json:"member"`
	}
	_, err := c.do(ctx, request{method: "GET", path: at(segmentsPath, segment) + "/list/contains", query: url.Values{"unit": {unit}}}, &answer)
	return answer.Member, err
}
