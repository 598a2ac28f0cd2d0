package seatrial

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/core/members"
)

// How the client gets member lists.
const (
	listWait     = 10 * time.Second       // that a snapshot is held back for its lists
	partRetry    = 200 * time.Millisecond // first wait after a failure; it doubles
	partRetryMax = 30 * time.Second
	partTimeout  = 2 * time.Minute // for one part, without anybody waiting
	maxListBytes = 128 << 20       // of all parts of a list
)

// memberLists brings the member lists that snapshots name into memory, part by part: from the
// folder beside the last-known-good file, or from the control plane. A list stays in memory for as
// long as snapshots name it, and one that only grew is not read again.
//
// A new snapshot waits for its lists, but not longer than listWait, so that nothing that has to
// happen soon is held back by a list. Then it comes into force with the list that the segment had
// before, if any, until run has got the new one.
type memberLists struct {
	client *Client
	dir    string          // of the parts; empty: none
	ctx    context.Context // while the control plane is followed; nil: only the folder is asked
	wake   chan struct{}   // holds a token when a list is late

	mu    sync.Mutex
	sets  map[string]*members.Set // by identity of the list
	last  map[string]flag.List    // by segment: the newest that was in force and is in sets
	parts map[string]members.Part // by digest, of lists that are not complete yet
	late  map[string]bool         // by identity: nobody waits for them any more
}

func newMemberLists(c *Client) *memberLists {
	m := &memberLists{client: c, wake: make(chan struct{}, 1), sets: map[string]*members.Set{},
		last: map[string]flag.List{}, parts: map[string]members.Part{}, late: map[string]bool{}}
	if c.config.file != "" {
		m.dir = c.config.file + ".parts"
	}
	return m
}

// gather waits until the lists of set are in memory, or for listWait. It has no lock while it waits.
func (m *memberLists) gather(set *flag.Set) {
	var missing []flag.List
	m.mu.Lock()
	for _, g := range set.Segments {
		if g.List != nil && m.sets[listID(*g.List)] == nil && !m.late[listID(*g.List)] {
			missing = append(missing, *g.List)
		}
	}
	m.mu.Unlock()
	if len(missing) == 0 {
		return
	}
	ctx := cmp.Or(m.ctx, context.Background())
	ctx, cancel := context.WithTimeout(ctx, listWait)
	defer cancel()
	for _, list := range missing {
		if err := m.loadPatiently(ctx, list); err != nil {
			m.client.config.logger.Warn("seatrial: a member list is late; its segment goes on with the one it had", "members", list.Count, "error", err)
			m.mu.Lock()
			m.late[listID(list)] = m.ctx != nil
			m.mu.Unlock()
		}
	}
}

// loadPatiently tries to load a list until ctx ends, or trying makes no sense.
func (m *memberLists) loadPatiently(ctx context.Context, list flag.List) error {
	for wait := partRetry; ; wait = min(2*wait, partRetryMax) {
		err := m.load(ctx, list)
		var final *finalError
		if err == nil || m.ctx == nil || errors.As(err, &final) {
			return err
		}
		pause(ctx, wait/2+rand.N(wait))
		if ctx.Err() != nil {
			return err
		}
	}
}

// finalError is one that does not go away by trying again.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// load brings a list into memory. What it has got of it stays for the next try.
func (m *memberLists) load(ctx context.Context, list flag.List) error {
	key, err := members.ParseKey(list.HashKey)
	if err != nil {
		return &finalError{err}
	}
	size := int64(0)
	for _, p := range list.Parts {
		size += p.Bytes
	}
	if size > maxListBytes {
		return &finalError{fmt.Errorf("it has %d bytes, more than %d", size, maxListBytes)}
	}
	edits, rest := m.known(list)
	for _, p := range rest {
		part, err := m.part(ctx, p)
		if err != nil {
			return fmt.Errorf("part %.12s…: %w", p.Digest, err)
		}
		edits = append(edits, members.Edit{Part: part, Removes: p.Removes})
	}
	set, err := members.Build(key, edits, flag.MaxListMembers)
	if err == nil && set.Len() != list.Count {
		err = fmt.Errorf("its parts have %d members, not %d", set.Len(), list.Count)
	}
	if err != nil {
		return &finalError{err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sets[listID(list)] = set
	delete(m.late, listID(list))
	for _, p := range list.Parts {
		delete(m.parts, p.Digest)
	}
	return nil
}

// known gives what a list that is in memory already makes unnecessary to read: the longest one
// that the list began as. The rest are the parts that remain.
func (m *memberLists) known(list flag.List) (edits []members.Edit, rest []flag.ListPart) {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := 0
	var base *members.Set
	for _, had := range m.last {
		n := len(had.Parts)
		if had.HashKey == list.HashKey && n > best && n <= len(list.Parts) && slices.Equal(had.Parts, list.Parts[:n]) {
			if set := m.sets[listID(had)]; set != nil {
				best, base = n, set
			}
		}
	}
	return base.Edits(), list.Parts[best:]
}

// part gets a part from memory, the folder or the control plane.
func (m *memberLists) part(ctx context.Context, p flag.ListPart) (members.Part, error) {
	m.mu.Lock()
	part, ok := m.parts[p.Digest]
	m.mu.Unlock()
	if ok {
		return part, nil
	}
	data, err := m.readPart(p)
	if err != nil {
		if m.ctx == nil {
			return part, err
		}
		if data, err = m.fetchPart(ctx, p); err != nil {
			return part, err
		}
		if err := m.writePart(p, data); err != nil {
			m.client.config.logger.Warn("seatrial: a part of a member list could not be kept", "folder", m.dir, "error", err)
		}
	}
	if part, err = members.DecodePart(data); err != nil {
		return part, &finalError{err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts[p.Digest] = part
	return part, nil
}

// fetchPart asks the control plane for a part, and checks it by its name.
func (m *memberLists) fetchPart(ctx context.Context, p flag.ListPart) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	res, err := m.client.get(ctx, "/api/v1/parts/"+p.Digest, "application/octet-stream", "", "")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, refused(res).err
	}
	data := make([]byte, 0, min(max(p.Bytes, 0), members.MaxPartBytes)+1)
	for len(data) < cap(data) && err == nil {
		var n int
		n, err = res.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, checkPart(p, data)
}

func checkPart(p flag.ListPart, data []byte) error {
	if sum := sha256.Sum256(data); int64(len(data)) != p.Bytes || hex.EncodeToString(sum[:]) != p.Digest {
		return errors.New("it is not what its name says")
	}
	return nil
}

// find gives the lists of set for the evaluator, and the segments whose list is not the one that
// set names. The caller holds the client's lock installing.
func (m *memberLists) find(set *flag.Set) (lists func(flag.List) (*members.Set, bool), behind []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found, needed, last := map[string]*members.Set{}, map[string]*members.Set{}, map[string]flag.List{}
	missing := map[string]bool{} // lists, and their parts
	for _, g := range set.Segments {
		if g.List == nil {
			continue
		}
		list := *g.List
		if m.sets[listID(list)] == nil {
			behind = append(behind, g.Key)
			missing[listID(list)] = true
			for _, p := range list.Parts {
				missing[p.Digest] = true
			}
			list = m.last[g.Key]
		}
		if s := m.sets[listID(list)]; s != nil {
			found[listID(*g.List)], needed[listID(list)], last[g.Key] = s, s, list
		}
	}
	m.sets, m.last = needed, last
	maps.DeleteFunc(m.parts, func(digest string, _ members.Part) bool { return !missing[digest] })
	maps.DeleteFunc(m.late, func(id string, _ bool) bool { return !missing[id] })
	if len(behind) > 0 {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
	return func(list flag.List) (*members.Set, bool) { s := found[listID(list)]; return s, s != nil }, behind
}

// run gets late lists, and brings each into force, until ctx ends.
func (m *memberLists) run(ctx context.Context) {
	for wait := partRetry; ; wait = min(2*wait, partRetryMax) {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return
		}
		news := false
		for key, list := range m.lateOnes() {
			err := m.load(ctx, list)
			switch {
			case err == nil:
				news = true
				m.client.config.logger.Info("seatrial: a late member list is there", "segment", key, "members", list.Count)
			case ctx.Err() == nil:
				m.client.config.logger.Debug("seatrial: a member list is still late", "segment", key, "error", err)
			}
		}
		if news {
			m.client.reinstall() // which wakes this again if there are more
			wait = partRetry
			continue
		}
		pause(ctx, wait/2+rand.N(wait))
		if len(m.lateOnes()) > 0 {
			select {
			case m.wake <- struct{}{}:
			default:
			}
		} else {
			wait = partRetry
		}
	}
}

// lateOnes gives the lists of the present snapshot that are not in force, by segment.
func (m *memberLists) lateOnes() map[string]flag.List {
	lists := map[string]flag.List{}
	at := m.client.current.Load()
	if at == nil {
		return lists
	}
	for _, g := range at.set.Segments {
		if slices.Contains(at.behind, g.Key) {
			lists[g.Key] = *g.List
		}
	}
	return lists
}

// listID tells lists apart by what makes their members.
func listID(list flag.List) string {
	var b strings.Builder
	fmt.Fprint(&b, list.HashKey, " ", list.Count)
	for _, p := range list.Parts {
		if b.WriteByte('+'); p.Removes {
			b.WriteByte('-')
		}
		b.WriteString(p.Digest)
	}
	return b.String()
}
