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

// Layer is a layer with the revision of the last change to it.
type Layer struct {
	flag.Layer
	Revision int64 `json:"revision"`
}

// page is one page of a list.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// all reads every page of a list.
func all[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	return allOf[T](ctx, c, path, url.Values{})
}

// allOf reads every page of a list that query selects from.
func allOf[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	items := []T{}
	query.Set("limit", "1000")
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

// one reads one entity and its ETag.
func one[T any](ctx context.Context, c *Client, path string) (entity T, etag string, err error) {
	etag, err = c.do(ctx, request{method: "GET", path: path}, &entity)
	return entity, etag, err
}

// send writes body and gives what was stored.
func send[T any](ctx context.Context, c *Client, method, path string, body any, w Write) (stored T, err error) {
	_, err = c.do(ctx, request{method: method, path: path, body: body, write: &w}, &stored)
	return stored, err
}

// remove deletes an entity.
func (c *Client) remove(ctx context.Context, path string, w Write) error {
	_, err := c.do(ctx, request{method: "DELETE", path: path, write: &w}, nil)
	return err
}

const (
	flagsPath    = "/api/v1/flags"
	segmentsPath = "/api/v1/segments"
	layersPath   = "/api/v1/layers"
)

// Snapshot gives the whole flag set, with what running trials make of it.
func (c *Client) Snapshot(ctx context.Context) (set flag.Set, err error) {
	_, err = c.do(ctx, request{method: "GET", path: "/api/v1/snapshot"}, &set)
	return set, err
}

func at(collection, key string) string { return collection + "/" + url.PathEscape(key) }

// Flags gives all flags, sorted by key.
func (c *Client) Flags(ctx context.Context) ([]Flag, error) { return all[Flag](ctx, c, flagsPath) }

// Flag gives one flag and its ETag.
func (c *Client) Flag(ctx context.Context, key string) (Flag, string, error) {
	return one[Flag](ctx, c, at(flagsPath, key))
}

// CreateFlag makes a new flag.
func (c *Client) CreateFlag(ctx context.Context, f flag.Flag, w Write) (Flag, error) {
	return send[Flag](ctx, c, "POST", flagsPath, f, w)
}

// PutFlag changes a flag that exists; w.IfMatch must be set.
func (c *Client) PutFlag(ctx context.Context, f flag.Flag, w Write) (Flag, error) {
	return send[Flag](ctx, c, "PUT", at(flagsPath, f.Key), f, w)
}

// DeleteFlag removes a flag; w.IfMatch must be set.
func (c *Client) DeleteFlag(ctx context.Context, key string, w Write) error {
	return c.remove(ctx, at(flagsPath, key), w)
}

// RestoreFlag makes a flag what it was at a revision; w.IfMatch may be set.
func (c *Client) RestoreFlag(ctx context.Context, key string, revision int64, w Write) (Flag, error) {
	return send[Flag](ctx, c, "POST", at(flagsPath, key)+"/restore", map[string]int64{"revision": revision}, w)
}

// Segments gives all segments, sorted by key.
func (c *Client) Segments(ctx context.Context) ([]Segment, error) {
	return all[Segment](ctx, c, segmentsPath)
}

// Segment gives one segment and its ETag.
func (c *Client) Segment(ctx context.Context, key string) (Segment, string, error) {
	return one[Segment](ctx, c, at(segmentsPath, key))
}

// CreateSegment makes a new segment.
func (c *Client) CreateSegment(ctx context.Context, s flag.Segment, w Write) (Segment, error) {
	return send[Segment](ctx, c, "POST", segmentsPath, s, w)
}

// PutSegment changes a segment that exists; w.IfMatch must be set.
func (c *Client) PutSegment(ctx context.Context, s flag.Segment, w Write) (Segment, error) {
	return send[Segment](ctx, c, "PUT", at(segmentsPath, s.Key), s, w)
}

// DeleteSegment removes a segment; w.IfMatch must be set.
func (c *Client) DeleteSegment(ctx context.Context, key string, w Write) error {
	return c.remove(ctx, at(segmentsPath, key), w)
}

// Layers gives all layers, sorted by key.
func (c *Client) Layers(ctx context.Context) ([]Layer, error) { return all[Layer](ctx, c, layersPath) }

// Layer gives one layer and its ETag.
func (c *Client) Layer(ctx context.Context, key string) (Layer, string, error) {
	return one[Layer](ctx, c, at(layersPath, key))
}

// CreateLayer makes a new layer.
func (c *Client) CreateLayer(ctx context.Context, l flag.Layer, w Write) (Layer, error) {
	return send[Layer](ctx, c, "POST", layersPath, l, w)
}

// PutLayer changes a layer that exists; w.IfMatch must be set.
func (c *Client) PutLayer(ctx context.Context, l flag.Layer, w Write) (Layer, error) {
	return send[Layer](ctx, c, "PUT", at(layersPath, l.Key), l, w)
}

// DeleteLayer removes a layer; w.IfMatch must be set.
func (c *Client) DeleteLayer(ctx context.Context, key string, w Write) error {
	return c.remove(ctx, at(layersPath, key), w)
}
