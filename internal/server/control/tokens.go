package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/seatrial/seatrial/internal/core/flag"
)

// TokenKind says what a token is for.
type TokenKind string

// The kinds of token. Session is not stored in the log: package auth makes those.
const (
	TokenClient  TokenKind = "client" // evaluate what is meant for browsers and phones; no secret there
	TokenSDK     TokenKind = "sdk"    // read snapshots, send telemetry
	TokenAPI     TokenKind = "api"    // a person or a pipeline
	TokenSession TokenKind = "session"
)

// Role says what a principal may do. Each role includes those before it.
type Role string

// The roles, weakest first.
const (
	RoleClient Role = "client" // values of flags that are ClientSide, nothing else
	RoleSDK    Role = "sdk"    // snapshot, stream, telemetry
	RoleViewer Role = "viewer" // read everything but tokens
	RoleEditor Role = "editor" // write flags, segments, trials
	RoleAdmin  Role = "admin"  // tokens
)

// Includes reports whether r may do what need may do. Unknown roles may do nothing.
func (r Role) Includes(need Role) bool {
	return r.rank() > 0 && need.rank() > 0 && r.rank() >= need.rank()
}

func (r Role) rank() int {
	switch r {
	case RoleClient:
		return 1
	case RoleSDK:
		return 2
	case RoleViewer:
		return 3
	case RoleEditor:
		return 4
	case RoleAdmin:
		return 5
	}
	return 0
}

// Principal is who makes a request.
type Principal struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Kind      TokenKind `json:"kind"`
	Role      Role      `json:"role"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero: never
	// Environment is the only one that the principal may use; empty: all, and what belongs to the
	// server as a whole.
	Environment string `json:"environment,omitempty"`
}

// May reports whether the principal may use an environment.
func (p Principal) May(environment string) bool {
	return p.Environment == "" || p.Environment == environment
}

// Actor names the principal in the change log.
func (p Principal) Actor() string { return string(p.Kind) + ":" + p.ID + " (" + p.Name + ")" }

// nameOf gives the name in an actor that [Principal.Actor] wrote, and any other actor as it is.
func nameOf(actor string) string {
	if _, name, found := strings.Cut(strings.TrimSuffix(actor, ")"), " ("); found {
		return name
	}
	return actor
}

// Token is a token as shown in lists; the secret is not kept anywhere.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Kind      TokenKind `json:"kind"`
	Role      Role      `json:"role"`
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero: never
	// Environment is the only one that the token is for; empty: all.
	Environment string `json:"environment,omitempty"`
	Revision    int64  `json:"revision"`
}

// NewToken asks for a token.
type NewToken struct {
	Name string    // for people, 1 to 100 bytes
	Kind TokenKind // client, sdk or api
	Role Role      // api: viewer (default), editor, admin; the others: as their kind
	// ExpiresIn is how long it is valid: 1 min to 10 years, 0 = for ever.
	ExpiresIn time.Duration
	// Environment is the only one that it is for; empty: all. Whether it exists is not checked.
	Environment string
}

// tokenRecord is a token as the log keeps it.
type tokenRecord struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Kind      TokenKind `json:"kind"`
	Role      Role      `json:"role"`
	SHA256    string    `json:"sha256,omitempty"` // of the secret, hex
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`

	Environment string `json:"environment,omitempty"`
}

// tokenEntry is a token in the projection.
type tokenEntry struct {
	Token
	sum [32]byte // SHA-256 of the secret
}

func newTokenEntry(r tokenRecord, revision int64) tokenEntry {
	e := tokenEntry{Token: Token{ID: r.ID, Name: r.Name, Kind: r.Kind, Role: r.Role,
		CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy, ExpiresAt: r.ExpiresAt, Environment: r.Environment, Revision: revision}}
	if sum, err := hex.DecodeString(r.SHA256); err == nil {
		copy(e.sum[:], sum)
	}
	return e
}

// Limits of a token.
const (
	maxTokenName = 100 // bytes
	minTokenLife = time.Minute
	maxTokenLife = 10 * 365 * 24 * time.Hour
	maxTokens    = 10_000
)

// CreateToken makes a token and returns its secret, which is never shown again: st_client_…, st_sdk_… or
// st_api_…, 256 random bits and a checksum by which scanners recognise leaked ones. The log
// keeps its SHA-256. A repeat with the same idempotency key is a conflict. A dry run gives no
// secret.
func (s *Service) CreateToken(ctx context.Context, t NewToken, o WriteOptions) (Token, string, error) {
	t, err := t.normalize()
	if err != nil {
		return Token{}, "", err
	}
	secret := newSecret(t.Kind)
	id, sum := newTokenID(), sha256.Sum256([]byte(secret))
	c, err := s.commit(ctx, o, write{verb: "create token", input: []any{t, id}, plan: func(p *projection) (plan, error) {
		if len(p.tokens) >= maxTokens {
			return plan{}, precondition("token: there are %d tokens, no more are allowed: revoke some first", len(p.tokens))
		}
		record := tokenRecord{ID: id, Name: t.Name, Kind: t.Kind, Role: t.Role, SHA256: hex.EncodeToString(sum[:]),
			CreatedAt: s.now(), CreatedBy: o.Actor, Environment: t.Environment}
		if t.ExpiresIn > 0 {
			record.ExpiresAt = record.CreatedAt.Add(t.ExpiresIn)
		}
		op, err := setOp(KindToken, id, record)
		return plan{ops: []Op{op}}, err
	}})
	if errors.Is(err, ErrIdempotencyMismatch) {
		err = &Error{Code: CodeConflict, Err: err, Message: "token: this idempotency key has made something already; if it was a token, its secret cannot be shown again: revoke that token and use a new key"}
	}
	if err != nil {
		return Token{}, "", err
	}
	record, err := stored[tokenRecord](c, entity{KindToken, id})
	if o.DryRun {
		secret = ""
	}
	return newTokenEntry(record, c.Revision).Token, secret, err
}

func (t NewToken) normalize() (NewToken, error) {
	switch {
	case t.Kind == TokenClient && t.Role == "":
		t.Role = RoleClient
	case t.Kind == TokenSDK && t.Role == "":
		t.Role = RoleSDK
	case t.Kind == TokenAPI && t.Role == "":
		t.Role = RoleViewer
	}
	switch {
	case strings.TrimSpace(t.Name) == "" || len(t.Name) > maxTokenName || strings.ContainsFunc(t.Name, unicode.IsControl):
		return t, invalid("/name", "token: the name has 1 to %d bytes on one line: say what the token is for", maxTokenName)
	case t.Kind != TokenClient && t.Kind != TokenSDK && t.Kind != TokenAPI:
		return t, invalid("/kind", "token: the kind %q is unknown: use client, sdk or api", t.Kind)
	case t.Kind == TokenClient && t.Role != RoleClient:
		return t, invalid("/role", "token: a client key has the role client, not %q: make an API token for people and pipelines", t.Role)
	case t.Kind == TokenSDK && t.Role != RoleSDK:
		return t, invalid("/role", "token: an SDK key has the role sdk, not %q: make an API token for people and pipelines", t.Role)
	case t.Kind == TokenAPI && (t.Role.rank() < RoleViewer.rank()):
		return t, invalid("/role", "token: the role %q does not fit an API token: use viewer, editor or admin", t.Role)
	case t.Environment != "" && flag.CheckKey(t.Environment) != nil:
		return t, invalid("/environment", "token: the environment %q %v", t.Environment, flag.CheckKey(t.Environment))
	case t.ExpiresIn != 0 && (t.ExpiresIn < minTokenLife || t.ExpiresIn > maxTokenLife):
		return t, invalid("/expiresIn", "token: a lifetime of %s is outside 1 minute to 10 years; 0 means for ever", t.ExpiresIn)
	}
	return t, nil
}

// ListTokens gives the tokens that have not been revoked, newest first; expired ones included.
func (s *Service) ListTokens() []Token {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]Token, 0, len(s.state.tokens))
	for _, entry := range s.state.tokens {
		list = append(list, entry.Token)
	}
	slices.SortFunc(list, func(a, b Token) int {
		return cmp.Or(cmp.Compare(b.Revision, a.Revision), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// RevokeToken ends a token at once, or a *Error with CodeNotFound.
func (s *Service) RevokeToken(ctx context.Context, id string, o WriteOptions) (Change, error) {
	return s.delete(ctx, entity{KindToken, id}, o, func(*projection) error { return nil })
}

// Authenticate gives who holds a secret, or a *Error with CodeUnauthenticated that does not say
// which part was wrong. It reads memory only, and takes the same time whether the secret is
// unknown or not.
func (s *Service) Authenticate(secret string) (Principal, error) {
	sum := sha256.Sum256([]byte(secret[:min(len(secret), maxSecret+1)]))
	s.mu.RLock()
	entry := s.state.tokens[s.state.holders[sum]] // found by its hash, which tells nothing of the secret
	s.mu.RUnlock()
	known := subtle.ConstantTimeCompare(sum[:], entry.sum[:]) == 1
	fits := strings.HasPrefix(secret, secretPrefix(entry.Kind))
	alive := entry.ExpiresAt.IsZero() || s.cfg.Now().Before(entry.ExpiresAt)
	if !known || !fits || !alive {
		return Principal{}, &Error{Code: CodeUnauthenticated, Message: "the token is unknown, revoked or expired: make a new one, or check that it was copied as a whole"}
	}
	return Principal{ID: entry.ID, Name: entry.Name, Kind: entry.Kind, Role: entry.Role, ExpiresAt: entry.ExpiresAt,
		Environment: entry.Environment}, nil
}
