package httpapi

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
)

// oneEnvironment has many names for one service.
type oneEnvironment struct {
	service *control.Service
	more    []string
}

func (e *oneEnvironment) Names() []string { return append([]string{"default"}, e.more...) }

func (e *oneEnvironment) Service(name string) (*control.Service, error) {
	if !slices.Contains(e.Names(), name) {
		return nil, &control.Error{Code: control.CodeNotFound, Message: fmt.Sprintf("there is no environment %q", name)}
	}
	return e.service, nil
}

func (e *oneEnvironment) Create(_ context.Context, name string) error {
	e.more = append(e.more, name)
	return nil
}

func (e *oneEnvironment) Delete(_ context.Context, name string) error {
	_, err := e.Service(name)
	e.more = slices.DeleteFunc(e.more, func(n string) bool { return n == name })
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
