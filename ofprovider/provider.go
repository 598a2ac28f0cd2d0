package ofprovider

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
)

// Name is the provider's name, as in [openfeature.Metadata] and in telemetry.
const Name = "seatrial"

// How long the first snapshot and the last report are waited for.
const (
	defaultInitTimeout = 10 * time.Second
	shutdownTimeout    = 5 * time.Second
)

// Provider answers the OpenFeature SDK from a Seatrial client. Make one with [New]. All methods
// are safe for concurrent use. It may be set for several domains of one API; the SDK allows it in
// one API at a time only.
type Provider struct {
	client *seatrial.Client
	config config
	events chan of.Event

	evaluates atomic.Bool // from the start of Init to Shutdown
	metadata  atomic.Pointer[flagSet]

	mu   sync.Mutex
	life *life // nil before Init and after Shutdown
}

var (
	_ of.FeatureProvider          = (*Provider)(nil)
	_ of.StateHandler             = (*Provider)(nil)
	_ of.ContextAwareStateHandler = (*Provider)(nil)
	_ of.EventHandler             = (*Provider)(nil)
	_ of.Tracker                  = (*Provider)(nil)
)

// Option changes how [New] sets a provider up.
type Option interface{ apply(*config) }

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	initTimeout time.Duration
	closes      bool
	hooks       []of.Hook
}

// WithInitTimeout bounds how long initialization waits for the control plane's snapshot. Default
// 10 s, which is also what 0 or less means. The context given to the SDK bounds it as well.
func WithInitTimeout(d time.Duration) Option {
	return optionFunc(func(c *config) { c.initTimeout = d })
}

// WithClose makes Shutdown close the client, for applications that have no other use for it. The
// provider cannot be initialized again then.
func WithClose() Option { return optionFunc(func(c *config) { c.closes = true }) }

// WithHooks gives the provider hooks that run with each of its evaluations, such as
// [NewSpanHook]. Default: none.
func WithHooks(hooks ...of.Hook) Option {
	return optionFunc(func(c *config) { c.hooks = append(c.hooks, hooks...) })
}

// New gives a provider of the client's flags. The client stays the caller's, who closes it after
// the SDK's shutdown. With a nil client every evaluation gives the code's default, and
// initialization fails.
func New(client *seatrial.Client, options ...Option) *Provider {
	p := &Provider{client: client, events: make(chan of.Event, 16)}
	for _, o := range options {
		if o != nil {
			o.apply(&p.config)
		}
	}
	if p.config.initTimeout <= 0 {
		p.config.initTimeout = defaultInitTimeout
	}
	return p
}

// Metadata names the provider.
func (p *Provider) Metadata() of.Metadata { return of.Metadata{Name: Name} }

// Hooks gives those of [WithHooks].
func (p *Provider) Hooks() []of.Hook { return p.config.hooks }

// BooleanEvaluation evaluates a boolean flag.
func (p *Provider) BooleanEvaluation(ctx context.Context, flag string, defaultValue bool, flat of.FlattenedContext) of.BoolResolutionDetail {
	return resolve(p, ctx, flag, defaultValue, flat, (*seatrial.Client).BoolDetails)
}

// StringEvaluation evaluates a string flag.
func (p *Provider) StringEvaluation(ctx context.Context, flag string, defaultValue string, flat of.FlattenedContext) of.StringResolutionDetail {
	return resolve(p, ctx, flag, defaultValue, flat, (*seatrial.Client).StringDetails)
}

// FloatEvaluation evaluates a float or an integer flag.
func (p *Provider) FloatEvaluation(ctx context.Context, flag string, defaultValue float64, flat of.FlattenedContext) of.FloatResolutionDetail {
	return resolve(p, ctx, flag, defaultValue, flat, (*seatrial.Client).FloatDetails)
}

// IntEvaluation evaluates an integer flag, or a float flag where its value is a whole number.
func (p *Provider) IntEvaluation(ctx context.Context, flag string, defaultValue int64, flat of.FlattenedContext) of.IntResolutionDetail {
	return resolve(p, ctx, flag, defaultValue, flat, (*seatrial.Client).IntDetails)
}

// ObjectEvaluation evaluates an object flag. The value is a map[string]any, for imported flagd
// definitions it may be a []any; both are copies that the caller may change.
func (p *Provider) ObjectEvaluation(ctx context.Context, flag string, defaultValue any, flat of.FlattenedContext) of.InterfaceResolutionDetail {
	return resolve(p, ctx, flag, defaultValue, flat, (*seatrial.Client).StructureDetails)
}

// resolve evaluates with the context of the SDK instead of the one in ctx, whose unit of work
// stays open.
func resolve[T any](p *Provider, ctx context.Context, key string, def T, flat of.FlattenedContext,
	evaluate func(*seatrial.Client, context.Context, string, T) seatrial.Evaluation[T],
) of.GenericResolutionDetail[T] {
	if !p.evaluates.Load() {
		return failed(def, of.NewProviderNotReadyResolutionError("the provider is not initialized, or shut down"))
	}
	unit, err := unitOf(flat)
	if err != nil {
		return failed(def, of.NewInvalidContextResolutionError(err.Error()))
	}
	e := evaluate(p.client, seatrial.WithContext(ctx, unit), key, def)
	return of.GenericResolutionDetail[T]{Value: e.Value, ProviderResolutionDetail: of.ProviderResolutionDetail{
		ResolutionError: resolutionError(key, e.ErrorCode, &e.Metadata),
		Reason:          of.Reason(e.Reason),
		Variant:         e.Variant,
		FlagMetadata:    p.flagMetadata(&e.Metadata),
	}}
}

func failed[T any](def T, err of.ResolutionError) of.GenericResolutionDetail[T] {
	return of.GenericResolutionDetail[T]{Value: def, ProviderResolutionDetail: of.ProviderResolutionDetail{
		ResolutionError: err, Reason: of.ErrorReason,
	}}
}
