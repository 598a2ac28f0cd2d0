package ofprovider

import (
	"context"
	"errors"
	"fmt"
	"iter"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
)

// life lasts from Init to Shutdown.
type life struct {
	ended    context.Context
	end      context.CancelFunc
	follower *follower
	followed bool // guarded by Provider.mu
}

// Init waits until evaluations give the flags of the control plane, see [WithInitTimeout]. It
// fails with PROVIDER_FATAL if that can never be (the key is refused, there is no control plane to
// ask, the client is closed), and with PROVIDER_NOT_READY if the time runs out; then the provider
// becomes ready as soon as the snapshot is there, and PROVIDER_READY tells of it.
//
// A client that is out of touch but has a last known good snapshot (seatrial.WithFile) is ready;
// PROVIDER_STALE follows.
func (p *Provider) Init(evaluationContext of.EvaluationContext) error {
	return p.InitWithContext(context.Background(), evaluationContext)
}

// InitWithContext is Init, bounded by ctx as well. The evaluation context is not used: the SDK
// gives it with each evaluation.
func (p *Provider) InitWithContext(ctx context.Context, _ of.EvaluationContext) error {
	if p.client == nil {
		return &of.ProviderInitError{ErrorCode: of.ProviderFatalCode, Message: "the client is nil: make one with seatrial.Open"}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	l := p.begin()
	err := p.ready(ctx, l)
	l.follower.initialized(err)
	p.follow(l)
	return err
}

// begin starts a life, if there is none.
func (p *Provider) begin() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		l := &life{follower: &follower{provider: p, wake: make(chan struct{}, 1)}}
		l.ended, l.end = context.WithCancel(context.Background())
		p.life = l
		p.evaluates.Store(true)
	}
	return p.life
}

// follow has events sent from now on, unless they are already, or the client is closed.
func (p *Provider) follow(l *life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !l.followed && l.ended.Err() == nil {
		l.followed = true
		next, stop := iter.Pull(p.client.Watch(l.ended))
		if first, more := next(); !more || first.Status.State == seatrial.StateClosed {
			stop()
			return
		} // else it is what later updates are compared with
		updates := make(chan seatrial.Update)
		go func() {
			defer stop()
			defer close(updates)
			handOver(l.ended, next, updates)
		}()
		go l.follower.run(l.ended, updates)
	}
}

// ready returns when the client can evaluate, with nil, or when it is known that it cannot.
func (p *Provider) ready(ctx context.Context, l *life) error {
	wait, cancel := context.WithTimeout(ctx, p.config.initTimeout)
	defer cancel()
	defer context.AfterFunc(l.ended, cancel)()
	var status seatrial.Status
	for u := range p.client.Watch(wait) {
		status = u.Status
		if decided, err := judge(&status); decided {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("seatrial: initialize: %w", context.Cause(ctx))
	case l.ended.Err() != nil:
		return errors.New("seatrial: initialize: the provider was shut down meanwhile")
	case status.State == seatrial.StateStale: // as old as it may be, it is what there is
		return nil
	}
	text := fmt.Sprintf("no snapshot from %s within %v", status.Server, p.config.initTimeout)
	if status.Error != nil {
		text += ": " + status.Error.Error()
	}
	return &of.ProviderInitError{ErrorCode: of.ProviderNotReadyCode, Message: text}
}

// judge decides whether a client in this state can evaluate, cannot ever, or may yet come to it.
func judge(s *seatrial.Status) (decided bool, err error) {
	fatal := func(text string) (bool, error) {
		return true, &of.ProviderInitError{ErrorCode: of.ProviderFatalCode, Message: text}
	}
	switch {
	case s.State == seatrial.StateClosed:
		return fatal("the client is closed: open another")
	case s.State == seatrial.StateReady:
		return true, nil
	case s.State == seatrial.StateStale: // a known trouble will not end soon
		return s.Server == "" || s.Error != nil, nil
	case s.Server == "":
		return fatal("the client has neither a control plane nor a snapshot: give seatrial.WithServer or seatrial.WithFile")
	case errors.Is(s.Error, seatrial.ErrKeyRefused):
		return fatal(s.Error.Error())
	}
	return false, nil
}

// Shutdown is [Provider.ShutdownWithContext], for at most 5 s.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) }

// ShutdownWithContext ends events and evaluations, and sends what the client has counted, within
// ctx and 5 s; what could not be sent stays with the client. With [WithClose] it closes the
// client. The provider can be initialized again after it. Shutting down again does nothing.
func (p *Provider) ShutdownWithContext(ctx context.Context) error {
	p.mu.Lock()
	l := p.life
	p.life = nil
	p.evaluates.Store(false)
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	l.end()
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	if p.config.closes {
		return p.client.Close(ctx)
	}
	return p.client.Flush(ctx)
}
