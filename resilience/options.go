package resilience

import (
	"context"
	"sync/atomic"
	"time"
)

// Option changes how an [Executor], [Breaker] or [Retry] works.
type Option interface{ apply(*options) }

type options struct {
	classify func(error) Class // nil: Classify
	feed     *feed
}

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithClassifier replaces [Classify], which it may ask for what it does not know itself. It is
// called for errors and for nil while the caller's context lives, by many goroutines at a time.
// Nil means Classify.
func WithClassifier(classify func(error) Class) Option {
	return optionFunc(func(o *options) {
		if classify != nil {
			o.classify = classify
		}
	})
}

// OnEvent names a listener for events. It is called for one event at a time, in the order in which
// they happened, on a goroutine apart from the calls: it may take its time and may call back. A
// panic in it is swallowed. Nil means none.
func OnEvent(listener func(Event)) Option {
	return optionFunc(func(o *options) {
		if listener != nil {
			o.feed = &feed{listener: listener}
		}
	})
}

// watch is what the parts of an executor share: how outcomes are judged, and who is told.
type watch struct {
	options
	name    string
	counted bool // somebody can ask for the counts: there is an executor
	counts  counts
	told    [countKinds]atomic.Int64 // when the last event of a refusal was sent, monotonic ns; 0: never
}

func newWatch(name string, opts []Option) *watch {
	w := &watch{name: name}
	for _, opt := range opts {
		if opt != nil {
			opt.apply(&w.options)
		}
	}
	return w
}

// class is the classification of an attempt whose caller holds ctx.
func (o *options) class(ctx context.Context, err error) Class {
	if err == nil && o.classify == nil {
		return Success
	}
	return o.classOf(ctx, err)
}

func (o *options) classOf(ctx context.Context, err error) Class {
	switch {
	case err != nil && ctx.Err() != nil:
		return Neutral
	case o.classify == nil:
		return Classify(err)
	default:
		return o.classify(err)
	}
}

// count counts for [Executor.Stats].
func (w *watch) count(kind int) {
	if w.counted {
		w.counts[kind].Add(1)
	}
}

// refused counts what was not done, and tells of the first in a second.
func (w *watch) refused(kind int, at int64, err error) {
	w.count(kind)
	if w.feed == nil {
		return
	}
	last := w.told[kind].Load()
	if (last == 0 || at-last >= int64(time.Second)) && w.told[kind].CompareAndSwap(last, at) {
		w.feed.send(Event{Kind: Refused, Name: w.name, Err: err})
	}
}
