package control

import (
	"context"
	"time"
)

// TokenKind says what a token is for.
type TokenKind string

// The kinds of token. Session is not stored in the log: package auth makes those.
const (
	TokenSDK     TokenKind = "sdk" // read snapshots, send telemetry
	TokenAPI     TokenKind = "api" // a person or a pipeline
	TokenSession TokenKind = "session"
)

// Role says what a principal may do. Each role includes those before it.
type Role string

// The roles, weakest first.
const (
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
	case RoleSDK:
		return 1
	case RoleViewer:
		return 2
	case RoleEditor:
		return 3
	case RoleAdmin:
		return 4
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
}

// Actor names the principal in the change log.
func (p Principal) Actor() string { return string(p.Kind) + ":" + p.ID + " (" + p.Name + ")" }

// Token is a token as shown in lists; the secret is not kept anywhere.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Kind      TokenKind `json:"kind"`
	Role      Role      `json:"role"`
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero: never
	Revision  int64     `json:"revision"`
}

// NewToken asks for a token.
type NewToken struct {
	Name string    // for people, 1 to 100 bytes
	Kind TokenKind // sdk or api
	Role Role      // api: viewer (default), editor, admin; sdk: always sdk
	// ExpiresIn is how long it is valid: 1 min to 10 years, 0 = for ever.
	ExpiresIn time.Duration
}

// CreateToken makes a token and returns its secret, which is never shown again: st_sdk_… or
// st_api_…, 256 random bits and a checksum by which scanners recognise leaked ones. The log
// keeps its SHA-256. A repeat with the same idempotency key is a conflict.
func (s *Service) CreateToken(ctx context.Context, t NewToken, o WriteOptions) (Token, string, error) {
	panic("not yet")
}

// ListTokens gives the tokens that have not been revoked, newest first; expired ones included.
func (s *Service) ListTokens() []Token { panic("not yet") }

// RevokeToken ends a token at once, or a *Error with CodeNotFound.
func (s *Service) RevokeToken(ctx context.Context, id string, o WriteOptions) (Change, error) {
	panic("not yet")
}

// Authenticate gives who holds a secret, or a *Error with CodeUnauthenticated that does not say
// which part was wrong. It reads memory only, and takes the same time whether the secret is
// unknown or not.
func (s *Service) Authenticate(secret string) (Principal, error) { panic("not yet") }
