package api

import (
	"context"
	"time"
)

// Token is a key or token as lists show it.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Role      string    `json:"role"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"` // zero: never
	// Environment is the only one that the token is for; empty: all.
	Environment string `json:"environment,omitempty"`
	// Secret is there only in the answer to CreateToken.
	Secret string `json:"token,omitempty"`
}

// NewToken asks for a token.
type NewToken struct {
	Name string `json:"name"`
	Kind string `json:"kind"`           // client, sdk or api
	Role string `json:"role,omitempty"` // api: viewer, editor or admin
	// ExpiresIn such as "720h"; empty: for ever.
	ExpiresIn string `json:"expiresIn,omitempty"`
	// Environment is the only one that it is for; empty: all.
	Environment string `json:"environment,omitempty"`
}

const tokensPath = "/api/v1/tokens"

// Tokens lists the tokens that have not been revoked.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) { return all[Token](ctx, c, tokensPath) }

// CreateToken makes a token. Its Secret is never shown again.
func (c *Client) CreateToken(ctx context.Context, t NewToken) (Token, error) {
	return send[Token](ctx, c, "POST", tokensPath, t, Write{})
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.remove(ctx, at(tokensPath, id), Write{IfMatch: "*"})
}

// Session is what a one-time code was exchanged for.
type Session struct {
	Token     string    `json:"token"`
	Role      string    `json:"role"`
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// Login exchanges a one-time code for a token.
func (c *Client) Login(ctx context.Context, code string) (s Session, err error) {
	_, err = c.do(ctx, request{method: "POST", path: "/api/v1/login", body: map[string]string{"code": code}}, &s)
	return s, err
}
