package flagd

import (
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
)

// targetingKey is the attribute that names the unit.
const targetingKey = "targetingKey"

var errDeep = fmt.Errorf("the context is nested over %d levels deep: send flatter attributes", flag.MaxDepth)

// contextOf turns an evaluation context into the evaluator's, of now. Numbers are float64, as in JSON. A
// targeting key that is no string is an attribute only.
func contextOf(s *structpb.Struct) (*eval.Context, error) {
	attributes, err := object(s, flag.MaxDepth)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	key, _ := attributes[targetingKey].(string)
	return &eval.Context{TargetingKey: key, Attributes: attributes, Time: time.Now().Unix()}, nil
}

func object(s *structpb.Struct, depth int) (map[string]any, error) {
	if depth == 0 {
		return nil, errDeep
	}
	m := make(map[string]any, len(s.GetFields()))
	for name, value := range s.GetFields() {
		v, err := plain(value, depth)
		if err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}

func list(l *structpb.ListValue, depth int) ([]any, error) {
	if depth == 0 {
		return nil, errDeep
	}
	values := make([]any, len(l.GetValues()))
	for i, value := range l.GetValues() {
		v, err := plain(value, depth)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func plain(v *structpb.Value, depth int) (any, error) {
	switch kind := v.GetKind().(type) {
	case nil, *structpb.Value_NullValue:
		return nil, nil
	case *structpb.Value_BoolValue:
		return kind.BoolValue, nil
	case *structpb.Value_NumberValue:
		return kind.NumberValue, nil
	case *structpb.Value_StringValue:
		return kind.StringValue, nil
	case *structpb.Value_StructValue:
		return object(kind.StructValue, depth-1)
	case *structpb.Value_ListValue:
		return list(kind.ListValue, depth-1)
	}
	return nil, errors.New("the context has a value of an unknown kind")
}
