package ofrep

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

// site is what is kept of one environment.
type site struct {
	service *control.Service
	used    atomic.Int64 // Unix seconds

	build  sync.Mutex // held while plates are made
	plates atomic.Pointer[plates]

	mu   sync.Mutex
	seen control.Head // newest state that was looked at
	news news
}

// news is the newest change that an evaluation can notice.
type news struct {
	head control.Head
	time time.Time // when this process saw it
}

// current gives the plates of the newest published state.
func (s *site) current() (*plates, error) {
	view := s.service.Snapshot()
	if have := s.plates.Load(); have != nil && have.view == view {
		return have, nil
	}
	s.build.Lock()
	defer s.build.Unlock()
	view = s.service.Snapshot()
	if have := s.plates.Load(); have != nil && have.view == view {
		return have, nil
	}
	snapshot, err := view.Compiled()
	if err != nil {
		return nil, err
	}
	made := newPlates(view, snapshot)
	s.plates.Store(made)
	s.latest() // whoever asks for a stream after this state knows it
	return made, nil
}

// latest gives the newest change that clients should ask again for. Changes of tokens, and
// decisions that move no share, are none.
func (s *site) latest() news {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.service.Head()
	if head == s.seen {
		return s.news
	}
	if s.seen.History == "" || s.service.NoticeableSince(s.seen) {
		s.news = news{head, time.Now()}
	}
	s.seen = head
	return s.news
}

// sites holds the environments that were asked for lately.
type sites struct {
	byService sync.Map // *control.Service → *site
	mu        sync.Mutex
}

// siteIdle is after what time without requests an environment is forgotten. It may have been
// deleted.
const siteIdle = time.Hour

func (s *sites) of(service *control.Service, now time.Time) *site {
	found, ok := s.byService.Load(service)
	if !ok {
		found = s.add(service, now)
	}
	one := found.(*site)
	if at := now.Unix(); one.used.Load() != at {
		one.used.Store(at)
	}
	return one
}

func (s *sites) add(service *control.Service, now time.Time) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byService.Range(func(key, value any) bool {
		if now.Unix()-value.(*site).used.Load() > int64(siteIdle/time.Second) {
			s.byService.Delete(key)
		}
		return true
	})
	fresh := &site{service: service}
	fresh.used.Store(now.Unix())
	found, _ := s.byService.LoadOrStore(service, fresh)
	return found
}
