package httpapi

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

// maxUpload bounds the body of an upload, in bytes as sent: the longest list, each line with an
// end of two bytes.
const maxUpload = flag.MaxListMembers * (flag.MaxMember + 2)

// lists gives the use cases of member lists.
func (c *call) lists() (*lists.Service, error) {
	if c.api.cfg.Lists == nil {
		return nil, unavailable("this server keeps no member lists")
	}
	return c.api.cfg.Lists, nil
}

type uploader func(*lists.Service, context.Context, string, io.Reader, control.WriteOptions) (lists.Change, error)

// upload hands the body, targeting keys one a line, to a use case.
func upload(do uploader) func(*call) error {
	return func(c *call) error {
		service, err := c.lists()
		if err != nil {
			return err
		}
		o, err := c.write()
		if err != nil {
			return err
		}
		if err := c.checkText(); err != nil {
			return err
		}
		change, err := do(service, c.r.Context(), c.r.PathValue("key"), http.MaxBytesReader(c.w, c.r.Body, maxUpload), o)
		if err != nil {
			return err
		}
		return c.answerWritten(o, "", change.Revision, change)
	}
}

// checkText refuses bodies that are neither text nor gzip of it. Which of the two it is, the body
// itself tells.
func (c *call) checkText() error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	coding := c.r.Header.Get("Content-Encoding")
	switch {
	case err != nil || kind != "text/plain" && kind != "application/gzip" && kind != "application/octet-stream":
		return &control.Error{Code: codeMediaType, Message: fmt.Sprintf("Content-Type is %q: send one targeting key a line as text/plain, or gzip of that as application/gzip", c.r.Header.Get("Content-Type"))}
	case coding != "" && coding != "identity" && coding != "gzip":
		return &control.Error{Code: codeMediaType, Message: fmt.Sprintf("Content-Encoding is %q: send plain text or gzip", coding)}
	}
	return nil
}

func (c *call) clearList() error {
	service, err := c.lists()
	if err != nil {
		return err
	}
	o, err := c.write()
	if err != nil {
		return err
	}
	change, err := service.Clear(c.r.Context(), c.r.PathValue("key"), o)
	if err != nil {
		return err
	}
	return c.answerWritten(o, "", change.Revision, change)
}

func (c *call) getList() error {
	service, err := c.lists()
	if err != nil {
		return err
	}
	stat, err := service.Stat(c.r.PathValue("key"))
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", c.etag(stat.Revision))
	return c.answer(http.StatusOK, stat)
}

// membership tells whether a unit is in a list.
type membership struct {
	Segment string `json:"segment"`
	Unit    string `json:"unit"`
	Member  bool   `json:"member"`
}

func (c *call) listContains() error {
	service, err := c.lists()
	if err != nil {
		return err
	}
	m := membership{Segment: c.r.PathValue("key"), Unit: c.param("unit")}
	if m.Unit == "" {
		return invalid("query parameter unit is missing: give the targeting key to look for")
	}
	if m.Member, err = service.Contains(c.r.Context(), m.Segment, m.Unit); err != nil {
		return err
	}
	return c.answer(http.StatusOK, m)
}

// getPart sends a part of a list to an SDK. It never changes, so it may be kept for ever.
func (c *call) getPart() error {
	service, err := c.lists()
	if err != nil {
		return err
	}
	digest := c.r.PathValue("digest")
	return service.Part(c.r.Context(), digest, func(data []byte) error {
		header, tag := c.w.Header(), strconv.Quote(digest)
		header.Set("Cache-Control", "private, max-age=31536000, immutable")
		header.Set("ETag", tag)
		if matches(c.r.Header.Get("If-None-Match"), tag) {
			c.w.WriteHeader(http.StatusNotModified)
			return nil
		}
		header.Set("Content-Type", "application/octet-stream")
		header.Set("Content-Length", strconv.Itoa(len(data)))
		c.w.WriteHeader(http.StatusOK)
		_, _ = c.w.Write(data) // the client is gone if that fails
		return nil
	})
}
