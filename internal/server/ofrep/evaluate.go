package ofrep

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/server/control"
)

// caller is who asks, and for which environment.
type caller struct {
	principal control.Principal
	site      *site
}

// client reports whether the caller may see only flags that are for browsers and phones.
func (c caller) client() bool { return c.principal.Role == control.RoleClient }

// enter lets a request in.
func (s *Server) enter(r *http.Request, environment string, now time.Time) (c caller, err error) {
	if c.principal, err = s.cfg.Authenticate(r); err != nil {
		return c, err
	}
	if !c.principal.Role.Includes(control.RoleClient) {
		return c, &control.Error{Code: control.CodePermission, Message: fmt.Sprintf("the role %q may not evaluate flags: use a client key, an SDK key or an API token", c.principal.Role)}
	}
	if err := s.rates.take(c.principal.ID, s.limits.Rate, now); err != nil {
		return c, err
	}
	service, err := s.cfg.Resolve(c.principal, environment)
	if err != nil {
		if control.CodeOf(err) == control.CodeNotFound {
			err = refusal{status: http.StatusBadRequest, message: err.Error()} // 404 means that there is no such flag
		}
		return c, err
	}
	c.site = s.sites.of(service, now)
	return c, nil
}

// selected reads the header that names the environment: flagSetId=NAME, or just NAME.
func selected(h http.Header) (environment string, err error) {
	selector := strings.TrimSpace(h.Get("Flagd-Selector"))
	name, value, found := strings.Cut(selector, "=")
	switch {
	case !found:
		return selector, nil
	case strings.TrimSpace(name) == "flagSetId":
		return strings.TrimSpace(value), nil
	}
	return "", refusal{status: http.StatusBadRequest, message: "the header Flagd-Selector selects by an unknown property: write it as flagSetId=ENVIRONMENT"}
}

// evaluate answers for one flag, or for all if key is empty.
func (s *Server) evaluate(w http.ResponseWriter, r *http.Request, key string) {
	now := time.Now()
	environment, err := selected(r.Header)
	var c caller
	if err == nil {
		c, err = s.enter(r, environment, now)
	}
	if err == nil {
		err = s.reply(w, r, key, c, now)
	}
	if err != nil {
		s.refuse(w, r, key, err)
	}
}

// job is the memory of one evaluation.
type job struct {
	in, out []byte
	q       question
	context eval.Context
}

var jobs = sync.Pool{New: func() any { return new(job) }}

// maxKept is the longest buffer that is kept for the next evaluation.
const maxKept = 256 << 10

func (j *job) release() {
	j.q.reset()
	j.context = eval.Context{}
	if cap(j.in) <= maxKept && cap(j.out) <= maxKept {
		jobs.Put(j)
	}
}

func (s *Server) reply(w http.ResponseWriter, r *http.Request, key string, c caller, now time.Time) error {
	j := jobs.Get().(*job)
	defer j.release()
	// Servers without deadlines exist in tests only; there is nothing to do about it.
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(now.Add(readTimeout))
	_ = out.SetWriteDeadline(now.Add(writeTimeout))
	if err := j.ask(r.Body, s.limits.Body, now); err != nil {
		return err
	}
	if key == "" && r.URL.RawQuery != "" {
		s.freshen(r, c.site)
	}
	if s.working.Add(1) > int64(s.limits.Concurrent) {
		s.working.Add(-1)
		return refusal{status: http.StatusTooManyRequests, retry: time.Second,
			message: "the server has as many evaluations as it can work on: try again in a moment"}
	}
	defer s.working.Add(-1)
	p, err := c.site.current()
	if err != nil {
		return err
	}
	if key != "" {
		one := p.find(key, c.client())
		if one != nil {
			c.site.service.Evaluated(key, "") // bulk asks for all, whatever the client needs of them
		}
		return s.single(w, r, j, one)
	}
	s.bulk(w, r, j, p, c, now)
	return nil
}

// ask reads the body, for an evaluation at a time.
func (j *job) ask(body io.Reader, limit int, now time.Time) error {
	if err := j.readAll(body, limit); err != nil {
		return err
	}
	if err := j.q.read(string(j.in)); err != nil {
		return refusal{status: http.StatusBadRequest, code: codeParse, message: err.Error()}
	}
	j.context = eval.Context{TargetingKey: j.q.targetingKey, Attributes: j.q.attributes, Time: now.Unix()}
	return nil
}

// readAll reads as much as comes, so that who announces a lot takes no memory for it.
func (j *job) readAll(body io.Reader, limit int) error {
	if j.in == nil {
		j.in = make([]byte, 0, 1<<10)
	}
	j.in = j.in[:0]
	for {
		if len(j.in) == cap(j.in) {
			j.in = append(j.in, 0)[:len(j.in)]
		}
		n, err := body.Read(j.in[len(j.in):cap(j.in)])
		j.in = j.in[:len(j.in)+n]
		switch {
		case len(j.in) > limit:
			return refusal{status: http.StatusRequestEntityTooLarge,
				message: fmt.Sprintf("the body has more than %d bytes: send only the attributes that flags ask for", limit)}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return refusal{status: http.StatusBadRequest, code: codeParse, message: "the body ends too early: " + err.Error()}
		}
	}
}

// single answers for one flag; nil is one that there is not.
func (s *Server) single(w http.ResponseWriter, r *http.Request, j *job, p *plate) error {
	if p == nil {
		return refusal{status: http.StatusNotFound, code: string(eval.ErrorFlagNotFound), message: details(eval.ErrorFlagNotFound)}
	}
	status := http.StatusOK
	var code eval.ErrorCode
	if j.out, code = p.give(j.out[:0], &j.context); code != "" {
		status = http.StatusBadRequest
		s.stats.refused.Add(1)
	} else {
		s.stats.single.Add(1)
	}
	s.send(w, r, status, j.out)
	return nil
}

// bulk answers for all flags that the caller may see.
func (s *Server) bulk(w http.ResponseWriter, r *http.Request, j *job, p *plates, c caller, now time.Time) {
	pieces := p.all
	if c.client() {
		pieces = p.client
	}
	out := append(j.out[:0], `{"flags":[`...)
	for _, one := range pieces() {
		out = append(out, one.fixed...)
		if one.flag != nil {
			out, _ = one.flag.give(out, &j.context)
		}
	}
	out = append(append(out, `],`...), p.metadata...)
	out = append(s.appendStream(out, r, c, p.view.Set.Environment, now), '}')
	j.out = out
	s.stats.bulk.Add(1)
	tag := tagOf(out)
	w.Header()["Etag"] = []string{tag}
	if names(r.Header.Get("If-None-Match"), tag) {
		s.stats.notModified.Add(1)
		allowOrigin(w.Header(), r)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.send(w, r, http.StatusOK, out)
}

// tagOf gives the strong entity tag of a body. A collision would keep a client at what it has;
// the tag is compared only with the one that this client got last, so 64 bits are enough.
func tagOf(body []byte) string {
	var text [18]byte
	tag := append(text[:0], '"')
	sum := xxhash.Sum64(body)
	for shift := 60; shift >= 0; shift -= 4 {
		tag = append(tag, "0123456789abcdef"[sum>>shift&15])
	}
	return string(append(tag, '"'))
}

// names reports whether a list of entity tags, as in If-None-Match, names tag. Proxies that
// compress make tags weak; they count too (RFC 9110, section 13.1.2).
func names(list, tag string) bool {
	if list == "" || list == tag {
		return list != ""
	}
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

// The header values are shared by all answers; net/http only reads them.
var (
	jsonType = []string{"application/json"}
	noSniff  = []string{"nosniff"}
)

func (s *Server) send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["X-Content-Type-Options"] = noSniff
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	allowOrigin(h, r)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if that fails
}
