package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// How long what is kept here lives, and how much of it there is.
const (
	codeLife    = 10 * time.Minute
	sessionIdle = 12 * time.Hour
	sessionLife = 7 * 24 * time.Hour
	maxCodes    = 32
	maxSessions = 1_000
)

// sessionPrefix starts every session secret, so that leaked ones are recognised. A secret is a
// session's exactly if it starts so.
const sessionPrefix = "st_session_"

// digest is what is kept of a secret.
type digest [sha256.Size]byte

func digestOf(secret string) digest { return sha256.Sum256([]byte(secret)) }

// newSecret gives a prefix and 260 random bits in base 32.
func newSecret(prefix string) string { return prefix + strings.ToLower(rand.Text()+rand.Text()) }

// code is a one-time login code.
type code struct {
	digest  digest
	name    string
	role    control.Role
	expires time.Time
}

// session is somebody who has exchanged a code.
type session struct {
	principal control.Principal
	used      time.Time
}

// memory holds codes and sessions; they die with the process.
type memory struct {
	mu       sync.Mutex
	codes    []code // oldest first
	sessions map[digest]*session
}

// addCode makes a code that gives a session of that role, once. Of too many the oldest goes.
func (m *memory) addCode(name string, role control.Role, now time.Time) string {
	secret := newSecret("")
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.codes) >= maxCodes {
		m.codes = m.codes[1:]
	}
	m.codes = append(m.codes, code{digestOf(secret), name, role, now.Add(codeLife)})
	return secret
}

// takeCode uses up a code. All codes are looked at in constant time, whether one fits or not.
func (m *memory) takeCode(secret string, now time.Time) (code, bool) {
	offered := digestOf(secret)
	m.mu.Lock()
	defer m.mu.Unlock()
	var found code
	ok := false
	kept := m.codes[:0]
	for _, c := range m.codes {
		fits := subtle.ConstantTimeCompare(c.digest[:], offered[:]) == 1
		switch {
		case now.After(c.expires):
		case fits:
			found, ok = c, true
		default:
			kept = append(kept, c)
		}
	}
	clear(m.codes[len(kept):])
	m.codes = kept
	return found, ok
}

// addSession starts a session. Of too many the one that was idle longest goes.
func (m *memory) addSession(name string, role control.Role, now time.Time) (string, control.Principal) {
	secret := newSecret(sessionPrefix)
	d := digestOf(secret)
	p := control.Principal{
		ID: hex.EncodeToString(d[:6]), Name: name, Kind: control.TokenSession, Role: role,
		ExpiresAt: now.Add(sessionLife).UTC().Round(0),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions == nil {
		m.sessions = map[digest]*session{}
	}
	if len(m.sessions) >= maxSessions {
		m.dropIdlest()
	}
	m.sessions[d] = &session{principal: p, used: now}
	return secret, p
}

func (m *memory) dropIdlest() {
	var oldest digest
	var used time.Time
	for d, s := range m.sessions {
		if used.IsZero() || s.used.Before(used) {
			oldest, used = d, s.used
		}
	}
	delete(m.sessions, oldest)
}

// find gives who holds a session's secret, and keeps the session from idling out if touch is set.
func (m *memory) find(secret string, now time.Time, touch bool) (control.Principal, bool) {
	d := digestOf(secret)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[d]
	if s == nil {
		return control.Principal{}, false
	}
	if now.After(s.principal.ExpiresAt) || now.Sub(s.used) > sessionIdle {
		delete(m.sessions, d)
		return control.Principal{}, false
	}
	if touch {
		s.used = now
	}
	return s.principal, true
}

func (m *memory) end(secret string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, digestOf(secret))
}
