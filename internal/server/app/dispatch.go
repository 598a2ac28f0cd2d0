package app

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
)

// EnvironmentHeader names the environment of a request, as the parameter environment does.
const EnvironmentHeader = "Seatrial-Environment"

// dispatch hands a request to the environment that it names, by parameter or header; else to the
// one that its token is for, else to the first. What belongs to the server as a whole goes to the
// first, whose log holds the tokens.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	first := s.environments.first
	if serverWide(r.URL.Path) {
		first.api.Handler().ServeHTTP(w, r)
		return
	}
	name, r, err := requested(r)
	if err != nil {
		first.api.Refuse(w, r, err)
		return
	}
	if name == "" {
		if p, ok := s.environments.auth.Peek(r); ok {
			name = p.Environment
		}
	}
	e, ok := s.environments.find(name)
	if !ok {
		// Who may not know which environments there are, learns nothing.
		if _, err = s.environments.auth.Authorize(r, auth.AtLeast(control.RoleClient)); err == nil {
			err = s.environments.unknown(name)
		}
		first.api.Refuse(w, r, err)
		return
	}
	e.api.Handler().ServeHTTP(w, r)
}

// serverWide tells what is the same in every environment.
func serverWide(path string) bool {
	for _, prefix := range []string{"/api/v1/tokens", "/api/v1/environments", "/api/v1/login", "/login", "/logout", "/livez", "/readyz", "/metrics"} {
		if path == prefix || strings.HasPrefix(path, prefix+"/") {
			return true
		}
	}
	return false
}

// requested gives the environment that a request names, and the request without that parameter,
// which the routes do not know.
func requested(r *http.Request) (string, *http.Request, error) {
	name := r.Header.Get(EnvironmentHeader)
	if !strings.Contains(r.URL.RawQuery, "environment=") {
		return name, r, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["environment"]) > 1 {
		return "", r, &control.Error{Code: control.CodeInvalid, Message: "the query cannot be read: give each parameter once, percent-encoded"}
	}
	if asked := query.Get("environment"); asked != "" {
		if name != "" && name != asked {
			return "", r, &control.Error{Code: control.CodeInvalid, Message: fmt.Sprintf("the parameter names environment %q and the header %s %q: give one of the two", asked, EnvironmentHeader, name)}
		}
		name = asked
	}
	query.Del("environment")
	stripped := r.Clone(r.Context())
	stripped.URL.RawQuery = query.Encode()
	return name, stripped, nil
}
