package flagd

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/structpb"
)

// The events of an EventStream.
const (
	eventReady    = "provider_ready"
	eventAlive    = "keep_alive"
	eventChange   = "configuration_change"
	eventShutdown = "provider_shutdown"
)

// aliveEvery is after how many looks a stream says that it is alive.
const aliveEvery = 2

// events tells a client of changes to the flags that it may see.
func (s *Server) events(ctx context.Context, write func(kind string, data *structpb.Struct) error) error {
	c := callOf(ctx)
	service, _, err := s.service(c, "")
	if err != nil {
		return s.refusal(err)
	}
	leave, err := s.open(c)
	if err != nil {
		return err
	}
	defer leave()
	send := func(kind string, data *structpb.Struct) error {
		return s.send(c, func() error { return write(kind, data) })
	}
	t := s.site(service)
	first, at := t.newest()
	if err := send(eventReady, nil); err != nil {
		return err
	}
	err = s.follow(ctx, c, t, first, at, listener(s, t, c.client(), send))
	if errors.Is(err, errStopping) {
		_ = send(eventShutdown, nil)
	}
	return err
}

func listener(s *Server, t *site, client bool, send func(kind string, data *structpb.Struct) error) follower {
	looks := 0
	return follower{
		changed: func(from, to *state) error {
			changes := t.changes(from, to, client)
			if len(changes) == 0 {
				return nil
			}
			s.stats.changes.Add(1)
			return send(eventChange, changeData(changes))
		},
		looked: func() error {
			if looks++; looks%aliveEvery != 0 {
				return nil
			}
			return send(eventAlive, nil)
		},
	}
}

func changeData(changes map[string]change) *structpb.Struct {
	flags := make(map[string]*structpb.Value, len(changes))
	for key, c := range changes {
		flags[key] = object1("type", structpb.NewStringValue(string(c)))
	}
	return object1("flags", structpb.NewStructValue(&structpb.Struct{Fields: flags})).GetStructValue()
}

// object1 is an object with one member.
func object1(name string, v *structpb.Value) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{name: v}})
}
