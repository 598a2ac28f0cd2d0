package flagd

import (
	"fmt"
	"sync"

	"connectrpc.com/connect"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/flagd/proto/syncv1pb"
)

// state is one state of an environment's flags, with what is made of it. It never changes.
type state struct {
	set      *flag.Set
	document func() (*syncv1pb.SyncFlagsResponse, error) // made once, when first asked for
}

// site is an environment, with the newest state of it that somebody asked for.
type site struct {
	service *control.Service
	server  *Server

	mu    sync.Mutex
	head  control.Head // up to which newest holds
	state *state

	comparing sync.Mutex
	diffs     []diff // the last ones, newest last
}

// newest gives the newest state and what identifies it. Changes that evaluators need not know of
// (of a token, or of a trial that moves no share) give the state from before.
func (t *site) newest() (*state, control.Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	view := t.service.Snapshot()
	if t.state == nil || view.Head != t.head && t.service.NoticeableSince(t.head) {
		set := view.Set
		t.state = &state{set: set, document: sync.OnceValues(func() (*syncv1pb.SyncFlagsResponse, error) {
			return t.server.document(set)
		})}
	}
	t.head = view.Head
	return t.state, t.head
}

// warnAt is the part of the longest document from which on the log warns.
const warnAt = 0.5

// document writes a set as a flagd file.
func (s *Server) document(set *flag.Set) (*syncv1pb.SyncFlagsResponse, error) {
	log := s.cfg.Logger.With("environment", set.Environment, "revision", set.Revision)
	data, err := s.cfg.Export(*set)
	if err != nil {
		log.Error("flagd: the flags cannot be written as a flagd file; clients that evaluate in process get none", "error", err)
		return nil, connect.NewError(connect.CodeDataLoss, fmt.Errorf("environment %q cannot be written as a flagd file: the server's log says more", set.Environment))
	}
	switch {
	case len(data) > s.limits.Document:
		log.Error("flagd: the flags are too long for clients that evaluate in process; they get none", "bytes", len(data), "limit", s.limits.Document)
		return nil, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf(
			"environment %q has %d bytes as a flagd file, gRPC clients take %d: have flags evaluated by the server, or split the environment",
			set.Environment, len(data), s.limits.Document))
	case float64(len(data)) > warnAt*float64(s.limits.Document):
		log.Warn("flagd: the flags are over half as long as clients that evaluate in process can take", "bytes", len(data), "limit", s.limits.Document)
	}
	return &syncv1pb.SyncFlagsResponse{FlagConfiguration: string(data)}, nil
}

// sites are the environments that somebody asked for, by name.
type sites struct {
	mu  sync.Mutex
	all map[string]*site
}

// site gives what is kept of an environment. One that was replaced by another of its name starts
// anew.
func (s *Server) site(service *control.Service) *site {
	s.sites.mu.Lock()
	defer s.sites.mu.Unlock()
	name := service.Snapshot().Set.Environment
	t := s.sites.all[name]
	if t == nil || t.service != service {
		t = &site{service: service, server: s}
		if s.sites.all == nil {
			s.sites.all = map[string]*site{}
		}
		s.sites.all[name] = t
	}
	return t
}
