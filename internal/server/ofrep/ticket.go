package ofrep

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// A browser's EventSource sends no headers, so what lets it in has to be in the URL, which ends
// up in logs and histories. A client key may be there, it is in the page anyway. Everybody else
// gets a ticket, which opens the stream of one environment and nothing else, as long as the
// credential that asked for it is valid.
const (
	ticketLife = time.Hour // unused
	maxTickets = 20_000
)

type ticket struct {
	text    string
	owner   string
	request *http.Request // that asked for it, as far as it tells who
	expires time.Time
}

// tickets are kept in memory: they end with the process, and clients then get others, since
// the address of the stream is part of what the entity tag covers.
type tickets struct {
	mu      sync.Mutex
	byOwner map[string]*ticket
	byText  map[string]*ticket
}

// issue gives the owner's ticket, for as long as it is used always the same one: clients connect
// anew when the address changes. It gives "" if there are too many.
func (t *tickets) issue(owner string, r *http.Request, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if have := t.byOwner[owner]; have != nil && now.Before(have.expires) {
		have.expires = now.Add(ticketLife)
		return have.text
	}
	if len(t.byOwner) >= maxTickets {
		t.sweep(now)
	}
	if len(t.byOwner) >= maxTickets {
		return ""
	}
	if t.byOwner == nil {
		t.byOwner, t.byText = map[string]*ticket{}, map[string]*ticket{}
	}
	if old := t.byOwner[owner]; old != nil {
		delete(t.byText, old.text)
	}
	fresh := &ticket{text: rand.Text(), owner: owner, request: credentialsOf(r), expires: now.Add(ticketLife)}
	t.byOwner[owner], t.byText[fresh.text] = fresh, fresh
	return fresh.text
}

func (t *tickets) sweep(now time.Time) {
	for owner, one := range t.byOwner {
		if !now.Before(one.expires) {
			delete(t.byOwner, owner)
			delete(t.byText, one.text)
		}
	}
}

// use gives the request that a ticket stands for, nil if there is none, and prolongs it.
func (t *tickets) use(text string, now time.Time) *http.Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.byText[text]
	if found == nil || !now.Before(found.expires) {
		return nil
	}
	found.expires = now.Add(ticketLife)
	return found.request
}

// credentialsOf copies what tells who makes a request.
func credentialsOf(r *http.Request) *http.Request {
	who := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: pathStream}, Host: r.Host, RemoteAddr: r.RemoteAddr, TLS: r.TLS, Header: http.Header{}}
	for _, name := range []string{"Authorization", "X-Api-Key", "Cookie"} {
		if values := r.Header[name]; len(values) > 0 {
			who.Header[name] = values
		}
	}
	return who
}

// withToken is a request with a token of the URL in the place where it belongs.
func withToken(r *http.Request, token string) *http.Request {
	who := credentialsOf(r)
	who.Header = http.Header{"Authorization": {"Bearer " + token}}
	return who
}

// secretOf gives the token that the caller sent in a header.
func secretOf(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); strings.EqualFold(scheme, "Bearer") && token != "" {
		return token
	}
	return strings.TrimSpace(h.Get("X-API-Key"))
}

// appendStream writes the member eventStreams, with a comma before it, if the caller can be given
// an address.
func (s *Server) appendStream(dst []byte, r *http.Request, c caller, environment string, now time.Time) []byte {
	name, secret := "token", ""
	if c.client() {
		secret = secretOf(r.Header)
	}
	if secret == "" {
		name, secret = "ticket", s.tickets.issue(c.principal.ID+"\n"+environment, r, now)
	}
	if secret == "" {
		return dst
	}
	dst = append(append(dst, `,"eventStreams":[{"type":"sse","endpoint":{"requestUri":"`...), s.prefix...)
	dst = append(append(dst, pathStream+"?flagSetId="...), url.QueryEscape(environment)...)
	dst = append(append(append(dst, '&'), name...), '=')
	return append(append(dst, url.QueryEscape(secret)...), `"}}]`...)
}

// streamCaller lets the client of a stream in, by headers, or by what the URL says. who is the
// request that stands for its credential.
func (s *Server) streamCaller(r *http.Request, now time.Time) (c caller, who *http.Request, err error) {
	query := r.URL.Query()
	environment := query.Get("flagSetId")
	if environment == "" {
		if environment, err = selected(r.Header); err != nil {
			return c, nil, err
		}
	}
	token := query.Get("token")
	switch {
	case secretOf(r.Header) != "":
		who, token = credentialsOf(r), ""
	case token != "":
		who = withToken(r, token)
	case query.Get("ticket") != "":
		if who = s.tickets.use(query.Get("ticket"), now); who == nil {
			return c, nil, &control.Error{Code: control.CodeUnauthenticated, Message: "the ticket is unknown or was not used for an hour: evaluate all flags to get another one"}
		}
	default:
		who = credentialsOf(r)
	}
	if c, err = s.enter(who, environment, now); err == nil && token != "" && !c.client() {
		err = &control.Error{Code: control.CodePermission, Message: "only client keys may be in a URL, where others can read them: send this token in a header, or use the address that an evaluation of all flags gives"}
	}
	return c, who, err
}
