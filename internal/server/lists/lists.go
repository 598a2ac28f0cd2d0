// Package lists holds the use cases of member lists: segments with up to ten million targeting
// keys. It owns the port [Blobs], where the parts of lists are kept.
//
// [Service] changes lists: it reads targeting keys, keeps only their keyed hashes (package
// members), stores what changed as new parts, and then moves the segment to them by one
// compare-and-set in the change log. Parts that no segment needs any more are collected
// ([Service.Collect]). [Loader] brings lists into memory for evaluation.
package lists

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

// Segments is what a Service needs of the control plane; *control.Service is one.
type Segments interface {
	GetSegment(key string) (control.SegmentEntry, error)
	// SetList changes the list of a segment from was to now, nil meaning none; if both are the
	// same, it only checks o.IfMatch.
	SetList(ctx context.Context, key string, was, now *flag.List, o control.WriteOptions) (control.SegmentEntry, error)
	ListChanges(ctx context.Context, after int64, limit int) ([]control.Change, error)
	Head() control.Head
	Snapshot() *control.View
}

// Config is what a Service needs. Segments and Loader are required.
type Config struct {
	Segments Segments
	Loader   *Loader // its store is the service's, too
	// Now reads the clock, for the age of parts. Default time.Now.
	Now func() time.Time
	// Logger gets what nobody is told of, such as a failing collection. Default: discard.
	Logger *slog.Logger
}

// Service carries out the use cases of lists. All methods are safe for concurrent use; changes
// are made one after the other, but their input is read side by side. Reading ten million
// targeting keys takes 80 MB, changing a list of as many about as much again.
type Service struct {
	cfg      Config
	blobs    Blobs
	changing chan struct{} // holds a token while a list is changed or parts are collected
	ledger   ledger        // guarded by changing
	sending  sending
}

// New gives a service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{cfg: cfg, blobs: cfg.Loader.blobs, changing: make(chan struct{}, 1)}
}

// Stat describes the list of a segment.
type Stat struct {
	Segment string `json:"segment"`
	Members int    `json:"members"`
	Parts   int    `json:"parts"`
	Bytes   int64  `json:"bytes"` // of all parts
	// Revision is that of the segment.
	Revision int64 `json:"revision"`
}

// Change is what a change did to a list.
type Change struct {
	Stat
	Added   int `json:"added"`
	Removed int `json:"removed"`
}

func statOf(e control.SegmentEntry) Stat {
	s := Stat{Segment: e.Key, Revision: e.Revision}
	if e.List != nil {
		s.Members, s.Parts = e.List.Count, len(e.List.Parts)
		for _, p := range e.List.Parts {
			s.Bytes += p.Bytes
		}
	}
	return s
}

// Stat describes the list of a segment, one without members if it has none; CodeNotFound if there
// is no such segment.
func (s *Service) Stat(key string) (Stat, error) {
	entry, err := s.cfg.Segments.GetSegment(key)
	if err != nil {
		return Stat{}, err
	}
	return statOf(entry), nil
}

// Contains reports whether a targeting key is in the list of a segment; its other members and its
// condition are not asked. A list that is not in memory is loaded first.
func (s *Service) Contains(ctx context.Context, key, targetingKey string) (bool, error) {
	entry, err := s.cfg.Segments.GetSegment(key)
	if err != nil || entry.List == nil {
		return false, err
	}
	set, err := s.cfg.Loader.Load(ctx, *entry.List)
	return set.Contains(targetingKey), err
}

// Replace makes the targeting keys that r has, one a line (see [read]), the members of the list.
// If o.IfMatch is given, it is a condition on the segment. Errors: CodeNotFound if there is no
// such segment, CodeInvalid with the line, CodeTooLarge, CodeConflict.
func (s *Service) Replace(ctx context.Context, key string, r io.Reader, o control.WriteOptions) (Change, error) {
	return s.upload(ctx, key, r, o, replace)
}

// Add adds targeting keys, as Replace reads them.
func (s *Service) Add(ctx context.Context, key string, r io.Reader, o control.WriteOptions) (Change, error) {
	return s.upload(ctx, key, r, o, add)
}

// Remove removes targeting keys, as Replace reads them; those that are no members do not matter.
func (s *Service) Remove(ctx context.Context, key string, r io.Reader, o control.WriteOptions) (Change, error) {
	return s.upload(ctx, key, r, o, remove)
}

// Clear removes the list with all its members. A later one has another hash key.
func (s *Service) Clear(ctx context.Context, key string, o control.WriteOptions) (Change, error) {
	entry, err := s.cfg.Segments.GetSegment(key)
	if err != nil {
		return Change{}, err
	}
	removed := 0
	if entry.List != nil {
		removed = entry.List.Count
	}
	entry, err = s.cfg.Segments.SetList(ctx, key, entry.List, nil, o)
	return Change{Stat: statOf(entry), Removed: removed}, err
}

// maxTries bounds how often a change that meets others is tried.
const maxTries = 5

// upload reads targeting keys and changes the list with them.
func (s *Service) upload(ctx context.Context, key string, r io.Reader, o control.WriteOptions, how operation) (Change, error) {
	entry, err := s.cfg.Segments.GetSegment(key)
	if err != nil {
		return Change{}, err
	}
	if entry.Rule != nil {
		return Change{}, &control.Error{Code: control.CodePrecondition, Message: fmt.Sprintf(
			"segment %q: it has a rule, which decides alone: remove the rule, or put the list on another segment", key)}
	}
	hashKey := newHashKey()
	if entry.List != nil {
		hashKey = entry.List.HashKey
	}
	up, err := read(ctx, r, hashKey)
	if err != nil {
		return Change{}, about(key, err)
	}
	if err := s.begin(ctx); err != nil {
		return Change{}, err
	}
	defer s.end()
	for range maxTries {
		change, err := s.change(ctx, key, up, o, how)
		if !errors.Is(err, errMoved) {
			return change, err
		}
	}
	return Change{}, &control.Error{Code: control.CodeConflict, Message: fmt.Sprintf("segment %q: others change its list all the time: try again later", key)}
}

func newHashKey() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// begin waits until no other list is changed.
func (s *Service) begin(ctx context.Context) error {
	select {
	case s.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &control.Error{Code: control.CodeUnavailable, Err: context.Cause(ctx), Message: "another list is being changed: try again in a moment"}
	}
}

func (s *Service) end() { <-s.changing }

// about names the segment in an error of the input.
func about(key string, err error) error {
	var e *control.Error
	if !errors.As(err, &e) {
		return err
	}
	return &control.Error{Code: e.Code, Message: fmt.Sprintf("list of segment %q: %s", key, e.Message), Fields: e.Fields, Err: e.Err}
}
