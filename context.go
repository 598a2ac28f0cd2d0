package seatrial

import (
	"context"
	"maps"
	"slices"

	"github.com/seatrial/seatrial/internal/core/eval"
)

// Context is what an evaluation may depend on: a targeting key, which names the unit (usually a
// user), and attributes. It is a value: With gives a new one and leaves the old as it was, so a
// Context may be shared between goroutines. The zero value is an anonymous unit: it gets what
// the rules give to everybody, but is never split and takes part in no trial.
type Context struct{ core eval.Context }

// NewContext gives the context of one unit. The key should be stable for as long as the unit
// should keep its variant, and should not be personal data: it stays in the process, but it is
// hashed to decide. An empty key is an anonymous unit.
func NewContext(targetingKey string) Context {
	return Context{eval.Context{TargetingKey: targetingKey}}
}

// ContextFrom gives the context of one unit with all its attributes at once, which are of the
// kinds that [Context.With] names, objects (map[string]any) among them. The map is kept, not
// copied: do not modify it, or what is in it, afterwards.
func ContextFrom(targetingKey string, attributes map[string]any) Context {
	return Context{eval.Context{TargetingKey: targetingKey, Attributes: attributes}}
}

// With gives c with one more attribute, or with another value for one it has. Values that rules
// can match are strings, booleans, integers and floats of any size, time.Time (by before and
// after), []string, and []any of those, and what dotted names find in objects (map[string]any); of
// anything else rules can only say that it is there. Lists and objects are copied, so the caller
// may go on to change them.
func (c Context) With(name string, value any) Context {
	switch list := value.(type) {
	case []string:
		value = slices.Clone(list)
	case []any, map[string]any:
		value = cloneValue(list)
	}
	attributes := make(map[string]any, len(c.core.Attributes)+1)
	maps.Copy(attributes, c.core.Attributes)
	attributes[name] = value
	c.core.Attributes = attributes
	return c
}

// TargetingKey gives the key that names the unit, empty if it is anonymous.
func (c Context) TargetingKey() string { return c.core.TargetingKey }

// Attribute gives the value of an attribute, nil if there is none. Do not modify it.
func (c Context) Attribute(name string) any { return c.core.Attributes[name] }

// WithContext puts the evaluation context of the unit into ctx, in place of one that is there.
// A unit of work that is open in ctx stays open. A nil ctx counts as context.Background().
func WithContext(ctx context.Context, c Context) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	next := &scope{Context: ctx, evaluation: c.core, hasEvaluation: true}
	if outer := scopeOf(ctx); outer != nil {
		next.work = outer.work
	}
	return next
}

// FromContext gives the evaluation context that [WithContext] put into ctx; false if there is
// none, or ctx is nil.
func FromContext(ctx context.Context) (Context, bool) {
	s := scopeOf(ctx)
	if s == nil || !s.hasEvaluation {
		return Context{}, false
	}
	return Context{s.evaluation}, true
}

// scope is a context.Context that carries what evaluations need: one type for both the
// evaluation context and the unit of work, so that an evaluation walks the chain once, and each
// of them costs one allocation.
type scope struct {
	context.Context
	evaluation    eval.Context
	hasEvaluation bool
	work          *Work // nil outside a unit of work
}

// scopeKey finds the innermost scope in a chain of contexts.
type scopeKey struct{}

func (s *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return s
	}
	return s.Context.Value(key)
}

// scopeOf gives the innermost scope of ctx, nil if there is none or ctx is nil.
func scopeOf(ctx context.Context) *scope {
	if ctx == nil {
		return nil
	}
	if s, ok := ctx.(*scope); ok {
		return s
	}
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// core gives the evaluation context as the evaluator wants it; nil if there is none.
func (s *scope) core() *eval.Context {
	if s == nil || !s.hasEvaluation {
		return nil
	}
	return &s.evaluation
}
