package flagd

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/seatrial/seatrial/internal/server/control"
)

// requestTimeout is how long a client may take to send its request.
const requestTimeout = 10 * time.Second

// call is one request whose maker is known.
type call struct {
	principal control.Principal
	request   *http.Request
	out       *http.ResponseController
}

type callKey struct{}

// callOf gives the call that guard has let in.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// guard lets those in who have the role, and says who it is.
func (s *Server) guard(need control.Role, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{request: r, out: http.NewResponseController(w)}
		_ = c.out.SetReadDeadline(time.Now().Add(requestTimeout))
		if err := s.admit(c, need); err != nil {
			s.stats.refused.Add(1)
			_ = s.refuser.Write(w, r, s.refusal(err))
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

func (s *Server) admit(c *call, need control.Role) (err error) {
	if c.principal, err = s.cfg.Authenticate(c.request); err != nil {
		return err
	}
	if !c.principal.Role.Includes(need) {
		return connect.NewError(connect.CodePermissionDenied,
			errors.New("this key may not read definitions of flags: use an SDK key, or have flags evaluated by the server"))
	}
	return nil
}

// client reports whether a browser's key is used, which shows the values of ClientSide flags and
// nothing else.
func (c *call) client() bool { return c.principal.Role == control.RoleClient }

// wanted gives the selector of the header, or else the one of the message.
func (c *call) wanted(message string) string {
	if header := c.request.Header.Get(selectorHeader); header != "" {
		return header
	}
	return message
}

// service gives the flags that a call is about. Selected is true where they are not those that the
// maker's key stands for.
func (s *Server) service(c *call, selector string) (service *control.Service, selected bool, err error) {
	name, err := environmentOf(c.wanted(selector))
	if err != nil {
		return nil, false, err
	}
	if service, err = s.cfg.Resolve(c.principal, name); err != nil || name == "" {
		return service, false, err
	}
	own, err := s.cfg.Resolve(c.principal, "")
	return service, err != nil || own != service, nil
}
