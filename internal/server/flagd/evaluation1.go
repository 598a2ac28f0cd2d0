package flagd

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/seatrial/seatrial/internal/core/eval"
	v1 "github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv1pb"
)

// evaluation1 is flagd.evaluation.v1. Its answers always have a value, so a flag that gives none is
// not found: clients then use their own default.
type evaluation1 struct{ *Server }

var _ v1.ServiceHandler = evaluation1{}

// resolve1 evaluates a flag that must give a value.
func resolve1[T any](ctx context.Context, s *Server, r asked, read func(any) (T, bool)) (answer[T], error) {
	a, err := resolve(ctx, s, r, read)
	if err == nil && a.value == nil {
		err = connect.NewError(connect.CodeNotFound, fmt.Errorf(
			"flag %q gives no value (%s), which this version of the protocol cannot say: use the code's default", r.GetFlagKey(), a.reason))
	}
	return a, err
}

func (e evaluation1) ResolveBoolean(ctx context.Context, r *v1.ResolveBooleanRequest) (*v1.ResolveBooleanResponse, error) {
	a, err := resolve1(ctx, e.Server, r, asBoolean)
	if err != nil {
		return nil, err
	}
	return &v1.ResolveBooleanResponse{Value: *a.value, Reason: a.reason, Variant: *a.variant, Metadata: a.metadata}, nil
}

func (e evaluation1) ResolveString(ctx context.Context, r *v1.ResolveStringRequest) (*v1.ResolveStringResponse, error) {
	a, err := resolve1(ctx, e.Server, r, asText)
	if err != nil {
		return nil, err
	}
	return &v1.ResolveStringResponse{Value: *a.value, Reason: a.reason, Variant: *a.variant, Metadata: a.metadata}, nil
}

func (e evaluation1) ResolveFloat(ctx context.Context, r *v1.ResolveFloatRequest) (*v1.ResolveFloatResponse, error) {
	a, err := resolve1(ctx, e.Server, r, asFloat)
	if err != nil {
		return nil, err
	}
	return &v1.ResolveFloatResponse{Value: *a.value, Reason: a.reason, Variant: *a.variant, Metadata: a.metadata}, nil
}

func (e evaluation1) ResolveInt(ctx context.Context, r *v1.ResolveIntRequest) (*v1.ResolveIntResponse, error) {
	a, err := resolve1(ctx, e.Server, r, asInteger)
	if err != nil {
		return nil, err
	}
	return &v1.ResolveIntResponse{Value: *a.value, Reason: a.reason, Variant: *a.variant, Metadata: a.metadata}, nil
}

func (e evaluation1) ResolveObject(ctx context.Context, r *v1.ResolveObjectRequest) (*v1.ResolveObjectResponse, error) {
	a, err := resolve1(ctx, e.Server, r, asObject)
	if err != nil {
		return nil, err
	}
	return &v1.ResolveObjectResponse{Value: *a.value, Reason: a.reason, Variant: *a.variant, Metadata: a.metadata}, nil
}

func (e evaluation1) ResolveAll(ctx context.Context, r *v1.ResolveAllRequest) (*v1.ResolveAllResponse, error) {
	all := &v1.ResolveAllResponse{Flags: map[string]*v1.AnyFlag{}}
	var err error
	all.Metadata, err = e.resolveAll(ctx, r.GetContext(), func(f *eval.Flag, t *target, result *eval.Result) {
		one := &v1.AnyFlag{Reason: t.reason(result), Variant: result.Variant, Metadata: t.metadata(f)}
		switch value := result.Value.(type) {
		case bool:
			one.Value = &v1.AnyFlag_BoolValue{BoolValue: value}
		case string:
			one.Value = &v1.AnyFlag_StringValue{StringValue: value}
		case int64:
			one.Value = &v1.AnyFlag_DoubleValue{DoubleValue: float64(value)}
		case float64:
			one.Value = &v1.AnyFlag_DoubleValue{DoubleValue: value}
		default:
			object, ok := asObject(value)
			if !ok {
				return // no value
			}
			one.Value = &v1.AnyFlag_ObjectValue{ObjectValue: object}
		}
		all.Flags[f.Key()] = one
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (e evaluation1) EventStream(ctx context.Context, _ *v1.EventStreamRequest, stream *connect.ServerStream[v1.EventStreamResponse]) error {
	return e.events(ctx, func(kind string, data *structpb.Struct) error {
		return stream.Send(&v1.EventStreamResponse{Type: kind, Data: data})
	})
}
