package flagd

import (
	"context"
	"fmt"
	"math"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/seatrial/seatrial/internal/server/control"
)

// asked is a request for one flag.
type asked interface {
	GetFlagKey() string
	GetContext() *structpb.Struct
}

// answer is what an evaluation gave, in the words of the protocols. Nil where there is no value:
// the code's own default holds.
type answer[T any] struct {
	value    *T
	variant  *string
	reason   string
	metadata *structpb.Struct
}

// target is an environment's flags, as one call sees them.
type target struct {
	environment string
	service     *control.Service
	flags       *eval.Snapshot
	client      bool // sees ClientSide flags only
	// fleeting: the client will not be told of changes to these flags, so it must not keep values.
	fleeting bool
}

// target gives the flags that a call is about.
func (s *Server) target(c *call) (target, error) {
	service, selected, err := s.service(c, "")
	if err != nil {
		return target{}, s.refusal(err)
	}
	flags, err := service.Snapshot().Compiled()
	if err != nil {
		return target{}, s.refusal(err)
	}
	s.stats.evaluations.Add(1)
	return target{environment: flags.Environment(), service: service, flags: flags, client: c.client(), fleeting: selected}, nil
}

// sees reports whether the call may know of the flag.
func (t *target) sees(f *eval.Flag) bool { return f != nil && (!t.client || f.ClientSide()) }

// reason gives the word for a result. Stock clients keep what is STATIC until their event stream
// names the flag; some of them open it without their selector, and so would never hear of a flag
// of another environment than their key's.
func (t *target) reason(r *eval.Result) string {
	if r.Reason == eval.ReasonStatic && t.fleeting {
		return string(eval.ReasonDefault)
	}
	return string(r.Reason)
}

// metadata gives a flag's own, and which flag set it is of. While a trial runs on the flag, version
// is that of the trial's step.
func (t *target) metadata(f *eval.Flag) *structpb.Struct {
	fields := map[string]*structpb.Value{}
	for name, value := range f.Metadata() {
		if v, err := structpb.NewValue(value); err == nil {
			fields[name] = v
		}
	}
	fields["flagSetId"] = structpb.NewStringValue(t.environment)
	if trials := f.Trials(); len(trials) > 0 {
		fields["version"] = structpb.NewStringValue(trials[0].Version)
	}
	return &structpb.Struct{Fields: fields}
}

// resolve evaluates one flag. Read turns the value into the type that was asked for, or says that
// it is of another one.
func resolve[T any](ctx context.Context, s *Server, r asked, read func(any) (T, bool)) (answer[T], error) {
	t, err := s.target(callOf(ctx))
	if err != nil {
		return answer[T]{}, err
	}
	key := r.GetFlagKey()
	f := t.flags.Flag(key)
	if !t.sees(f) {
		return answer[T]{}, notFound(key, t.environment)
	}
	who, err := contextOf(r.GetContext())
	if err != nil {
		return answer[T]{}, err
	}
	result := f.Evaluate(who)
	t.service.Evaluated(key, result.Variant) // to ask for all is to say nothing of one
	if result.Error != "" {
		return answer[T]{}, failed(key, result.Error)
	}
	a := answer[T]{reason: t.reason(&result), metadata: t.metadata(f)}
	if result.Value == nil {
		if result.Reason != eval.ReasonDisabled { // the two reasons with which clients use their default
			a.reason = string(eval.ReasonDefault)
		}
		return a, nil
	}
	value, ok := read(result.Value)
	if !ok {
		return answer[T]{}, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("flag %q is of type %s: ask for that type", key, f.Type()))
	}
	a.value, a.variant = &value, &result.Variant
	return a, nil
}

// The readers of values.

func asBoolean(v any) (bool, bool) { b, ok := v.(bool); return b, ok }

func asText(v any) (string, bool) { s, ok := v.(string); return s, ok }

func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}

// asInteger takes floats that hold an integer exactly; anything else would lose something.
func asInteger(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) <= flag.MaxInteger
	}
	return 0, false
}

func asObject(v any) (*structpb.Struct, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	s, err := structpb.NewStruct(m)
	return s, err == nil
}

// resolveAll evaluates every flag that the call may see and hands over those that give a value, or
// (given nil) none.
func (s *Server) resolveAll(ctx context.Context, attributes *structpb.Struct, take func(f *eval.Flag, t *target, r *eval.Result)) (*structpb.Struct, error) {
	c := callOf(ctx)
	t, err := s.target(c)
	if err != nil {
		return nil, err
	}
	who, err := contextOf(attributes)
	if err != nil {
		return nil, err
	}
	for i, f := range t.flags.Flags() {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, gone(ctx)
		}
		if !t.sees(f) {
			continue
		}
		// A flag that fails is left out: its clients find no such flag and use their default.
		if r := f.Evaluate(who); r.Error == "" {
			take(f, &t, &r)
		}
	}
	return setMetadata(t.environment, t.flags.Revision()), nil
}

func setMetadata(environment string, revision int64) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"flagSetId": structpb.NewStringValue(environment),
		"version":   structpb.NewStringValue(fmt.Sprint(revision)),
	}}
}
