package httpapi

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

// memoryEnvironments are environments on logs in memory.
type memoryEnvironments struct {
	names    []string
	services map[string]*control.Service
}

func newEnvironments(first *control.Service) *memoryEnvironments {
	return &memoryEnvironments{[]string{"default"}, map[string]*control.Service{"default": first}}
}

func (e *memoryEnvironments) Names() []string { return slices.Clone(e.names) }

func (e *memoryEnvironments) Service(name string) (*control.Service, error) {
	if service := e.services[name]; service != nil {
		return service, nil
	}
	return nil, &control.Error{Code: control.CodeNotFound, Message: fmt.Sprintf("there is no environment %q", name)}
}

func (e *memoryEnvironments) Create(ctx context.Context, name string) (err error) {
	log := storetest.NewMemory()
	e.names = append(e.names, name)
	e.services[name], err = control.New(ctx, control.Config{Log: log, Journal: log, Environment: name})
	return err
}

func (e *memoryEnvironments) Delete(_ context.Context, name string) error {
	_, err := e.Service(name)
	e.names = slices.DeleteFunc(e.names, func(n string) bool { return n == name })
	delete(e.services, name)
	return err
}

func TestEnvironmentsAreManaged(t *testing.T) {
	b := newBench(t)
	b.send("POST", v1+"/environments", `{"key":"staging"}`, "as: editor").wantProblem(control.CodePermission)
	b.send("POST", v1+"/environments", `{"name":"staging"}`).wantProblem(control.CodeInvalid)
	b.send("POST", v1+"/environments", `{"key":"staging"}`).want(201)
	var list page[shownEnvironment]
	b.send("GET", v1+"/environments", "", "as: viewer").want(200).json(&list)
	if len(list.Items) != 2 || !list.Items[0].First || list.Items[1].First || list.Items[1].Key != "staging" {
		t.Errorf("%+v", list.Items)
	}
	b.send("DELETE", v1+"/environments/staging", "", "as: editor").wantProblem(control.CodePermission)
	b.send("DELETE", v1+"/environments/staging", "").want(204)
	b.send("GET", v1+"/environments/staging", "").wantProblem(control.CodeNotFound)
}
