package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/seatrial/seatrial/internal/server/control"
)

// Environments are the flag sets of the server. Errors are *control.Error.
type Environments interface {
	// Names gives all: the first of the server, then sorted.
	Names() []string
	Service(name string) (*control.Service, error)
	Create(ctx context.Context, name string) error
	Delete(ctx context.Context, name string) error
}

// shownEnvironment is an environment in answers.
type shownEnvironment struct {
	Key      string `json:"key"`
	First    bool   `json:"first,omitempty"` // it keeps the server's tokens
	Flags    int    `json:"flags"`
	Segments int    `json:"segments"`
	Trials   int    `json:"trials"` // that run
	History  string `json:"history"`
	Revision int64  `json:"revision"`
}

func (c *call) environment(name string) (shownEnvironment, error) {
	service, err := c.api.cfg.Environments.Service(name)
	if err != nil {
		return shownEnvironment{}, err
	}
	view := service.Snapshot()
	return shownEnvironment{Key: name, First: name == c.api.cfg.Environments.Names()[0],
		Flags: len(view.Set.Flags), Segments: len(view.Set.Segments), Trials: len(view.Set.Allocations),
		History: view.Head.History, Revision: view.Head.Revision}, nil
}

func (c *call) listEnvironments() error {
	items := []shownEnvironment{}
	for _, name := range c.api.cfg.Environments.Names() {
		one, err := c.environment(name)
		if err != nil {
			continue // deleted meanwhile
		}
		items = append(items, one)
	}
	return answerPage(c, items, "")
}

func (c *call) getEnvironment() error {
	one, err := c.environment(c.r.PathValue("key"))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, one)
}

func (c *call) createEnvironment() error {
	var body struct {
		Key string `json:"key"`
	}
	if err := c.decode("environment", &body); err != nil {
		return err
	}
	if err := c.api.cfg.Environments.Create(c.r.Context(), body.Key); err != nil {
		return err
	}
	one, err := c.environment(body.Key)
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, one)
}

func (c *call) deleteEnvironment() error {
	if err := c.api.cfg.Environments.Delete(c.r.Context(), c.r.PathValue("key")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// compareEnvironments shows what would change if everything of another environment came here.
func (c *call) compareEnvironments() error {
	with := c.param("with")
	if with == "" {
		return invalidAt("/with", "name the environment to compare with, such as ?with=staging")
	}
	return c.promotion(with, control.Selection{State: true, Prune: true}, control.WriteOptions{Actor: c.principal.Actor(), DryRun: true})
}

// promote makes definitions of another environment this one's, in one change.
func (c *call) promote() error {
	o, err := c.write()
	if err != nil {
		return err
	}
	var body struct {
		From     string   `json:"from"`
		Flags    []string `json:"flags"`
		Segments []string `json:"segments"`
		Layers   []string `json:"layers"`
		State    bool     `json:"state"`
		Prune    bool     `json:"prune"`
	}
	if err := c.decode("promotion", &body); err != nil {
		return err
	}
	if o.Reason == "" {
		o.Reason = "Promoted from environment " + body.From + "."
	}
	return c.promotion(body.From, control.Selection{
		Flags: body.Flags, Segments: body.Segments, Layers: body.Layers, State: body.State, Prune: body.Prune,
	}, o)
}

func (c *call) promotion(from string, pick control.Selection, o control.WriteOptions) error {
	target, err := c.api.cfg.Environments.Service(c.r.PathValue("key"))
	if err != nil {
		return err
	}
	source, err := c.api.cfg.Environments.Service(from)
	if err != nil {
		return err
	}
	if source == target {
		return invalidAt("/from", "the environment is both source and target: name two")
	}
	batch, err := control.Promotion(*source.Snapshot().Set, *target.Snapshot().Set, pick)
	if err != nil {
		return err
	}
	applied, err := target.Apply(c.r.Context(), batch, o)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, applied)
}

// serverWide keeps what belongs to the server as a whole from those who may use one environment
// only.
func serverWide(handle func(*call) error) func(*call) error {
	return func(c *call) error {
		if only := c.principal.Environment; only != "" {
			return &control.Error{Code: control.CodePermission, Message: fmt.Sprintf(
				"%s %q is for environment %q only, this concerns the whole server: use a token that is for all", c.principal.Kind, c.principal.Name, only)}
		}
		return handle(c)
	}
}

// mayUse refuses a principal that is for another environment.
func (c *call) mayUse() error {
	if c.principal.May(c.api.cfg.Environment) {
		return nil
	}
	return &control.Error{Code: control.CodePermission, Message: fmt.Sprintf("%s %q is for environment %q only, not for %q: use another token",
		c.principal.Kind, c.principal.Name, c.principal.Environment, c.api.cfg.Environment)}
}

// Refuse answers a request that did not come as far as a route with what is wrong with it.
func (a *API) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	c := a.newCall(w, r)
	c.fail(err)
}
