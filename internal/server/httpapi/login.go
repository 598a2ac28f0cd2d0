package httpapi

import (
	"net/http"
	"time"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
)

// login exchanges a one-time code for a session, for programs.
func (c *call) login() error {
	if err := c.api.cfg.Auth.CheckOrigin(c.r); err != nil {
		return err
	}
	var body struct {
		Code string `json:"code"`
	}
	if err := c.decode("login", &body); err != nil {
		return err
	}
	secret, p, err := c.api.cfg.Auth.Exchange(c.r, body.Code)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, struct {
		Token     string       `json:"token"`
		Role      control.Role `json:"role"`
		ExpiresAt time.Time    `json:"expiresAt"`
	}{secret, p.Role, p.ExpiresAt})
}

// loginPage exchanges the code of a one-time link for a cookie. Only a plain GET does: programs
// that look ahead (HEAD, prefetching browsers) must not use the code up.
func (c *call) loginPage() error {
	if c.r.Method != http.MethodGet || c.r.Header.Get("Sec-Purpose") != "" {
		return &control.Error{Code: codeMethod, Message: "open the link in a browser"}
	}
	code := c.param("code")
	if code == "" {
		return &control.Error{Code: control.CodeUnauthenticated, Message: "Sign in with a one-time link."}
	}
	secret, p, err := c.api.cfg.Auth.Exchange(c.r, code)
	if err != nil {
		return err
	}
	auth.SetCookie(c.w, c.r, secret, p)
	http.Redirect(c.w, c.r, "/", http.StatusSeeOther)
	return nil
}

func (c *call) logout() error {
	c.api.cfg.Auth.End(c.r)
	auth.DropCookie(c.w, c.r)
	http.Redirect(c.w, c.r, "/login", http.StatusSeeOther)
	return nil
}

func (c *call) home() error {
	if c.api.cfg.Console == nil {
		return unavailable("this server has no console")
	}
	return c.api.cfg.Console.Home(c.w, c.r, c.principal)
}
