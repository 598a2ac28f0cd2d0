package seatrial

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/seatrial/seatrial/internal/core/eval"
)

// Reason says why an evaluation gave its value, in OpenFeature's words.
type Reason string

// The reasons.
const (
	ReasonStatic         Reason = "STATIC"          // nothing could have decided otherwise
	ReasonTargetingMatch Reason = "TARGETING_MATCH" // an override, a rule or a definition's targeting served the variant
	ReasonSplit          Reason = "SPLIT"           // a split or a trial decided by hash
	ReasonDefault        Reason = "DEFAULT"         // no rule matched, or there is no variant: see Variant
	ReasonDisabled       Reason = "DISABLED"        // the flag is switched off: code default
	ReasonError          Reason = "ERROR"           // see ErrorCode: code default
)

// ErrorCode says why an evaluation could only give the code default, in OpenFeature's words.
// Empty means no error.
type ErrorCode string

// The error codes.
const (
	ErrorProviderNotReady    ErrorCode = "PROVIDER_NOT_READY"    // no snapshot yet
	ErrorFlagNotFound        ErrorCode = "FLAG_NOT_FOUND"        // the snapshot has no such flag
	ErrorTypeMismatch        ErrorCode = "TYPE_MISMATCH"         // the flag is of another type
	ErrorTargetingKeyMissing ErrorCode = "TARGETING_KEY_MISSING" // the unit is anonymous
	ErrorGeneral             ErrorCode = "GENERAL"               // anything else
)

// Evaluation is the outcome of one evaluation with what explains it.
type Evaluation[T any] struct {
	Value     T
	Variant   string // empty: Value is the code default
	Reason    Reason
	ErrorCode ErrorCode
	Metadata  Metadata
}

// Metadata names what decided.
type Metadata struct {
	FlagSetID string // the environment
	History   string // with Revision: the state of the control plane's change log
	Revision  int64
	Trial     string // empty unless the unit is in an arm of a trial
	Version   string // trial, attempt and step, as in telemetry
	Arm       string // "treatment" or "control" where Trial is set
	// FlagVersion is the version of the trial that runs on the flag, of the first if there are
	// several, whether or not the unit is in it; empty if none runs.
	FlagVersion string
	// Definition is the metadata in the flag's definition if that was imported from flagd: texts,
	// booleans, int64 and float64. Nil for other flags. It is shared: do not modify it.
	Definition map[string]any
}

// The next four are not inlined: where the compiler puts them into another package, the result
// escapes, and each evaluation allocates (Go 1.26).

// Bool gives the value of a boolean flag for the unit in ctx, def where the flag gives none.
// Like every evaluation it never blocks, does no I/O and never panics; ctx may be nil, and so may
// the client be.
//
//go:noinline
func (c *Client) Bool(ctx context.Context, key string, def bool) bool {
	var result eval.Result
	value, _ := evaluate(c, ctx, key, def, boolOf, &result)
	return value
}

// String is [Client.Bool] for a string flag.
//
//go:noinline
func (c *Client) String(ctx context.Context, key, def string) string {
	var result eval.Result
	value, _ := evaluate(c, ctx, key, def, stringOf, &result)
	return value
}

// Int is [Client.Bool] for an integer flag; the value of a float flag is converted if it is a whole
// number of at most 2^53 in magnitude, and else of the wrong type.
//
//go:noinline
func (c *Client) Int(ctx context.Context, key string, def int64) int64 {
	var result eval.Result
	value, _ := evaluate(c, ctx, key, def, intOf, &result)
	return value
}

// Float is [Client.Bool] for a float flag; the value of an integer flag is converted.
//
//go:noinline
func (c *Client) Float(ctx context.Context, key string, def float64) float64 {
	var result eval.Result
	value, _ := evaluate(c, ctx, key, def, floatOf, &result)
	return value
}

// Object is [Client.Bool] for an object flag. The map is a copy of the flag's value that the
// caller may modify, or def itself.
func (c *Client) Object(ctx context.Context, key string, def map[string]any) map[string]any {
	var result eval.Result
	value, _ := evaluate(c, ctx, key, def, objectOf, &result)
	return value
}

// BoolDetails is [Client.Bool] with the reason for the value.
func (c *Client) BoolDetails(ctx context.Context, key string, def bool) Evaluation[bool] {
	return detailed(c, ctx, key, def, boolOf)
}

// StringDetails is [Client.String] with the reason for the value.
func (c *Client) StringDetails(ctx context.Context, key, def string) Evaluation[string] {
	return detailed(c, ctx, key, def, stringOf)
}

// IntDetails is [Client.Int] with the reason for the value.
func (c *Client) IntDetails(ctx context.Context, key string, def int64) Evaluation[int64] {
	return detailed(c, ctx, key, def, intOf)
}

// FloatDetails is [Client.Float] with the reason for the value.
func (c *Client) FloatDetails(ctx context.Context, key string, def float64) Evaluation[float64] {
	return detailed(c, ctx, key, def, floatOf)
}

// ObjectDetails is [Client.Object] with the reason for the value.
func (c *Client) ObjectDetails(ctx context.Context, key string, def map[string]any) Evaluation[map[string]any] {
	return detailed(c, ctx, key, def, objectOf)
}

// StructureDetails is [Client.ObjectDetails] for flags whose values may be lists, too, as those of
// imported flagd definitions may: the value is a copy of type map[string]any or []any, or def.
func (c *Client) StructureDetails(ctx context.Context, key string, def any) Evaluation[any] {
	return detailed(c, ctx, key, def, structureOf)
}

// Decode gives the value of an object flag as a T, by the rules of encoding/json, and def where
// the flag gives none or its value does not fit (ErrorCode TYPE_MISMATCH). Each call decodes
// anew, which takes microseconds: keep the result for the length of a request.
func Decode[T any](c *Client, ctx context.Context, key string, def T) Evaluation[T] {
	return detailed(c, ctx, key, def, func(value any) (T, bool) {
		var decoded T
		object, ok := value.(map[string]any)
		if !ok {
			return decoded, false
		}
		data, err := json.Marshal(object)
		return decoded, err == nil && json.Unmarshal(data, &decoded) == nil
	})
}

// evaluate is the one way to a value. The snapshot is nil before there is one. What explains the
// value goes into result; a pointer, since copying that on the way up costs more than a flag
// without rules does.
func evaluate[T any](c *Client, ctx context.Context, key string, def T, as func(any) (T, bool), result *eval.Result) (T, *snapshot) {
	if c == nil {
		*result = notReady
		return def, nil
	}
	at := c.current.Load()
	if at == nil {
		*result = notReady
		return def, nil
	}
	return settle(c, ctx, at, at.flags.Flag(key), def, as, result), at
}

// settle evaluates a flag that was looked up (nil: not found) and records the exposure.
func settle[T any](c *Client, ctx context.Context, at *snapshot, f *eval.Flag, def T, as func(any) (T, bool), result *eval.Result) T {
	where := scopeOf(ctx)
	evaluateFor(f, where.core(), result)
	at.seen.note(result)
	value := def
	if result.Value != nil {
		converted, ok := as(result.Value)
		if !ok {
			*result = mismatch
			return def
		}
		value = converted
	}
	if result.Role != eval.RoleNone {
		c.exposeBy(ctx, where, at, result)
	}
	return value
}

// evaluateFor evaluates a flag for a unit, and tells it the time if it wants to know.
func evaluateFor(f *eval.Flag, c *eval.Context, result *eval.Result) {
	if !f.UsesTime() {
		f.EvaluateInto(c, result)
		return
	}
	var now eval.Context
	if c != nil {
		now = *c
	}
	now.Time = time.Now().Unix()
	f.EvaluateInto(&now, result)
}

var (
	notReady = eval.Result{Reason: eval.ReasonError, Error: eval.ErrorProviderNotReady}
	mismatch = eval.Result{Reason: eval.ReasonError, Error: eval.ErrorTypeMismatch}
)

// detailed is evaluate with the result in public words.
func detailed[T any](c *Client, ctx context.Context, key string, def T, as func(any) (T, bool)) Evaluation[T] {
	var result eval.Result
	value, at := evaluate(c, ctx, key, def, as, &result)
	return describe(value, &result, at, key)
}

func describe[T any](value T, result *eval.Result, at *snapshot, key string) Evaluation[T] {
	e := Evaluation[T]{Value: value, Variant: result.Variant, Reason: Reason(result.Reason), ErrorCode: ErrorCode(result.Error)}
	if at != nil {
		e.Metadata.FlagSetID, e.Metadata.History, e.Metadata.Revision = at.set.Environment, at.set.History, at.set.Revision
		if of, ok := at.about[key]; ok {
			e.Metadata.FlagVersion, e.Metadata.Definition = of.version, of.metadata
		}
	}
	if result.Role != eval.RoleNone && result.Trial != nil {
		e.Metadata.Trial, e.Metadata.Version, e.Metadata.Arm = result.Trial.Trial, result.Trial.Version, armOf(result.Role).name()
	}
	return e
}

// The conversions from what the evaluator gives; false is a type mismatch.

func boolOf(value any) (bool, bool)     { v, ok := value.(bool); return v, ok }
func stringOf(value any) (string, bool) { v, ok := value.(string); return v, ok }

func intOf(value any) (int64, bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case float64:
		const most = 1 << 53 // from where on float64 does not hold every integer
		return int64(v), v == math.Trunc(v) && v >= -most && v <= most
	}
	return 0, false
}

func floatOf(value any) (float64, bool) {
	switch v := value.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}

func objectOf(value any) (map[string]any, bool) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	return cloneObject(object), true
}

func structureOf(value any) (any, bool) {
	switch value.(type) {
	case map[string]any, []any:
		return cloneValue(value), true
	}
	return nil, false
}

// cloneObject copies an object with everything in it: snapshots are shared by all callers.
func cloneObject(object map[string]any) map[string]any {
	clone := make(map[string]any, len(object))
	for name, value := range object {
		clone[name] = cloneValue(value)
	}
	return clone
}

func cloneValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return cloneObject(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = cloneValue(v[i])
		}
		return list
	}
	return value
}
