package resilience

import "context"

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

func collect(opts []Option) options {
	var o options
	for _, opt := range opts {
		if opt != nil {
			opt.apply(&o)
		}
	}
	return o
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
