package auth

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// ErrNoCredential says that a request carries nothing that tells who makes it.
var ErrNoCredential = unauthenticated(`no token: send one in the header "Authorization: Bearer <token>"`)

// maxSecret bounds, in bytes, what is looked at as a secret.
const maxSecret = 256

// credential is the secret that came with a request.
type credential struct {
	secret string
	cookie bool // sent by a browser on its own account
}

func (c credential) isSession() bool { return strings.HasPrefix(c.secret, sessionPrefix) }

// credentialOf reads the header Authorization or X-API-Key, else the session cookie. A browser
// adds the cookie by itself, so an explicit header goes first. With Basic the token is the password,
// whatever the user's name: tools that can only be given a URL send that for https://any:TOKEN@host.
func credentialOf(r *http.Request) (credential, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, secret, _ := strings.Cut(header, " ")
		_, password, basic := r.BasicAuth()
		if basic {
			scheme, secret = "Bearer", password
		}
		if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" || len(secret) > maxSecret {
			return credential{}, unauthenticated(`the header Authorization is not understood: write it as "Bearer <token>"`)
		}
		return credential{secret: secret, cookie: basic}, nil // browsers repeat Basic by themselves
	}
	if secret := strings.TrimSpace(r.Header.Get("X-API-Key")); secret != "" && len(secret) <= maxSecret {
		return credential{secret: secret}, nil
	}
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || !strings.HasPrefix(cookie.Value, sessionPrefix) || len(cookie.Value) > maxSecret {
		return credential{}, ErrNoCredential
	}
	return credential{secret: cookie.Value, cookie: true}, nil
}

// cookieName has the port in it, since browsers share cookies between the ports of a host: two
// servers on one machine must not sign each other's users out.
func cookieName(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		return "seatrial-session-" + port
	}
	return "seatrial-session"
}

// SetCookie gives a browser the session. The cookie cannot be read by scripts and is not sent
// with requests that other sites cause; over TLS it is never sent without.
func SetCookie(w http.ResponseWriter, r *http.Request, secret string, p control.Principal) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: secret, Path: "/", MaxAge: int(time.Until(p.ExpiresAt).Seconds()),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}

// DropCookie takes the session's cookie from a browser.
func DropCookie(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Path: "/", MaxAge: -1,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}
