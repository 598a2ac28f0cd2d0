package api

import (
	"context"
	"net/url"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// Flag is a flag with the revision of the last change to it.
type Flag struct {
	flag.Flag
	Revision int64 `json:"revision"`
}

// Segment is a segment with the revision of the last change to it.
type Segment struct {
	flag.Segment
	Revision int64 `json:"revision"`
}

// page is one page of a list.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// all reads every page of a list.
func all[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	items := []T{}
	query := url.Values{"limit": {"1000"}}
	for {
		var p page[T]
		if _, err := c.do(ctx, request{method: "GET", path: path, query: query}, &p); err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		if p.NextCursor == "" || p.NextCursor == query.Get("cursor") {
			return items, nil
		}
		query.Set("cursor", p.NextCursor)
	}
}

const (
	flagsPath    = "/api/v1/flags"
	segmentsPath = "/api/v1/segments"
)

// Flags gives all flags, sorted by key.
func (c *Client) Flags(ctx context.Context) ([]Flag, error) { return all[Flag](ctx, c, flagsPath) }

// Flag gives one flag and its ETag.
func (c *Client) Flag(ctx context.Context, key string) (f Flag, etag string, err error) {
	etag, err = c.do(ctx, request{method: "GET", path: flagsPath + "/" + url.PathEscape(key)}, &f)
	return f, etag, err
}

// CreateFlag makes a new flag.
func (c *Client) CreateFlag(ctx context.Context, f flag.Flag, w Write) (stored Flag, err error) {
	_, err = c.do(ctx, request{method: "POST", path: flagsPath, body: f, write: &w}, &stored)
	return stored, err
}

// PutFlag changes a flag that exists; w.IfMatch must be set.
func (c *Client) PutFlag(ctx context.Context, f flag.Flag, w Write) (stored Flag, err error) {
	_, err = c.do(ctx, request{method: "PUT", path: flagsPath + "/" + url.PathEscape(f.Key), body: f, write: &w}, &stored)
	return stored, err
}

// DeleteFlag removes a flag; w.IfMatch must be set.
func (c *Client) DeleteFlag(ctx context.Context, key string, w Write) error {
	_, err := c.do(ctx, request{method: "DELETE", path: flagsPath + "/" + url.PathEscape(key), write: &w}, nil)
	return err
}

// Segments gives all segments, sorted by key.
func (c *Client) Segments(ctx context.Context) ([]Segment, error) {
	return all[Segment](ctx, c, segmentsPath)
}

// Segment gives one segment and its ETag.
func (c *Client) Segment(ctx context.Context, key string) (s Segment, etag string, err error) {
	etag, err = c.do(ctx, request{method: "GET", path: segmentsPath + "/" + url.PathEscape(key)}, &s)
	return s, etag, err
}

// CreateSegment makes a new segment.
func (c *Client) CreateSegment(ctx context.Context, s flag.Segment, w Write) (stored Segment, err error) {
	_, err = c.do(ctx, request{method: "POST", path: segmentsPath, body: s, write: &w}, &stored)
	return stored, err
}

// PutSegment changes a segment that exists; w.IfMatch must be set.
func (c *Client) PutSegment(ctx context.Context, s flag.Segment, w Write) (stored Segment, err error) {
	_, err = c.do(ctx, request{method: "PUT", path: segmentsPath + "/" + url.PathEscape(s.Key), body: s, write: &w}, &stored)
	return stored, err
}

// DeleteSegment removes a segment; w.IfMatch must be set.
func (c *Client) DeleteSegment(ctx context.Context, key string, w Write) error {
	_, err := c.do(ctx, request{method: "DELETE", path: segmentsPath + "/" + url.PathEscape(key), write: &w}, nil)
	return err
}
