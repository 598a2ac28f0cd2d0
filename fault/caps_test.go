package fault

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestC9MaxTotalIsNeverExceededByOne(t *testing.T) {
	for _, c := range []struct{ caps, program, want int }{{700, 0, 700}, {700, 5, 5}, {5, 700, 5}, {1, 0, 1}, {0, 0, 2000}} {
		p := programmed(&Program{Rate: 1, MaxTotal: c.program, Faults: []Fault{{Kind: KindError}}}, Caps{MaxTotal: c.caps, MaxActive: 1 << 30})
		var hit atomic.Int64
		round := func() {
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					for range 2 {
						if errors.Is(p.Do(ctxBG, succeed), ErrInjected) {
							hit.Add(1)
						}
					}
				})
			}
			all.Wait()
		}
		round()
		if hit.Load() != int64(c.want) || p.Injected() != uint64(c.want) || p.Active() != 0 {
			t.Errorf("caps %d, program %d: %d hit, %d counted, want %d", c.caps, c.program, hit.Load(), p.Injected(), c.want)
		}
		p.Arm(p.armed.Load().source, nil)
		if round(); hit.Load() != 2*int64(c.want) {
			t.Errorf("caps %d, program %d: armed again, %d hit, want %d", c.caps, c.program, hit.Load(), 2*c.want)
		}
	}
	if (Caps{}).normalized().MaxTotal != 10_000 {
		t.Error("the default is another one")
	}
}

func TestS9DeniedOperationsAreNeverHit(t *testing.T) {
	for _, c := range []struct {
		point, operation string
		hit              bool
	}{
		{"stock", "", true}, {"stock", "/orders/17", true}, {"stock", "/api/v1/orders", true}, {"stock", "SELECT", true},
		{"stock", "/author/list", true}, {"stock", "/shop.Orders/Tokenless", true}, {"stock", "/live/scores", true}, {"stock", "/shipping", true},
		{"stock", "/healthz", false}, {"stock", "/Health", false}, {"stock", "/internal/readyz/", false}, {"stock", "/live", false},
		{"stock", "/auth/v2/x", false}, {"stock", "/user.LoginService/Start", false}, {"stock", "/users/userLogin", false}, {"stock", "/oauth2/token", false},
		{"stock", "/grpc.health.v1.Health/Check", false}, {"stock", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false},
		{"stock", "/v1/traces", false}, {"stock", "/v1/metrics", false}, {"stock", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", false},
		{"stock", "/api/v1/stream", false}, {"stock", "/ofrep/v1/evaluate/flags", false}, {"stock", "/flagd.sync.v1.FlagSyncService/SyncFlags", false},
		{"stock", "/admin/users", false}, {"stock", "/ADMIN/", false}, {"stock", "/x/admin/", true},
		{"auth.call", "", false}, {"login", "/x", false}, {"secret.store", "", false},
	} {
		asked := false
		p := NewPoint(c.point, Caps{Deny: []string{"/admin/*", "secret.*"}})
		p.Arm(SourceFunc(func(ctx context.Context) (*Program, Assignment) {
			asked = true
			return always(Fault{Kind: KindError}).Program(ctx)
		}), nil)
		s := p.Begin(ctxBG, Call{Operation: c.operation})
		if (s != nil) != c.hit || asked != c.hit {
			t.Errorf("%s at %s: hit %v, source asked %v", c.operation, c.point, s != nil, asked)
		}
		s.End()
	}
}

func TestS9MoneyIsNotLostUnlessAllowed(t *testing.T) {
	after := []Fault{{Kind: KindError, Phase: After}, {Kind: KindLatency, Phase: After, Max: 1}, {Kind: KindLostReply}, {Kind: KindPanic, Phase: After}, {Kind: KindTruncate}, {Kind: KindCorrupt, Share: 1}}
	before := []Fault{{Kind: KindError}, {Kind: KindReset, Phase: Instead}, {Kind: KindLatency, Max: 1}, {Kind: KindCancel}, {Kind: KindBandwidth}}
	for _, c := range []struct {
		point, operation string
		allow            []string
		money            bool
	}{
		{"payments.call", "", nil, true}, {"bank-transfer", "", nil, true}, {"shop.chargeCard", "", nil, true}, {"billing", "", nil, true}, {"refunds", "", nil, true},
		{"shop", "/shop.Payments/Take", nil, true}, {"shop", "/v1/refund", nil, true},
		{"stock", "/orders", nil, false}, {"repayment", "", nil, false},
		{"payments.call", "/pay", []string{"other", "payments.*"}, false}, {"payments.call", "", []string{"*.stock"}, true},
	} {
		for i, f := range slices.Concat(after, before) {
			p := NewPoint(c.point, Caps{Kinds: kinds, AllowAfter: c.allow})
			p.Arm(always(f), nil)
			s := p.Begin(ctxBG, Call{Operation: c.operation, Bytes: true})
			s.End()
			if want := !c.money || i >= len(after); (s != nil) != want {
				t.Errorf("%s %s at %s %s: hit %v", f.Kind, f.phase(), c.point, c.operation, s != nil)
			}
		}
	}
}

func TestS9WhoOwnsThePointCanDenyIt(t *testing.T) {
	p := hits(Fault{Kind: KindError}, Caps{})
	p.Restrict(Caps{Deny: []string{"st*"}})
	if s := p.Begin(ctxBG, Call{}); s != nil {
		t.Error("hit all the same")
	}
}

// A pattern is compared as path.Match would for names without its other special characters.
func TestPatterns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[abA*]{0,6}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[abB]{0,6}`).Draw(t, "name")
		if got, want := matches(pattern, name), slowMatch(strings.ToLower(pattern), strings.ToLower(name)); got != want {
			t.Fatalf("%q and %q: %v", pattern, name, got)
		}
	})
}

// slowMatch says by definition what a pattern means.
func slowMatch(pattern, name string) bool {
	if pattern == "" {
		return name == ""
	}
	if pattern[0] == '*' {
		return slowMatch(pattern[1:], name) || name != "" && slowMatch(pattern, name[1:])
	}
	return name != "" && pattern[0] == name[0] && slowMatch(pattern[1:], name[1:])
}

func anyCaps(t *rapid.T) Caps {
	n := rapid.IntRange(-1, 20)
	c := Caps{MaxLatency: time.Duration(rapid.Int64Range(-1, int64(time.Minute)).Draw(t, "maxLatency")), MaxActive: n.Draw(t, "maxActive"), MaxTotal: n.Draw(t, "maxTotal"),
		MaxRate: anyNumber(t, "maxRate"), AllowAfter: rapid.SampledFrom([][]string{nil, {}, {"*"}, {"stock"}}).Draw(t, "allowAfter"),
		Deny: rapid.SampledFrom([][]string{nil, {"st*k"}, {"/orders"}}).Draw(t, "deny")}
	if rapid.Bool().Draw(t, "some kinds") {
		c.Kinds = rapid.SliceOfDistinct(rapid.SampledFrom(kinds), func(k Kind) Kind { return k }).Draw(t, "kinds")
		if c.Kinds == nil {
			c.Kinds = []Kind{}
		}
	}
	return c
}

func TestCapsOnlyGetStricter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own, bounds := anyCaps(t), anyCaps(t)
		p := NewPoint("stock", own)
		p.Restrict(bounds)
		got := p.caps.Load().hold
		for _, c := range []Caps{own, bounds} {
			if c.MaxLatency > 0 && got.MaxLatency > c.MaxLatency || c.MaxActive > 0 && got.MaxActive > c.MaxActive ||
				c.MaxTotal > 0 && got.MaxTotal > c.MaxTotal || c.MaxRate > 0 && got.MaxRate > c.MaxRate {
				t.Fatalf("%+v within %+v gives %+v", own, bounds, got)
			}
			for _, k := range got.Kinds {
				if c.Kinds != nil && !slices.Contains(c.Kinds, k) || own.Kinds == nil && bounds.Kinds == nil && k == KindPanic {
					t.Fatalf("%s is allowed by %+v within %+v", k, own, bounds)
				}
			}
			for _, d := range c.Deny {
				if !slices.Contains(got.Deny, d) {
					t.Fatalf("%s is denied no more", d)
				}
			}
			if c.AllowAfter != nil && len(c.AllowAfter) == 0 && len(got.AllowAfter) > 0 {
				t.Fatal("allowed what one of them does not allow")
			}
		}
	})
}

// checkCaps sends many calls at a time through a point under any program, and checks that nothing
// happens to any of them that the caps rule out.
func checkCaps(t *rapid.T) {
	caps, program := anyCaps(t), anyProgram(t)
	point := rapid.SampledFrom([]string{"stock", "payments", "auth"}).Draw(t, "point")
	operation := rapid.SampledFrom([]string{"", "/orders", "/healthz"}).Draw(t, "operation")
	p := NewPoint(point, caps)
	hold := caps.normalized()
	lease := NewLease(0)
	p.Arm(SourceFunc(func(context.Context) (*Program, Assignment) { return program, Assignment{} }), lease)
	var active, peak, total atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	var wrong []any
	for range 40 {
		all.Go(func() {
			s := p.Begin(ctxBG, Call{Operation: operation, Bytes: true})
			if s == nil {
				return
			}
			total.Add(1)
			for now := active.Add(1); ; {
				if was := peak.Load(); was >= now || peak.CompareAndSwap(was, now) {
					break
				}
			}
			took, panicked := runStrike(s, lease)
			active.Add(-1)
			s.End()
			i := s.Injection()
			mu.Lock()
			defer mu.Unlock()
			if took > hold.MaxLatency || panicked && i.Kind != KindPanic || !slices.Contains(hold.Kinds, i.Kind) ||
				point == "payments" && (i.Phase == After || i.Kind == KindTruncate || i.Kind == KindCorrupt) && !matchesAny(hold.AllowAfter, point) {
				wrong = append(wrong, i, took, panicked)
			}
		})
	}
	all.Wait()
	if len(wrong) > 0 {
		t.Fatalf("%+v do %+v", hold, wrong)
	}
	denied := point == "auth" || operation == "/healthz" || matchesAny(caps.Deny, point) || matchesAny(caps.Deny, operation)
	if peak.Load() > int64(hold.MaxActive) || total.Load() > int64(hold.MaxTotal) || p.Active() != 0 || denied && total.Load() > 0 || !(program.Rate > 0) && total.Load() > 0 {
		t.Fatalf("%+v: %d at a time, %d in all, %d left, denied %v", hold, peak.Load(), total.Load(), p.Active(), denied)
	}
}

// runStrike makes a call of no length with 300 bytes of body both ways, and tells for how long it
// was held up.
func runStrike(s *Strike, lease *Lease) (took time.Duration, panicked bool) {
	began := time.Now()
	defer func() { panicked, took = recover() != nil, time.Since(began) }()
	stop := time.AfterFunc(MaxLease/2, lease.Renew)
	defer stop.Stop()
	ctx, err := s.Before(ctxBG)
	if err == nil {
		_, _ = s.Write(io.Discard).Write(make([]byte, 300))
		_, _ = io.Copy(io.Discard, s.Body(io.NopCloser(bytes.NewReader(make([]byte, 300)))))
		_ = s.After(ctx, ctx.Err())
	}
	return 0, false
}

func TestS6ProgramsNeverExceedCaps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(*testing.T) { checkCaps(rt) })
	})
}

func FuzzS6ProgramsNeverExceedCaps(f *testing.F) {
	f.Add([]byte("seed of any bytes"))
	check := rapid.MakeFuzz(checkCaps)
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { check(t, data) })
	})
}

// odd is a source, and an observer, that does not work.
type odd struct {
	program *Program
	mode    byte
}

func (o odd) Program(context.Context) (*Program, Assignment) {
	switch o.mode % 4 {
	case 1:
		panic("source")
	case 2:
		var none *Program
		return none, Assignment{}
	}
	return o.program, Assignment{Experiment: "x", Call: uint64(o.mode)}
}

func (o odd) Injected(context.Context, Injection) { panic("observer") }

// Whatever the bytes of a program are and however the source behaves: the call is made, or fails
// with an injected error of a known kind.
func FuzzS7FaultsFailOpen(f *testing.F) {
	f.Add([]byte(`{"point":"stock","rate":1,"faults":[{"kind":"error"}]}`), byte(0))
	f.Add([]byte(`{"point":"stock","rate":1,"faults":[{"kind":"explode"}]}`), byte(3))
	f.Add([]byte(`{"point":"stock","rate":1,"sequence":[{"count":1,"fault":{"kind":"lost-reply"}}]}`), byte(1))
	f.Add([]byte(`{"version":2}`), byte(2))
	f.Fuzz(func(t *testing.T, data []byte, mode byte) {
		synctest.Test(t, func(t *testing.T) {
			program, err := ParseProgram(data)
			if err != nil && program != nil {
				t.Fatal("an error and a program")
			}
			p := NewPoint("stock", Caps{})
			p.Arm(odd{program, mode}, nil)
			made := false
			err = p.Do(ctxBG, func(context.Context) error { made = true; return nil })
			i, injected := From(err)
			if injected != (err != nil) || !made && !injected || injected && !slices.Contains(harmless, i.Kind) {
				t.Fatalf("%s: made %v, %v", data, made, err)
			}
			if (program == nil || mode%4 == 1 || mode%4 == 2) && injected {
				t.Fatalf("%s: %v without a program", data, err)
			}
		})
	})
}
