package flagd

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/seatrial/seatrial/internal/server/flagd/proto/syncv1pb"
)

// synchronisation is flagd.sync.v1: whole states as flagd files, which clients evaluate themselves.
type synchronisation struct{ *Server }

var _ syncv1pb.FlagSyncServiceHandler = synchronisation{}

// SyncFlags sends the state at once, from memory, and again after every change.
func (s synchronisation) SyncFlags(ctx context.Context, r *syncv1pb.SyncFlagsRequest, stream *connect.ServerStream[syncv1pb.SyncFlagsResponse]) error {
	c := callOf(ctx)
	service, _, err := s.service(c, r.GetSelector())
	if err != nil {
		return s.refusal(err)
	}
	leave, err := s.open(c)
	if err != nil {
		return err
	}
	defer leave()
	sent := ""
	send := func(_, to *state) error {
		document, err := to.document()
		if err != nil || document.GetFlagConfiguration() == sent { // not all that changed is in the file
			return err
		}
		sent = document.GetFlagConfiguration()
		s.stats.documents.Add(1)
		return s.send(c, func() error { return stream.Send(document) })
	}
	t := s.site(service)
	first, at := t.newest()
	if err := send(nil, first); err != nil {
		return err
	}
	return s.follow(ctx, c, t, first, at, follower{selector: r.GetSelector(), changed: send})
}

// FetchAllFlags gives the state once.
func (s synchronisation) FetchAllFlags(ctx context.Context, r *syncv1pb.FetchAllFlagsRequest) (*syncv1pb.FetchAllFlagsResponse, error) {
	service, _, err := s.service(callOf(ctx), r.GetSelector())
	if err != nil {
		return nil, s.refusal(err)
	}
	newest, _ := s.site(service).newest()
	document, err := newest.document()
	if err != nil {
		return nil, err
	}
	s.stats.documents.Add(1)
	return &syncv1pb.FetchAllFlagsResponse{FlagConfiguration: document.GetFlagConfiguration()}, nil
}

// GetMetadata gives the attributes that clients add to every context. There are none.
func (s synchronisation) GetMetadata(context.Context, *syncv1pb.GetMetadataRequest) (*syncv1pb.GetMetadataResponse, error) {
	return &syncv1pb.GetMetadataResponse{Metadata: &structpb.Struct{}}, nil
}
