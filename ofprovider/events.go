package ofprovider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	of "github.com/open-feature/go-sdk/openfeature"
	"github.com/seatrial/seatrial"
)

// EventChannel gives the provider's events:
//
//   - PROVIDER_CONFIGURATION_CHANGED with the keys of the flags that may evaluate differently;
//   - PROVIDER_STALE when there was no word from the control plane for a minute: evaluations go on
//     with the last known good snapshot;
//   - PROVIDER_ERROR when the control plane refuses the key, or the client is closed: somebody
//     must act, and evaluations go on likewise;
//   - PROVIDER_READY when that is over.
//
// A reader that is slow, or absent, holds up nobody: changes become one event, with all keys.
func (p *Provider) EventChannel() <-chan of.Event { return p.events }

// settle is how long the SDK may take to announce the outcome of Init. A state is not told sooner
// than that, since it could overtake the announcement.
const settle = time.Second

// follower turns the client's updates into events, for one life of the provider.
type follower struct {
	provider *Provider
	wake     chan struct{} // holds a token after initialized

	mu    sync.Mutex
	told  of.State // that the SDK knows of
	since time.Time
}

// initialized notes what the SDK is about to announce, of which it tells nobody but its handlers.
func (f *follower) initialized(err error) {
	f.mu.Lock()
	f.told, f.since = stateAfter(err), time.Now()
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// stateAfter gives the SDK's state after an Init with that outcome.
func stateAfter(err error) of.State {
	if err == nil {
		return of.ReadyState
	}
	if initError, ok := errors.AsType[*of.ProviderInitError](err); ok && initError.ErrorCode == of.ProviderFatalCode {
		return of.FatalState
	}
	return of.ErrorState
}

// run sends events until ctx ends, or the client is closed.
func (f *follower) run(ctx context.Context, updates <-chan seatrial.Update) {
	settled := time.NewTimer(settle)
	defer settled.Stop()
	for open := true; ctx.Err() == nil; {
		var u seatrial.Update
		select {
		case <-ctx.Done():
			return
		case u, open = <-updates:
			f.tellChange(ctx, &u)
		case <-f.wake:
		case <-settled.C:
		}
		if wait := f.untilSettled(); wait > 0 {
			settled.Reset(wait)
		} else {
			f.tellState(ctx)
			if !open {
				return
			}
		}
		if !open {
			updates = nil
		}
	}
}

// handOver passes updates on, to one who waits for other things, too.
func handOver(ctx context.Context, next func() (seatrial.Update, bool), updates chan<- seatrial.Update) {
	for u, more := next(); more; u, more = next() {
		select {
		case updates <- u:
		case <-ctx.Done():
		}
	}
}

func (f *follower) untilSettled() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Until(f.since.Add(settle))
}

func (f *follower) tellChange(ctx context.Context, u *seatrial.Update) {
	if len(u.Changed) == 0 {
		return
	}
	f.provider.send(ctx, of.ProviderConfigChange, of.ProviderEventDetails{
		Message:     fmt.Sprintf("%d flags may evaluate differently", len(u.Changed)),
		FlagChanges: u.Changed, EventMetadata: eventMetadata(&u.Status),
	})
}

// tellState tells the SDK of the client's state of the moment, unless it knows.
func (f *follower) tellState(ctx context.Context) {
	status := f.provider.client.Status()
	f.mu.Lock()
	state, details := translate(&status, f.told)
	known := state == f.told
	f.told = state
	f.mu.Unlock()
	if !known {
		f.provider.send(ctx, eventOf[state], details)
	}
}

// eventOf gives the event that brings the SDK into a state.
var eventOf = map[of.State]of.EventType{
	of.ReadyState: of.ProviderReady, of.StaleState: of.ProviderStale,
	of.ErrorState: of.ProviderError, of.FatalState: of.ProviderError,
}

// translate gives the SDK's state for a client's, and what to say of it. A client that still has
// no snapshot leaves the SDK's state as it is.
func translate(s *seatrial.Status, told of.State) (of.State, of.ProviderEventDetails) {
	details := of.ProviderEventDetails{EventMetadata: eventMetadata(s)}
	if s.Error != nil {
		details.Message = s.Error.Error()
	}
	switch {
	case s.State == seatrial.StateNotReady:
		if errors.Is(s.Error, seatrial.ErrKeyRefused) {
			details.ErrorCode = of.ProviderFatalCode
			return of.FatalState, details
		}
		return told, details
	case s.State == seatrial.StateClosed:
		details.ErrorCode, details.Message = of.GeneralCode, "the client is closed; evaluations go on with its last snapshot"
		return of.ErrorState, details
	case errors.Is(s.Error, seatrial.ErrKeyRefused):
		details.ErrorCode = of.GeneralCode
		return of.ErrorState, details
	case s.State == seatrial.StateStale && s.Server != "":
		details.Message = fmt.Sprintf("no word from %s for a minute; evaluations go on with revision %d", s.Server, s.Revision)
		return of.StaleState, details
	}
	details.Message = fmt.Sprintf("at revision %d", s.Revision)
	return of.ReadyState, details
}

// send gives the SDK an event, as soon as it takes it or ctx ends.
func (p *Provider) send(ctx context.Context, event of.EventType, details of.ProviderEventDetails) {
	select {
	case p.events <- of.Event{ProviderName: Name, EventType: event, ProviderEventDetails: details}:
	case <-ctx.Done():
	}
}
