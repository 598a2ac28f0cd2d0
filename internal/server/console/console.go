// Package console shows the state of the control plane to people, as plain pages made on the
// server: no script, nothing loaded from elsewhere, readable without style. It is small on
// purpose and only reads; what it shows can be acted on with the command that stands next to it.
package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/traces"
)

// State is what the pages show; *control.Service is one.
type State interface {
	Head() control.Head
	GetLever() control.LeverEntry
	ListTrials(p control.Page) ([]control.TrialEntry, string)
	ListFlags(p control.Page) ([]control.FlagEntry, string)
	ListChanges(ctx context.Context, after int64, limit int) ([]control.Change, error)
}

// Traces has the traces that trials point at; *traces.Store is one.
type Traces interface {
	Get(id traces.TraceID) (traces.Trace, bool)
}

var (
	_ State  = (*control.Service)(nil)
	_ Traces = (*traces.Store)(nil)
)

// Config is what a Console needs; all fields are required.
type Config struct {
	State       State
	Traces      Traces
	Fleet       Fleet
	Environment string
}

// Console makes pages. All methods are safe for concurrent use.
type Console struct {
	cfg    Config
	pages  *template.Template
	policy string
}

//go:embed page.html
var page string

//go:embed style.css
var style string

// New gives a Console.
func New(cfg Config) *Console {
	sum := sha256.Sum256([]byte(style))
	return &Console{
		cfg: cfg,
		pages: template.Must(template.New("").Funcs(template.FuncMap{
			"style": func() template.CSS { return template.CSS(style) },
		}).Parse(page)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
}

// Home shows trials, flags, what processes report, and the newest changes to p.
func (c *Console) Home(w http.ResponseWriter, r *http.Request, p control.Principal) error {
	data, err := c.home(r.Context())
	if err != nil {
		return err
	}
	data.Who, data.Role, data.Session = p.Name, string(p.Role), p.Kind == control.TokenSession
	return c.show(w, http.StatusOK, "home", data)
}

// SignIn tells how to sign in.
func (c *Console) SignIn(w http.ResponseWriter, status int, message string) {
	data := struct{ Environment, Message string }{c.cfg.Environment, message}
	if err := c.show(w, status, "signin", data); err != nil { // of two strings: cannot fail
		http.Error(w, message, status)
	}
}

// show writes a page as a whole or not at all.
func (c *Console) show(w http.ResponseWriter, status int, name string, data any) error {
	var b bytes.Buffer
	if err := c.pages.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", c.policy)
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader is gone if that fails
	return nil
}
