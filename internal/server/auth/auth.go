// Package auth tells who makes a request and what that one may do.
//
// There are four kinds of credential: client keys, SDK keys and API tokens, which live in the
// change log (control.Service), and sessions, which are made here from one-time codes and die with the
// process. There is no password, and so no default one. A token is sent in the header
// Authorization or X-API-Key; browsers send a session as a cookie, and then state-changing requests must come
// from the server's own pages.
//
// Everything is refused that is not allowed: the zero [Need] of a route lets nobody in.
package auth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Tokens knows the secrets of SDK keys and API tokens; *control.Service is one.
type Tokens interface {
	Authenticate(secret string) (control.Principal, error)
}

var _ Tokens = (*control.Service)(nil)

// Need is what a route demands. The zero value lets nobody in.
type Need struct {
	role control.Role
	open bool
}

// Anyone lets everybody in, without credentials.
func Anyone() Need { return Need{open: true} }

// AtLeast lets in whose role includes role.
func AtLeast(role control.Role) Need { return Need{role: role} }

// Role is the least role; empty for Anyone.
func (n Need) Role() control.Role { return n.role }

// Open reports whether everybody may come in.
func (n Need) Open() bool { return n.open }

// Auth decides about requests. Make one with [New]; all methods are safe for concurrent use.
type Auth struct {
	tokens  Tokens
	local   bool
	memory  memory
	limiter limiter
	cross   *http.CrossOriginProtection
}

// New gives an Auth for the secrets that tokens knows. A local one serves only requests that
// name a loopback host, see [Auth.CheckHost].
func New(tokens Tokens, local bool) *Auth {
	return &Auth{tokens: tokens, local: local, cross: http.NewCrossOriginProtection()}
}

// TooMany says that an address has offered too many wrong secrets.
type TooMany struct {
	// RetryAfter is when the next attempt is looked at.
	RetryAfter time.Duration
}

func (e *TooMany) Error() string {
	return fmt.Sprintf("too many wrong secrets from this address: check the token and try again in %s", e.RetryAfter.Round(time.Second))
}

// Errors of requests that are refused before anybody asks who makes them.
var (
	// ErrHost says that a local server was addressed by a name that is not local.
	ErrHost = errors.New("this server runs for this machine only and answers to localhost, 127.0.0.1 and [::1]: use one of these in the URL")
	// ErrCrossOrigin says that a page of another site made a browser send a request.
	ErrCrossOrigin = &control.Error{Code: control.CodePermission, Message: "the request comes from a page of another origin: open the console of this server itself, or use an API token"}
)

// CheckHost refuses requests to a local server that name a host which is not a loopback one.
// Otherwise any page could reach the server by a name of its own that it lets resolve to
// 127.0.0.1 (DNS rebinding).
func (a *Auth) CheckHost(r *http.Request) error {
	if !a.local || isLoopback(r.Host) {
		return nil
	}
	return ErrHost
}

func isLoopback(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// CheckOrigin refuses state-changing requests that a page of another origin made a browser send.
// [Auth.Authorize] does so for requests with a cookie; routes for anyone call it themselves.
func (a *Auth) CheckOrigin(r *http.Request) error {
	if a.cross.Check(r) != nil {
		return ErrCrossOrigin
	}
	return nil
}

// Authorize tells who makes r, if that one may do what need demands. Errors: *[TooMany], or a
// *control.Error with CodeUnauthenticated (nobody known) or CodePermission (known, but not
// allowed). For [Anyone] the principal is the zero value.
func (a *Auth) Authorize(r *http.Request, need Need) (control.Principal, error) {
	if need.open {
		return control.Principal{}, nil
	}
	c, err := credentialOf(r)
	if err != nil {
		return control.Principal{}, err
	}
	p, err := a.identify(c, addressOf(r.RemoteAddr))
	if err != nil {
		return control.Principal{}, err
	}
	if c.cookie {
		if err := a.CheckOrigin(r); err != nil {
			return control.Principal{}, err
		}
	}
	if !p.Role.Includes(need.role) {
		return control.Principal{}, forbidden(p, need)
	}
	return p, nil
}

var kindNames = map[control.TokenKind]string{
	control.TokenSDK: "SDK key", control.TokenAPI: "API token", control.TokenSession: "session",
}

func forbidden(p control.Principal, need Need) error {
	what := fmt.Sprintf("%s %q has role %s, this needs role %s", kindNames[p.Kind], p.Name, p.Role, need.role)
	remedy := "use a token of that role"
	switch p.Role {
	case control.RoleClient:
		remedy = "client keys only ask for the values of flags that are for clients; use an SDK key or an API token"
	case control.RoleSDK:
		remedy = "SDK keys only read snapshots and send telemetry; use an API token"
	}
	if need.role == "" {
		what, remedy = "nobody may do this", "this is a defect of the server"
	}
	return &control.Error{Code: control.CodePermission, Message: what + ": " + remedy}
}

// Peek tells who makes r, if that is known, without counting an attempt or a use. It decides
// nothing: whoever acts on r calls [Auth.Authorize].
func (a *Auth) Peek(r *http.Request) (control.Principal, bool) {
	c, err := credentialOf(r)
	if err != nil {
		return control.Principal{}, false
	}
	if c.isSession() {
		return a.memory.find(c.secret, time.Now(), false)
	}
	p, err := a.tokens.Authenticate(c.secret)
	return p, err == nil
}

// Still reports whether the credential of r is valid now. It counts as no use of a session and
// as no failure, so that a long stream may ask often.
func (a *Auth) Still(r *http.Request) bool {
	_, ok := a.Peek(r)
	return ok
}

func (a *Auth) identify(c credential, address string) (control.Principal, error) {
	now, d := time.Now(), digestOf(c.secret)
	if wait := a.limiter.blocked(address, d, now); wait > 0 {
		return control.Principal{}, &TooMany{RetryAfter: wait}
	}
	p, err := a.lookUp(c, now)
	if err != nil {
		a.limiter.failed(address, d, now)
		return control.Principal{}, err
	}
	a.limiter.succeeded(d)
	return p, nil
}

func (a *Auth) lookUp(c credential, now time.Time) (control.Principal, error) {
	if !c.isSession() {
		return a.tokens.Authenticate(c.secret)
	}
	p, ok := a.memory.find(c.secret, now, true)
	if !ok {
		return p, unauthenticated("the session is over: sign in with a new one-time link")
	}
	return p, nil
}

func unauthenticated(message string) error {
	return &control.Error{Code: control.CodeUnauthenticated, Message: message}
}

// NewCode makes a one-time code that can be exchanged for a session of that role within 10
// minutes. name is shown in the change log as who acts in that session.
func (a *Auth) NewCode(name string, role control.Role) string {
	return a.memory.addCode(name, role, time.Now())
}

// Exchange uses up a code and starts a session, which lives 7 days, or until it was idle for 12
// hours. Errors: *[TooMany], or CodeUnauthenticated for a code that is unknown, used or expired.
func (a *Auth) Exchange(r *http.Request, code string) (secret string, p control.Principal, err error) {
	now, d, address := time.Now(), digestOf(code), addressOf(r.RemoteAddr)
	if wait := a.limiter.blocked(address, d, now); wait > 0 {
		return "", p, &TooMany{RetryAfter: wait}
	}
	c, ok := a.memory.takeCode(code, now)
	if !ok {
		a.limiter.failed(address, d, now)
		return "", p, unauthenticated("the one-time code is unknown, used or older than 10 minutes: ask for a new link")
	}
	secret, p = a.memory.addSession(c.name, c.role, now)
	return secret, p, nil
}

// End ends the session of r, if it has one.
func (a *Auth) End(r *http.Request) {
	if c, err := credentialOf(r); err == nil && c.isSession() {
		a.memory.end(c.secret)
	}
}

// Refused counts the attempts that were not looked at because of too many wrong ones before.
func (a *Auth) Refused() uint64 { return a.limiter.refusals() }
