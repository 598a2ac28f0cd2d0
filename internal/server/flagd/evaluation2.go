package flagd

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/seatrial/seatrial/internal/core/eval"
	v2 "github.com/seatrial/seatrial/internal/server/flagd/proto/evaluationv2pb"
)

// evaluation2 is flagd.evaluation.v2. Where a flag gives no value, its answers have none.
type evaluation2 struct{ *Server }

var _ v2.ServiceHandler = evaluation2{}

func (e evaluation2) ResolveBoolean(ctx context.Context, r *v2.ResolveBooleanRequest) (*v2.ResolveBooleanResponse, error) {
	a, err := resolve(ctx, e.Server, r, asBoolean)
	if err != nil {
		return nil, err
	}
	return &v2.ResolveBooleanResponse{Value: a.value, Reason: a.reason, Variant: a.variant, Metadata: a.metadata}, nil
}

func (e evaluation2) ResolveString(ctx context.Context, r *v2.ResolveStringRequest) (*v2.ResolveStringResponse, error) {
	a, err := resolve(ctx, e.Server, r, asText)
	if err != nil {
		return nil, err
	}
	return &v2.ResolveStringResponse{Value: a.value, Reason: a.reason, Variant: a.variant, Metadata: a.metadata}, nil
}

func (e evaluation2) ResolveFloat(ctx context.Context, r *v2.ResolveFloatRequest) (*v2.ResolveFloatResponse, error) {
	a, err := resolve(ctx, e.Server, r, asFloat)
	if err != nil {
		return nil, err
	}
	return &v2.ResolveFloatResponse{Value: a.value, Reason: a.reason, Variant: a.variant, Metadata: a.metadata}, nil
}

func (e evaluation2) ResolveInt(ctx context.Context, r *v2.ResolveIntRequest) (*v2.ResolveIntResponse, error) {
	a, err := resolve(ctx, e.Server, r, asInteger)
	if err != nil {
		return nil, err
	}
	return &v2.ResolveIntResponse{Value: a.value, Reason: a.reason, Variant: a.variant, Metadata: a.metadata}, nil
}

func (e evaluation2) ResolveObject(ctx context.Context, r *v2.ResolveObjectRequest) (*v2.ResolveObjectResponse, error) {
	a, err := resolve(ctx, e.Server, r, asObject)
	if err != nil {
		return nil, err
	}
	one := &v2.ResolveObjectResponse{Reason: a.reason, Variant: a.variant, Metadata: a.metadata}
	if a.value != nil {
		one.Value = *a.value
	}
	return one, nil
}

func (e evaluation2) ResolveAll(ctx context.Context, r *v2.ResolveAllRequest) (*v2.ResolveAllResponse, error) {
	all := &v2.ResolveAllResponse{Flags: map[string]*v2.AnyFlag{}}
	var err error
	all.Metadata, err = e.resolveAll(ctx, r.GetContext(), func(f *eval.Flag, t *target, result *eval.Result) {
		one := &v2.AnyFlag{Reason: t.reason(result), Metadata: t.metadata(f)}
		switch value := result.Value.(type) {
		case bool:
			one.Value = &v2.AnyFlag_BoolValue{BoolValue: value}
		case string:
			one.Value = &v2.AnyFlag_StringValue{StringValue: value}
		case int64:
			one.Value = &v2.AnyFlag_DoubleValue{DoubleValue: float64(value)}
		case float64:
			one.Value = &v2.AnyFlag_DoubleValue{DoubleValue: value}
		default:
			if object, ok := asObject(value); ok {
				one.Value = &v2.AnyFlag_ObjectValue{ObjectValue: object}
			}
		}
		if one.Value != nil {
			one.Variant = &result.Variant
		}
		all.Flags[f.Key()] = one
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (e evaluation2) EventStream(ctx context.Context, _ *v2.EventStreamRequest, stream *connect.ServerStream[v2.EventStreamResponse]) error {
	return e.events(ctx, func(kind string, data *structpb.Struct) error {
		return stream.Send(&v2.EventStreamResponse{Type: kind, Data: data})
	})
}
