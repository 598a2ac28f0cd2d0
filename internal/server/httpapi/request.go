package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

// maxBody bounds the body of a request, in bytes. Telemetry has its own bound.
const maxBody = 4 << 20

// body reads the whole body, which must be JSON of at most limit bytes.
func (c *call) body(limit int64) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &control.Error{Code: codeMediaType, Message: fmt.Sprintf("Content-Type is %q: send JSON as application/json", c.r.Header.Get("Content-Type"))}
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, &control.Error{Code: control.CodeTooLarge, Message: fmt.Sprintf("the body has more than %d bytes: send less", limit)}
	case err != nil:
		return nil, invalid("the body could not be read: %v", err)
	}
	return data, nil
}

// decode reads the body into a struct, strictly.
func (c *call) decode(subject string, into any) error {
	data, err := c.body(maxBody)
	if err != nil {
		return err
	}
	if err := decodeStrict(subject, data, into); err != nil {
		return invalidBody(err)
	}
	return nil
}

// decodeOptional is decode for a body that may be left out.
func (c *call) decodeOptional(subject string, into any) error {
	if c.r.ContentLength == 0 {
		return nil
	}
	return c.decode(subject, into)
}

// answer sends v as JSON.
func (c *call) answer(status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(data, '\n')) // the client is gone if that fails
	return nil
}

// page is one page of a list.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// answerPage sends a page; next is where the following one starts, empty if there is none.
func answerPage[T any](c *call, items []T, next string) error {
	p := page[T]{Items: items}
	if p.Items == nil {
		p.Items = []T{}
	}
	if next != "" {
		p.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(next))
	}
	return c.answer(http.StatusOK, p)
}

// checkQuery refuses parameters that the route does not know: a misspelt dryRun must not write.
func (c *call) checkQuery() error {
	switch c.route.class {
	case classTelemetry, classProbe, classPage:
		return nil
	}
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return invalid("the query cannot be read: %v", err)
	}
	for name, values := range query {
		if !slices.Contains(c.route.query, name) {
			return invalid("%s has no query parameter %q%s", c.r.URL.Path, name, flag.Suggest(name, slices.Values(c.route.query)))
		}
		if len(values) > 1 {
			return invalid("query parameter %q is there %d times: give it once", name, len(values))
		}
	}
	return nil
}

func (c *call) param(name string) string { return c.r.URL.Query().Get(name) }

// boolParam reads true or false; absent is false.
func (c *call) boolParam(name string) (bool, error) {
	switch c.param(name) {
	case "":
		if c.r.URL.Query().Has(name) {
			break
		}
		return false, nil
	case "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, invalid("query parameter %s is %q: write true or false", name, c.param(name))
}

// intParam reads a whole number from lowest to highest; absent is 0.
func (c *call) intParam(name string, lowest, highest int64) (int64, error) {
	text := c.param(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < lowest || n > highest {
		return 0, invalid("query parameter %s is %q: write a whole number from %d to %d", name, text, lowest, highest)
	}
	return n, nil
}

// maxLimit is the longest page.
const maxLimit = 1_000

func (c *call) limit() (int, error) {
	n, err := c.intParam("limit", 1, maxLimit)
	return int(n), err
}

// cursor reads what answerPage wrote; absent is "".
func (c *call) cursor() (string, error) {
	text := c.param("cursor")
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", invalid("the cursor is damaged: use nextCursor as it was given")
	}
	return string(data), nil
}

// numberCursor is cursor for lists that are ordered by number; absent is the parameter named,
// or 0 if that is absent too.
func (c *call) numberCursor(otherwise string) (int64, error) {
	text, err := c.cursor()
	if err != nil {
		return 0, err
	}
	if text == "" {
		return c.intParam(otherwise, 0, 1<<53)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("the cursor is damaged: use nextCursor as it was given")
	}
	return n, nil
}

func (c *call) page() (control.Page, error) {
	after, err := c.cursor()
	if err != nil {
		return control.Page{}, err
	}
	limit, err := c.limit()
	return control.Page{After: after, Limit: limit}, err
}

// maxIdempotencyKey bounds the header, in bytes; the log has room for the actor with it.
const maxIdempotencyKey = 200

// write reads what goes with every write, but for the condition.
func (c *call) write() (control.WriteOptions, error) {
	o := control.WriteOptions{Actor: c.principal.Actor(), Reason: c.param("reason"), IdempotencyKey: c.r.Header.Get("Idempotency-Key")}
	if len(o.Reason) > control.MaxReason {
		return o, invalid("query parameter reason has %d bytes: at most %d are allowed, shorten it", len(o.Reason), control.MaxReason)
	}
	if len(o.IdempotencyKey) > maxIdempotencyKey || strings.ContainsFunc(o.IdempotencyKey, func(r rune) bool { return r < ' ' || r > '~' }) {
		return o, invalid("the header Idempotency-Key has 1 to %d printable ASCII characters", maxIdempotencyKey)
	}
	var err error
	if slices.Contains(c.route.query, "dryRun") {
		o.DryRun, err = c.boolParam("dryRun")
	}
	return o, err
}

// etag gives the entity tag of the revision of an entity. Revisions are told apart by history,
// so that a tag from before the restore of a backup matches nothing.
func (c *call) etag(revision int64) string {
	return fmt.Sprintf(`"%s:%d"`, c.api.cfg.Service.Head().History, revision)
}

// condition reads If-Match and If-None-Match of a write; given is false if there is neither.
func (c *call) condition() (match control.IfMatch, given bool, err error) {
	have, lack := c.r.Header.Get("If-Match"), c.r.Header.Get("If-None-Match")
	switch {
	case have != "" && lack != "":
		return 0, false, invalid("If-Match and If-None-Match contradict each other: send one of the two")
	case have == "" && lack == "":
		return control.MatchAlways, false, nil
	case lack == "*":
		return control.MatchAbsent, true, nil
	case lack != "":
		return 0, false, invalid(`If-None-Match of a write can only be *: "it does not exist yet"`)
	case have == "*":
		return control.MatchExists, true, nil
	}
	history, number, _ := strings.Cut(strings.Trim(have, `"`), ":")
	revision, err := strconv.ParseInt(number, 10, 64)
	if len(have) < 2 || have[0] != '"' || have[len(have)-1] != '"' || err != nil || revision < 1 {
		return 0, false, invalid("If-Match is %q: send the ETag of the entity as it was given, or *", have)
	}
	if history != c.api.cfg.Service.Head().History {
		return 0, false, &control.Error{Code: control.CodeConflict, Message: "the ETag is from before the restore of a backup: read the entity again"}
	}
	return control.IfMatch(revision), true, nil
}

// conditionOf is condition for an entity that exists (revision) or not (an error of code
// not_found). What exists is changed only by those who say which state they have seen.
func (c *call) conditionOf(what string, getErr error) (control.IfMatch, error) {
	match, given, err := c.condition()
	switch {
	case err != nil || given:
		return match, err
	case getErr == nil:
		return 0, &control.Error{Code: codePrecondition, Message: what + ` exists: send its ETag in the header If-Match, so that nobody's change is lost ("*": whatever it is now)`}
	case control.CodeOf(getErr) == control.CodeNotFound:
		return control.MatchAbsent, nil
	}
	return 0, getErr
}

// answerWritten sends what was stored; path is where a new entity is found from now on, empty if
// it existed.
func (c *call) answerWritten(o control.WriteOptions, path string, revision int64, v any) error {
	status := http.StatusOK
	if !o.DryRun {
		c.w.Header().Set("ETag", c.etag(revision))
		if path != "" {
			c.w.Header().Set("Location", path)
			status = http.StatusCreated
		}
	}
	return c.answer(status, v)
}
