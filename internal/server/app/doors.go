package app

import (
	"errors"
	"net/http"
	"strings"

	"github.com/seatrial/seatrial/internal/core/flag"
	definitions "github.com/seatrial/seatrial/internal/core/flagd"
	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/flagd"
	"github.com/seatrial/seatrial/internal/server/ofrep"
)

// doors are the ways by which stock OpenFeature clients come in, beside the HTTP interface of the
// environments.
type doors struct {
	ofrep    *ofrep.Server
	flagd    *flagd.Server
	services map[string]http.Handler // of flagd, by first part of the path
}

func (s *Server) openDoors() {
	d := &s.doors
	d.ofrep = ofrep.New(ofrep.Config{Authenticate: s.authenticate, Resolve: s.resolve, Logger: s.cfg.Logger})
	d.flagd = flagd.New(flagd.Config{Authenticate: s.authenticate, Resolve: s.resolve, Export: export, Logger: s.cfg.Logger})
	d.services = map[string]http.Handler{}
	d.flagd.Mount(func(pattern string, h http.Handler) { d.services[strings.Trim(pattern, "/")] = h })
}

// export writes a set as a flagd file, without its version: clients copy what is said of the set
// to every flag, so they would take every change for one of all flags.
func export(set flag.Set) ([]byte, error) {
	document, err := definitions.Export(set)
	if err != nil {
		return nil, err
	}
	document.Version = ""
	return document.MarshalJSON()
}

// ServeHTTP serves everything on the one port.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if service == "ofrep" {
		s.doors.ofrep.ServeHTTP(w, r)
	} else if h := s.doors.services[service]; h != nil {
		h.ServeHTTP(w, r)
	} else {
		s.dispatch(w, r)
	}
}

// anonymous gives who evaluates without a key where that is allowed. Pages of other origins, which
// a browser names, see what any client may see: the developer visits pages that are not his.
func anonymous(r *http.Request) control.Principal {
	if r.Header.Get("Origin") != "" {
		return control.Principal{ID: "anonymous-page", Name: "anonymous", Kind: control.TokenClient, Role: control.RoleClient}
	}
	return control.Principal{ID: "anonymous", Name: "anonymous", Kind: control.TokenSDK, Role: control.RoleSDK}
}

// authenticate tells who evaluates. Errors are *control.Error or *auth.TooMany.
func (s *Server) authenticate(r *http.Request) (control.Principal, error) {
	if err := s.environments.auth.CheckHost(r); err != nil {
		return control.Principal{}, &control.Error{Code: control.CodePermission, Message: err.Error()}
	}
	p, err := s.environments.auth.Authorize(r, auth.AtLeast(control.RoleClient))
	if err != nil && s.cfg.OpenEvaluation && errors.Is(err, auth.ErrNoCredential) {
		return anonymous(r), nil
	}
	return p, err
}

// resolve gives the environment that somebody asks for, or the one of that somebody.
func (s *Server) resolve(p control.Principal, environment string) (*control.Service, error) {
	if environment == "" {
		environment = p.Environment
	}
	e, ok := s.environments.find(environment)
	if !ok {
		return nil, s.environments.unknown(environment)
	}
	if !p.May(e.name) {
		return nil, &control.Error{Code: control.CodePermission, Message: "this key is for environment " + p.Environment + " only: use another key"}
	}
	return e.service, nil
}
