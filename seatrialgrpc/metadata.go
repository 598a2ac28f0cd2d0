package seatrialgrpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Keys of metadata. The first two are those of gRPC's proposal A6 (client retries).
const (
	previousKey = "grpc-previous-rpc-attempts" // of a request: how many tries there were before
	pushbackKey = "grpc-retry-pushback-ms"     // of a trailer: how long to wait; negative: do not retry
)

var marksKey = strings.ToLower(seatrial.MarksHeader) // of a trailer

// maxPrevious is beyond what any policy tries.
const maxPrevious = 1000

// outgoing gives ctx with what travels in the metadata of a try, the n-th from 1: the trace, the
// decisions on faults, and how many tries there were before.
func (s *service) outgoing(ctx context.Context, n int) context.Context {
	md, ok := metadata.FromOutgoingContext(ctx) // a copy
	if !ok {
		md = metadata.MD{}
	}
	s.config.travel().Inject(s.dependency.Carry(ctx), carrier(md))
	if n > 1 {
		md.Set(previousKey, strconv.Itoa(min(n-1, maxPrevious)))
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// previous reads how many tries there were before a request; what makes no sense counts as none.
func previous(md metadata.MD) (n int) {
	for _, value := range md.Get(previousKey) {
		if v, err := strconv.ParseUint(value, 10, 32); err == nil && v <= maxPrevious {
			n = max(n, int(v))
		}
	}
	return n
}

// pushback reads what the trailer asks of a retry. By A6, what is no number that fits means no
// retry.
func pushback(trailer metadata.MD) (wait time.Duration, again bool) {
	values := trailer.Get(pushbackKey)
	if len(values) == 0 {
		return 0, true
	}
	ms, err := strconv.ParseInt(values[0], 10, 32)
	if len(values) > 1 || err != nil || ms < 0 {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// noteMarks hands on what the trailer of a call that ended with err tells of experiments, or that
// nobody knows.
func noteMarks(ctx context.Context, trailer metadata.MD, err error) {
	list := trailer.Get(marksKey)
	for _, marks := range list {
		seatrial.NoteMarks(ctx, marks)
	}
	if code := status.Code(err); len(list) == 0 && (serversFault(code) || code == codes.Canceled) {
		seatrial.NoteUnanswered(ctx)
	}
}
