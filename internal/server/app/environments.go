package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/httpapi"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// maxEnvironments bounds the environments of a server, the first included.
const maxEnvironments = 50

// environments are all that the server has. The first is named in the configuration and lives in
// the data folder itself; the others live in folders below it, and exist because their folder
// does.
type environments struct {
	server *Server
	first  *environment
	auth   *auth.Auth

	changing sync.Mutex // serialises Create and Delete
	mu       sync.RWMutex
	byName   map[string]*environment
}

var _ httpapi.Environments = (*environments)(nil)

// environmentName is what can be a folder's name everywhere.
var environmentName = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$`)

// folder holds the environments other than the first.
func (c Config) folder() string { return filepath.Join(c.DataDir, "environments") }

// open opens the first environment and every other that has a folder.
func (l *environments) open(ctx context.Context) (err error) {
	s := l.server
	l.byName = map[string]*environment{}
	if l.first, err = s.openEnvironment(ctx, s.cfg.Environment, s.cfg.DataDir); err != nil {
		return err
	}
	l.auth = auth.New(l.first.service, s.cfg.Local)
	l.add(l.first)
	folders, err := l.folders()
	for _, name := range folders {
		e, failed := s.openEnvironment(ctx, name, filepath.Join(s.cfg.folder(), name))
		if failed != nil {
			err = fmt.Errorf("environment %s: %w", name, failed)
			break
		}
		l.add(e)
	}
	if err != nil {
		return errors.Join(err, l.closeStores())
	}
	for name := range s.cfg.FourEyes {
		if _, ok := l.byName[name]; !ok && name != "" {
			s.cfg.Logger.Warn("four eyes are demanded in an environment that does not exist: check its name, unless it is still to be made", "environment", name)
		}
	}
	return nil
}

func (l *environments) folders() (names []string, err error) {
	if l.server.cfg.DataDir == sqlite.Memory {
		return nil, nil
	}
	entries, err := os.ReadDir(l.server.cfg.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		if name := entry.Name(); entry.IsDir() && environmentName.MatchString(name) && name != l.server.cfg.Environment {
			names = append(names, name)
		}
	}
	return names, err
}

func (l *environments) add(e *environment) {
	l.server.serve(e, l.auth)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byName[e.name] = e
}

// find gives an environment; the first for the empty name.
func (l *environments) find(name string) (*environment, bool) {
	if name == "" {
		return l.first, true
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, ok := l.byName[name]
	return e, ok
}

// all gives every environment: the first, then by name.
func (l *environments) all() []*environment {
	l.mu.RLock()
	defer l.mu.RUnlock()
	list := make([]*environment, 0, len(l.byName))
	for _, e := range l.byName {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *environment) int {
		if (a == l.first) != (b == l.first) {
			return map[bool]int{true: -1, false: 1}[a == l.first]
		}
		return cmp.Compare(a.name, b.name)
	})
	return list
}

// closeStores undoes open when nothing runs yet.
func (l *environments) closeStores() error {
	var failed []error
	for _, e := range l.all() {
		failed = append(failed, e.store.Close())
	}
	return errors.Join(failed...)
}

// Names gives the names of all: the first, then sorted.
func (l *environments) Names() []string {
	var names []string
	for _, e := range l.all() {
		names = append(names, e.name)
	}
	return names
}

// Service gives the use cases of an environment, or a *control.Error with CodeNotFound.
func (l *environments) Service(name string) (*control.Service, error) {
	e, ok := l.find(name)
	if !ok {
		return nil, l.unknown(name)
	}
	return e.service, nil
}

func (l *environments) unknown(name string) error {
	return &control.Error{Code: control.CodeNotFound, Message: fmt.Sprintf(
		"there is no environment %q: `seatrial env list` shows them, `seatrial env create` makes one", name)}
}

// Create makes an environment. One that was deleted comes back only by hand, from its folder.
func (l *environments) Create(ctx context.Context, name string) error {
	if !environmentName.MatchString(name) {
		return &control.Error{Code: control.CodeInvalid, Message: fmt.Sprintf(
			"environment %q: the name has 1 to 63 of a-z 0-9 - _ and begins and ends with a letter or a digit", name)}
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	if _, exists := l.find(name); exists {
		return &control.Error{Code: control.CodeExists, Message: fmt.Sprintf("environment %q exists already", name)}
	}
	if len(l.all()) >= maxEnvironments {
		return &control.Error{Code: control.CodePrecondition, Message: fmt.Sprintf("there are %d environments, no more are allowed: delete one first", maxEnvironments)}
	}
	dir := sqlite.Memory
	if l.server.cfg.DataDir != sqlite.Memory {
		dir = filepath.Join(l.server.cfg.folder(), name)
	}
	e, err := l.server.openEnvironment(ctx, name, dir)
	if err != nil {
		return &control.Error{Code: control.CodeUnavailable, Message: fmt.Sprintf("environment %q cannot be made: %v", name, err), Err: err}
	}
	l.server.run(e)
	l.add(e)
	l.server.cfg.Logger.Info("environment is up", "environment", name)
	return nil
}

// Delete stops an environment and sets its folder aside, so that nothing is lost. The first stays
// as long as the server, and one in which a trial runs is refused.
func (l *environments) Delete(_ context.Context, name string) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	e, ok := l.find(name)
	switch {
	case !ok:
		return l.unknown(name)
	case e == l.first:
		return &control.Error{Code: control.CodePrecondition, Message: fmt.Sprintf("environment %q is the server's first, which keeps its tokens: it cannot be deleted", name)}
	case len(e.service.ActiveTrials()) > 0:
		return &control.Error{Code: control.CodePrecondition, Message: fmt.Sprintf("environment %q has running trials: abort them first", name)}
	}
	l.mu.Lock()
	delete(l.byName, name)
	l.mu.Unlock()
	e.quiesce()
	err := e.close()
	if l.server.cfg.DataDir != sqlite.Memory {
		aside := filepath.Join(l.server.cfg.folder(), fmt.Sprintf(".deleted-%s-%s", name, time.Now().UTC().Format("20060102T150405")))
		err = errors.Join(err, os.Rename(filepath.Join(l.server.cfg.folder(), name), aside))
	}
	if err != nil {
		return &control.Error{Code: control.CodeInternal, Message: fmt.Sprintf("environment %q is stopped, but not set aside: %v", name, err), Err: err}
	}
	l.server.cfg.Logger.Info("environment is deleted; its folder is set aside", "environment", name)
	return nil
}
