package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

// entities serves one kind of entity that people write as a whole: T is its definition, E what
// is stored of it.
type entities[T, E any] struct {
	what     string // for people
	path     string
	decode   func(data []byte) (T, error) // strict
	key      func(*T) *string
	revision func(E) int64

	list   func(*control.Service, control.Page) ([]E, string)
	get    func(*control.Service, string) (E, error)
	create func(*control.Service, context.Context, T, control.WriteOptions) (E, error)
	put    func(*control.Service, context.Context, T, control.WriteOptions) (E, error)
	remove func(*control.Service, context.Context, string, control.WriteOptions) (control.Change, error)
}

var flags = entities[flag.Flag, control.FlagEntry]{
	what: "the flag", path: v1 + "/flags", decode: flag.DecodeFlag,
	key:      func(f *flag.Flag) *string { return &f.Key },
	revision: func(e control.FlagEntry) int64 { return e.Revision },
	list:     (*control.Service).ListFlags, get: (*control.Service).GetFlag,
	create: (*control.Service).CreateFlag, put: (*control.Service).PutFlag, remove: (*control.Service).DeleteFlag,
}

var segments = entities[flag.Segment, control.SegmentEntry]{
	what: "the segment", path: v1 + "/segments", decode: flag.DecodeSegment,
	key:      func(s *flag.Segment) *string { return &s.Key },
	revision: func(e control.SegmentEntry) int64 { return e.Revision },
	list:     (*control.Service).ListSegments, get: (*control.Service).GetSegment,
	create: (*control.Service).CreateSegment, put: (*control.Service).PutSegment, remove: (*control.Service).DeleteSegment,
}

var layers = entities[flag.Layer, control.LayerEntry]{
	what: "the layer", path: v1 + "/layers", decode: flag.DecodeLayer,
	key:      func(l *flag.Layer) *string { return &l.Key },
	revision: func(e control.LayerEntry) int64 { return e.Revision },
	list:     (*control.Service).ListLayers, get: (*control.Service).GetLayer,
	create: (*control.Service).CreateLayer, put: (*control.Service).PutLayer, remove: (*control.Service).DeleteLayer,
}

func (e entities[T, E]) listAll(c *call) error {
	p, err := c.page()
	if err != nil {
		return err
	}
	items, next := e.list(c.api.cfg.Service, p)
	return answerPage(c, items, next)
}

func (e entities[T, E]) getOne(c *call) error {
	one, err := e.get(c.api.cfg.Service, c.r.PathValue("key"))
	if err != nil {
		return err
	}
	tag := c.etag(e.revision(one))
	c.w.Header().Set("ETag", tag)
	if matches(c.r.Header.Get("If-None-Match"), tag) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.answer(http.StatusOK, one)
}

// read gives the definition in the body, and what goes with the write.
func (e entities[T, E]) read(c *call) (one T, o control.WriteOptions, err error) {
	if o, err = c.write(); err != nil {
		return one, o, err
	}
	data, err := c.body(maxBody)
	if err != nil {
		return one, o, err
	}
	if one, err = e.decode(data); err != nil {
		return one, o, invalidBody(err)
	}
	return one, o, nil
}

func (e entities[T, E]) createOne(c *call) error {
	one, o, err := e.read(c)
	if err != nil {
		return err
	}
	stored, err := e.create(c.api.cfg.Service, c.r.Context(), one, o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, e.place(*e.key(&one)), e.revision(stored), stored)
}

func (e entities[T, E]) place(key string) string { return e.path + "/" + url.PathEscape(key) }

// putOne creates or replaces. The key may be left out of the body, but not differ.
func (e entities[T, E]) putOne(c *call) error {
	one, o, err := e.read(c)
	if err != nil {
		return err
	}
	inBody, inPath := e.key(&one), c.r.PathValue("key")
	if *inBody == "" {
		*inBody = inPath
	}
	if *inBody != inPath {
		return invalidAt("/key", "is %q, but the path says %q: a key cannot be changed, create another entity", *inBody, inPath)
	}
	_, missing := e.get(c.api.cfg.Service, inPath)
	if o.IfMatch, err = c.conditionOf(e.what, missing); err != nil {
		return err
	}
	stored, err := e.put(c.api.cfg.Service, c.r.Context(), one, o)
	if err != nil {
		return err
	}
	place := ""
	if missing != nil {
		place = e.place(inPath)
	}
	return c.answerWritten(o, place, e.revision(stored), stored)
}

func (e entities[T, E]) removeOne(c *call) error {
	o, err := c.write()
	if err != nil {
		return err
	}
	key := c.r.PathValue("key")
	_, missing := e.get(c.api.cfg.Service, key)
	if o.IfMatch, err = c.conditionOf(e.what, missing); err != nil {
		return err
	}
	if o.IfMatch == control.MatchAbsent {
		return missing
	}
	change, err := e.remove(c.api.cfg.Service, c.r.Context(), key, o)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, change)
}
