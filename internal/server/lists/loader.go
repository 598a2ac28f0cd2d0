package lists

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
	"github.com/seatrial/seatrial/internal/server/control"
)

// LoaderConfig is what a Loader needs. Blobs is required.
type LoaderConfig struct {
	Blobs Blobs
	// Bytes bounds the memory of the lists that are kept although nobody may need them any more.
	// Those that an evaluator holds are in memory anyway, and are shared whatever the bound.
	// Default 256 MiB.
	Bytes int64
	// Logger is told of lists that cannot be loaded. Default: discard.
	Logger *slog.Logger
}

// Loader gives the members of lists, and keeps them in memory: all revisions of a flag set share
// a list for as long as it stays the same. All methods are safe for concurrent use.
type Loader struct {
	blobs  Blobs
	limit  int64
	logger *slog.Logger

	mu    sync.Mutex
	lists map[string]*loaded // by identity
	bytes int64              // of those that are kept
	turn  int64              // counts uses
}

// loaded is a list that is, was, or is about to be in memory.
type loaded struct {
	kept  *members.Set // nil: only as long as somebody else holds it
	held  weak.Pointer[members.Set]
	used  int64
	ready chan struct{} // closed when loading has ended; then err
	err   error
}

// NewLoader gives a loader.
func NewLoader(cfg LoaderConfig) *Loader {
	if cfg.Bytes == 0 {
		cfg.Bytes = 256 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Loader{blobs: cfg.Blobs, limit: cfg.Bytes, logger: cfg.Logger, lists: map[string]*loaded{}}
}

// loadTimeout bounds the loading of a list for somebody who cannot say how long to wait.
const loadTimeout = 30 * time.Second

// Set is [Loader.Load] for eval.CompileWith: false means that the list could not be loaded, which
// is logged.
func (l *Loader) Set(list flag.List) (*members.Set, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	set, err := l.Load(ctx, list)
	if err != nil {
		l.logger.Error("a member list could not be loaded: its members are taken for strangers", "members", list.Count, "error", err)
	}
	return set, err == nil
}

// Check tells whether a list can be used as it stands: all its parts are there, and have as many
// members as it says. It is for lists that come from outside, or back from the past.
func (l *Loader) Check(ctx context.Context, list flag.List) error {
	var digests []string
	for _, p := range list.Parts {
		digests = append(digests, p.Digest)
	}
	missing, err := l.blobs.MissingBlobs(ctx, digests)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &control.Error{Code: control.CodePrecondition, Message: fmt.Sprintf(
			"%d of the %d parts of the member list are not kept (any more): upload the list again", len(missing), len(digests))}
	}
	_, err = l.Load(ctx, list)
	return err
}

// Load gives the members of a list, loading them if need be. Who asks for one that is being loaded
// waits for that. Errors are those of the store, or say that the list does not fit its parts.
func (l *Loader) Load(ctx context.Context, list flag.List) (*members.Set, error) {
	id := identity(list)
	for {
		l.mu.Lock()
		entry, found := l.lists[id]
		if found {
			if set := l.use(entry); set != nil {
				l.mu.Unlock()
				return set, nil
			}
		}
		if !found || entry.ready == nil {
			entry = &loaded{ready: make(chan struct{})}
			l.lists[id] = entry
			l.mu.Unlock()
			return l.loadNow(ctx, id, entry, list)
		}
		ready := entry.ready
		l.mu.Unlock()
		select {
		case <-ready:
			if entry.err != nil && ctx.Err() == nil && !errors.Is(entry.err, context.Canceled) {
				return nil, entry.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// use gives the set of an entry if it is still in memory. The caller holds l.mu.
func (l *Loader) use(entry *loaded) *members.Set {
	set := entry.held.Value()
	if set == nil {
		return nil
	}
	l.turn++
	entry.used = l.turn
	if entry.kept == nil {
		l.retain(entry, set)
	}
	return set
}

func (l *Loader) loadNow(ctx context.Context, id string, entry *loaded, list flag.List) (*members.Set, error) {
	set, err := l.read(ctx, list)
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.err = err
	close(entry.ready)
	entry.ready = nil
	if err != nil {
		delete(l.lists, id)
		return nil, err
	}
	l.enter(entry, set)
	return set, nil
}

// enter puts a set into its entry, and makes room for it. The caller holds l.mu.
func (l *Loader) enter(entry *loaded, set *members.Set) {
	l.turn++
	entry.held, entry.used = weak.Make(set), l.turn
	l.retain(entry, set)
}

// retain keeps a set, and lets go of those that were not used for longest. The caller holds l.mu.
func (l *Loader) retain(entry *loaded, set *members.Set) {
	entry.kept = set
	l.bytes += set.Size()
	for l.bytes > l.limit {
		var oldest *loaded
		for _, e := range l.lists {
			if e.kept != nil && (oldest == nil || e.used < oldest.used) {
				oldest = e
			}
		}
		if oldest == nil {
			break
		}
		l.bytes -= oldest.kept.Size()
		oldest.kept = nil
	}
	for id, e := range l.lists {
		if e.ready == nil && e.held.Value() == nil {
			delete(l.lists, id)
		}
	}
}

// keep enters a list whose parts are at hand.
func (l *Loader) keep(list flag.List, parts []members.Edit) error {
	set, err := build(list, parts)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.lists[identity(list)]; !known {
		entry := &loaded{}
		l.lists[identity(list)] = entry
		l.enter(entry, set)
	}
	return nil
}

func (l *Loader) read(ctx context.Context, list flag.List) (*members.Set, error) {
	pieces, err := l.edits(ctx, list)
	if err != nil {
		return nil, err
	}
	return build(list, edits(pieces))
}

func build(list flag.List, parts []members.Edit) (*members.Set, error) {
	key, err := members.ParseKey(list.HashKey)
	if err != nil {
		return nil, broken(list, err)
	}
	set, err := members.Build(key, parts, flag.MaxListMembers)
	if err == nil && set.Len() != list.Count {
		err = fmt.Errorf("its parts have %d members", set.Len())
	}
	if err != nil {
		return nil, broken(list, err)
	}
	return set, nil
}

// edits reads the parts of a list.
func (l *Loader) edits(ctx context.Context, list flag.List) ([]piece, error) {
	var pieces []piece
	for _, p := range list.Parts {
		data, err := l.blobs.Blob(ctx, p.Digest)
		if errors.Is(err, control.ErrNotFound) {
			err = broken(list, fmt.Errorf("part %s is missing", p.Digest))
		}
		if err != nil {
			return nil, err
		}
		part, err := members.DecodePart(data)
		if err != nil {
			return nil, broken(list, fmt.Errorf("part %s: %w", p.Digest, err))
		}
		pieces = append(pieces, piece{Edit: members.Edit{Part: part, Removes: p.Removes}, stored: &p})
	}
	return pieces, nil
}

func broken(list flag.List, err error) error {
	return &control.Error{Code: control.CodePrecondition, Err: err,
		Message: fmt.Sprintf("the member list of %d cannot be used: %v: remove it and upload it again", list.Count, err)}
}

// identity tells lists apart by what makes their members.
func identity(list flag.List) string {
	var b strings.Builder
	b.WriteString(list.HashKey)
	fmt.Fprint(&b, " ", list.Count)
	for _, p := range list.Parts {
		b.WriteString(map[bool]string{true: " -", false: " +"}[p.Removes])
		b.WriteString(p.Digest)
	}
	return b.String()
}

// Loaded gives how many lists are in memory, and their bytes, for metrics.
func (l *Loader) Loaded() (n int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.lists {
		if set := e.held.Value(); set != nil {
			n++
			bytes += set.Size()
		}
	}
	return n, bytes
}
