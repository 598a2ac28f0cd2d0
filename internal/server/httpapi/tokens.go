package httpapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func (c *call) listTokens() error {
	p, err := c.page()
	if err != nil {
		return err
	}
	items := c.api.cfg.Service.ListTokens()
	if p.After != "" {
		i := slices.IndexFunc(items, func(t control.Token) bool { return t.ID == p.After })
		if i < 0 {
			return &control.Error{Code: control.CodeConflict, Message: "the token at which the next page starts was revoked: list from the start"}
		}
		items = items[i+1:]
	}
	next := ""
	if limit := orHundred(p.Limit); len(items) > limit {
		items = items[:limit]
		next = items[limit-1].ID
	}
	return answerPage(c, items, next)
}

// createdToken is a new token with its secret, which is shown this once.
type createdToken struct {
	control.Token
	Secret string `json:"token,omitempty"`
}

func (c *call) createToken() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		Name      string            `json:"name"`
		Kind      control.TokenKind `json:"kind"`
		Role      control.Role      `json:"role"`
		ExpiresIn trial.Duration    `json:"expiresIn"`

		Environment string `json:"environment"`
	}
	if err := c.decode("token", &body); err != nil {
		return err
	}
	created, secret, err := c.api.cfg.Service.CreateToken(c.r.Context(), control.NewToken{
		Name: body.Name, Kind: body.Kind, Role: body.Role, ExpiresIn: time.Duration(body.ExpiresIn), Environment: body.Environment,
	}, o)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if o.DryRun {
		status, secret = http.StatusOK, ""
	}
	return c.answer(status, createdToken{created, secret})
}

func (c *call) revokeToken() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	id := c.r.PathValue("id")
	var missing error
	if !slices.ContainsFunc(c.api.cfg.Service.ListTokens(), func(t control.Token) bool { return t.ID == id }) {
		missing = notFound("there is no token %q: `seatrial token list` shows them", id)
	}
	if o.IfMatch, err = c.conditionOf("the token", missing); err != nil {
		return err
	}
	if o.IfMatch == control.MatchAbsent {
		return missing
	}
	change, err := c.api.cfg.Service.RevokeToken(c.r.Context(), id, o)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, change)
}
