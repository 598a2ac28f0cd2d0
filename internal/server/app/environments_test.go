package app

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// What is written to one environment is none of the other's business, and a token that is for one
// reaches no other.
func TestEnvironmentsAreApart(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	admin := connect(t, s, adminToken)
	admin.want(201, "POST", "/api/v1/environments", `{"key":"staging"}`)
	admin.want(409, "POST", "/api/v1/environments", `{"key":"staging"}`)
	admin.want(400, "POST", "/api/v1/environments", `{"key":"../etc"}`)
	admin.want(201, "POST", "/api/v1/flags?environment=staging", searchFlag)
	admin.want(404, "GET", "/api/v1/flags/search", "")
	if answer := admin.want(200, "GET", "/api/v1/snapshot?environment=staging", ""); !strings.Contains(answer, `"environment":"staging"`) {
		t.Errorf("snapshot: %s", answer)
	}
	admin.want(404, "GET", "/api/v1/flags?environment=nowhere", "")
	nobody := &client{t: t, url: s.URL(), secret: "st_api_wrong", http: admin.http}
	nobody.want(401, "GET", "/api/v1/flags?environment=nowhere", "")

	only := adminToken
	only.Environment = "staging"
	scoped := connect(t, s, only)
	scoped.want(200, "GET", "/api/v1/flags/search", "") // its own environment, unasked
	scoped.want(403, "GET", "/api/v1/flags?environment=default", "")
	scoped.want(403, "GET", "/api/v1/tokens", "")
	scoped.want(403, "POST", "/api/v1/tokens", `{"name":"n","kind":"api","role":"admin"}`)
	scoped.want(403, "POST", "/api/v1/environments", `{"key":"mine"}`)

	first := adminToken
	first.Environment = "default"
	connect(t, s, first).want(403, "POST", "/api/v1/tokens", `{"name":"n","kind":"api","role":"admin"}`)
}

// Environments come back after a restart, and a deleted one leaves its data behind.
func TestEnvironmentsLiveInFolders(t *testing.T) {
	dir := t.TempDir()
	s := start(t, local(dir))
	c := connect(t, s, adminToken)
	c.want(201, "POST", "/api/v1/environments", `{"key":"staging"}`)
	c.want(201, "POST", "/api/v1/flags?environment=staging", searchFlag)
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}

	s = start(t, local(dir))
	c = connect(t, s, control.NewToken{Name: "again", Kind: control.TokenAPI, Role: control.RoleAdmin})
	c.want(200, "GET", "/api/v1/flags/search?environment=staging", "")
	c.want(409, "DELETE", "/api/v1/environments/default", "")
	c.want(204, "DELETE", "/api/v1/environments/staging", "")
	c.want(404, "GET", "/api/v1/flags?environment=staging", "")
	entries, err := os.ReadDir(filepath.Join(dir, "environments"))
	if err != nil || !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".deleted-staging-") }) {
		t.Errorf("the folder was not set aside: %v, %v", entries, err)
	}
	c.want(201, "POST", "/api/v1/environments", `{"key":"staging"}`)
	c.want(404, "GET", "/api/v1/flags/search?environment=staging", "")
}
