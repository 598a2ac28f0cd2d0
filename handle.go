package seatrial

import (
	"context"
	"sync/atomic"

	"github.com/seatrial/seatrial/internal/core/eval"
)

// Flag is a handle on one flag with its code default: made once, evaluated often. It looks the
// flag up once per snapshot instead of once per evaluation, so its cost does not depend on the
// number of flags. It is safe for concurrent use. The zero Flag gives the zero value of T.
type Flag[T any] struct {
	client *Client
	key    string
	def    T
	as     func(any) (T, bool)
	found  atomic.Pointer[lookup]
}

// lookup is where a handle found its flag.
type lookup struct {
	in   *snapshot
	flag *eval.Flag // nil: not there
}

// BoolFlag gives a handle on a boolean flag. The flag need not exist yet.
func (c *Client) BoolFlag(key string, def bool) *Flag[bool] {
	return &Flag[bool]{client: c, key: key, def: def, as: boolOf}
}

// StringFlag gives a handle on a string flag.
func (c *Client) StringFlag(key, def string) *Flag[string] {
	return &Flag[string]{client: c, key: key, def: def, as: stringOf}
}

// IntFlag gives a handle on an integer flag.
func (c *Client) IntFlag(key string, def int64) *Flag[int64] {
	return &Flag[int64]{client: c, key: key, def: def, as: intOf}
}

// FloatFlag gives a handle on a float flag, or an integer flag, whose value is converted.
func (c *Client) FloatFlag(key string, def float64) *Flag[float64] {
	return &Flag[float64]{client: c, key: key, def: def, as: floatOf}
}

// ObjectFlag gives a handle on an object flag; as with [Client.Object], each value is a copy.
func (c *Client) ObjectFlag(key string, def map[string]any) *Flag[map[string]any] {
	return &Flag[map[string]any]{client: c, key: key, def: def, as: objectOf}
}

// Key gives the flag's key.
func (f *Flag[T]) Key() string { return f.key }

// Get gives the flag's value for the unit in ctx, the code default where it gives none.
func (f *Flag[T]) Get(ctx context.Context) T {
	var result eval.Result
	value, _ := f.evaluate(ctx, &result)
	return value
}

// Details is Get with the reason for the value.
func (f *Flag[T]) Details(ctx context.Context) Evaluation[T] {
	var result eval.Result
	value, at := f.evaluate(ctx, &result)
	return describe(value, &result, at, f.key)
}

func (f *Flag[T]) evaluate(ctx context.Context, result *eval.Result) (T, *snapshot) {
	if f.client == nil {
		*result = notReady
		return f.def, nil
	}
	at := f.client.current.Load()
	if at == nil {
		*result = notReady
		return f.def, nil
	}
	found := f.found.Load()
	if found == nil || found.in != at {
		found = &lookup{in: at, flag: at.flags.Flag(f.key)}
		f.found.Store(found) // two goroutines may both do this; they store the same
	}
	return settle(f.client, ctx, at, found.flag, f.def, f.as, result), at
}
