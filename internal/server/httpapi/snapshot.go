package httpapi

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/server/control"
)

// zipped is the newest snapshot, compressed once for all.
type zipped struct {
	head control.Head
	data []byte
}

// snapshot sends the whole state to an SDK that cannot follow the stream. The entity tag is the
// position that the stream uses as event id. Who may only look does not see secrets.
func (c *call) snapshot() error {
	view := c.api.cfg.Service.Snapshot()
	tag := fmt.Sprintf(`"%s:%d"`, view.Head.History, view.Head.Revision)
	header := c.w.Header()
	header.Set("Cache-Control", "private, no-cache")
	header.Set("Vary", "Accept-Encoding")
	if matches(c.r.Header.Get("If-None-Match"), tag) {
		header.Set("ETag", tag)
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	header.Set("Content-Type", "application/json")
	data := view.JSON()
	if c.principal.Role == control.RoleViewer {
		data = view.ShownJSON()
	} else if acceptsGzip(c.r.Header.Get("Accept-Encoding")) {
		var err error
		if data, err = c.api.gzip(view); err != nil {
			return err
		}
		header.Set("Content-Encoding", "gzip")
		tag = "W/" + tag // other bytes, the same state (RFC 9110, section 8.8.3.3)
	}
	header.Set("ETag", tag)
	header.Set("Content-Length", strconv.Itoa(len(data)))
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(data) // the client is gone if that fails
	return nil
}

func (a *API) gzip(view *control.View) ([]byte, error) {
	if have := a.zipped.Load(); have != nil && have.head == view.Head {
		return have.data, nil
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(view.JSON()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	a.zipped.Store(&zipped{view.Head, b.Bytes()})
	return b.Bytes(), nil
}

// matches reports whether a list of entity tags, as in If-None-Match, names tag. Weak ones count
// too (RFC 9110, section 13.1.2).
func matches(list, tag string) bool {
	for _, one := range strings.Split(list, ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding: gzip is named, and not with a weight of zero.
func acceptsGzip(header string) bool {
	for _, one := range strings.Split(header, ",") {
		name, parameters, _ := strings.Cut(one, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		weight, found := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !found || err == nil && q > 0
	}
	return false
}

// stream hands the request to the hub. It ends when the credential is no longer valid. It has the
// secrets of experiments, which are not for those who may only look.
func (c *call) stream() error {
	if c.principal.Role == control.RoleViewer {
		return &control.Error{Code: control.CodePermission, Message: "the stream is for clients of the SDK: use an SDK key, or read the change log"}
	}
	if c.api.cfg.Stream == nil {
		return unavailable("this server has no change stream")
	}
	return c.api.cfg.Stream(c.w, c.r, c.principal.ID, func() bool { return c.api.cfg.Auth.Still(c.r) })
}

// telemetry hands the request to the receiver.
func telemetry(receiver func(Config) http.Handler) func(*call) error {
	return func(c *call) error {
		h := receiver(c.api.cfg)
		if h == nil {
			return unavailable("this server takes no telemetry of this kind")
		}
		h.ServeHTTP(c.w, c.r)
		return nil
	}
}
