package seatrial

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/core/eval"
	"github.com/seatrial/seatrial/internal/core/flag"
	"go.opentelemetry.io/otel/baggage"
	"pgregory.net/rapid"
)

func TestDecisionsAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSigner(rapid.StringN(1, 40, 80).Draw(t, "secret"), rapid.String().Draw(t, "attempt"))
		unit := rapid.String().Draw(t, "unit")
		role := rapid.SampledFrom([]eval.Role{eval.RoleNone, eval.RoleTreatment, eval.RoleControl}).Draw(t, "role")
		entry := s.entry(role, s.digest(unit))
		if len(entry) != entrySize {
			t.Fatalf("%d characters", len(entry))
		}
		other := newSigner("other", "other")
		member := strings.Join([]string{other.entry(eval.RoleTreatment, other.digest(unit)), "", entry}, separator)
		got, digest, as, ok := s.open(member)
		if !ok || got != role || digest != s.digest(unit) || as != entry {
			t.Fatalf("%v %q %q %v", got, digest, as, ok)
		}
		changed := []byte(entry)
		at := rapid.IntRange(0, len(changed)-1).Draw(t, "at")
		changed[at] = rapid.SampledFrom([]byte("tcnAZaz09-_")).Filter(func(b byte) bool { return b != changed[at] }).Draw(t, "to")
		if _, _, _, ok := s.open(string(changed)); ok {
			t.Fatal("a changed decision is taken")
		}
	})
}

// What travels names neither unit nor experiment, fits into a baggage member of 200 bytes, and needs
// no escaping there.
func TestDecisionsTellNothing(t *testing.T) {
	s := newSigner(secretOf("storm"), "storm.1")
	entry := s.entry(eval.RoleTreatment, s.digest("user@example.com"))
	if size := len(baggageKey) + 1 + maxCarried*(entrySize+1); size > 200 {
		t.Errorf("a full member has %d bytes", size)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(entry[1:])
	for _, secret := range []string{"user", "storm", secretOf("storm")[:8]} {
		if strings.Contains(entry+string(raw), secret) {
			t.Errorf("%q contains %q", entry, secret)
		}
	}
	if m, err := baggage.NewMemberRaw(baggageKey, entry); err != nil || m.String() != baggageKey+"="+entry {
		t.Errorf("as a member: %q, %v", m, err)
	}
	same := newSigner(secretOf("storm"), "storm.2")
	if other := newSigner(secretOf("other"), "storm.1"); other.digest("u") == s.digest("u") || other.id == s.id || same.id == s.id {
		t.Error("another secret or attempt gives the same digests")
	}
	if newSigner("", "storm.1") != nil {
		t.Error("without a secret something is signed")
	}
}

func FuzzDecision(f *testing.F) {
	s := newSigner(secretOf("storm"), "storm.1")
	valid := map[string]bool{}
	for _, role := range []eval.Role{eval.RoleNone, eval.RoleTreatment, eval.RoleControl} {
		valid[s.entry(role, s.digest("u"))] = true
	}
	for entry := range valid {
		f.Add(entry)
		f.Add("." + entry + ".x")
		f.Add(strings.Repeat(entry, 9))
	}
	f.Add("")
	f.Add("t" + strings.Repeat("=", entrySize-1))
	f.Fuzz(func(t *testing.T, member string) {
		if _, _, entry, ok := s.open(member); ok && !valid[entry] {
			t.Errorf("%q is taken: nobody has signed it", entry)
		}
	})
}

func FuzzMarks(f *testing.F) {
	id := newSigner(secretOf("storm"), "storm.1").id
	f.Add(formatMarks([]met{{id, treatment, true}, {id, control, false}}))
	f.Add("t")
	f.Add(strings.Repeat("t"+id+"!.", 5))
	f.Add("c!!!!!!!!!!!.")
	f.Fuzz(func(t *testing.T, text string) {
		list := parseMarks(text)
		if len(list) > maxCarried {
			t.Errorf("%d marks", len(list))
		}
		if again := parseMarks(formatMarks(list)); fmt.Sprint(again) != fmt.Sprint(list) {
			t.Errorf("%v comes back as %v", list, again)
		}
	})
}

// edge is two services under one control plane: what one sends, the other gets.
type edge struct {
	plane           *plane
	outside, inside *Client
	calls           int // of the dependency further inside
}

// call makes a call from a unit of work of the outside service to a handler of the inside one, which
// calls "payment". The context of the inside service has what the network carries, and nothing else.
func (e *edge) call(ctx context.Context, within func(ctx context.Context)) (err error) {
	ctx, w := e.outside.Begin(ctx)
	defer func() { w.End(nil) }()
	ctx = e.outside.Carry(ctx)
	r := httptest.NewRequest("GET", "/", nil).WithContext(baggage.ContextWithBaggage(context.Background(), baggage.FromContext(ctx)))
	answer := httptest.NewRecorder()
	e.inside.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err = e.inside.Dependency("payment").Do(r.Context(), func(context.Context) error { e.calls++; return nil })
	})).ServeHTTP(answer, r)
	NoteMarks(ctx, answer.Header().Get(MarksHeader))
	if within != nil {
		within(ctx)
	}
	return err
}

// decidedBy gives ctx with what a unit of work of the client carries for the unit in ctx.
func decidedBy(c *Client, ctx context.Context) context.Context {
	inner, w := c.Begin(ctx)
	defer w.End(nil)
	return baggage.ContextWithBaggage(ctx, baggage.FromContext(c.Carry(inner)))
}

func newEdge(t *testing.T, set flag.Set, inside ...Option) *edge {
	p := newPlane(t, set)
	return &edge{plane: p, outside: p.open(WithService("outside")), inside: p.open(append(inside, WithService("inside"))...)}
}

// The decision is taken once, at the edge, and holds inside, where nobody knows the user. The unit of
// work of the edge is exposed, because the point was reached; that of the service inside is the same
// request, and is not counted again.
func TestTheDecisionOfTheEdgeHoldsInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		e := newEdge(t, set, allowed())
		if err := e.call(in, nil); err == nil || e.calls != 0 {
			t.Errorf("treatment: %v after %d calls, want a fault", err, e.calls)
		}
		if err := e.call(out, nil); err != nil {
			t.Errorf("control: %v", err)
		}
		if err := e.call(t.Context(), nil); err != nil {
			t.Errorf("an anonymous unit: %v", err)
		}
		one := arrived{Requests: 1, New: 1, AtRisk: 1}
		e.plane.wantArrived(e.outside, map[string]arrived{inTreatment: one, inControl: one})
		e.plane.wantArrived(e.inside, map[string]arrived{inTreatment: one, inControl: one}) // no more than that
	})
}

// In the steady phase, too, the edge sees who will meet the fault and who will not.
func TestTheSteadyPhaseIsSeenFromTheEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		set.Allocations[0].Fault = false
		e := newEdge(t, set, allowed())
		if e.call(in, nil) != nil || e.call(out, nil) != nil {
			t.Error("a fault before its time")
		}
		one := arrived{Requests: 1, New: 1, AtRisk: 1}
		e.plane.wantArrived(e.outside, map[string]arrived{inTreatment: one, inControl: one})
	})
}

// Where faults are not allowed inside, nothing is injected, nobody is exposed, and the edge is told
// nothing: a decision can be lowered on its way.
func TestADecisionCanBeLowered(t *testing.T) {
	lower := map[string]struct {
		options []Option
		change  func(e *edge)
	}{
		"not allowed":     {nil, func(*edge) {}},
		"stopped inside":  {[]Option{allowed()}, func(e *edge) { e.inside.StopFaults("enough") }},
		"no kind allowed": {[]Option{WithFaults(fault.Caps{Kinds: []fault.Kind{}})}, func(*edge) {}},
	}
	for name, l := range lower {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := faultSet(1, failing)
				in, _ := usersOf(t, set)
				e := newEdge(t, set, l.options...)
				l.change(e)
				if err := e.call(in, nil); err != nil || e.calls != 1 {
					t.Errorf("%v after %d calls, want no fault", err, e.calls)
				}
			})
		})
	}
}

// A unit that is in neither arm at the edge is in neither inside, whatever is decided there; and a
// decision at the edge beats what the inside would decide for the user it knows.
func TestTheInsideDoesNotDecideAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		set.Allocations[0].Strata[0] = flag.Stratum{Treatment: 10_000, Control: 10_000}
		base := offline(t, set)
		treated := NewContext(userIn(t, base, "f", treatment))
		rest := ""
		for i := 0; rest == ""; i++ {
			var r eval.Result
			key := fmt.Sprint("user-", i)
			evaluate(base, WithContext(t.Context(), NewContext(key)), "f", any(nil), func(v any) (any, bool) { return v, true }, &r)
			if r.Role == eval.RoleNone {
				rest = key
			}
		}
		p := newPlane(t, set)
		outside, inside := p.open(), p.open(allowed())
		hit := func(edge, within Context) bool {
			out, w := outside.Begin(WithContext(t.Context(), edge))
			defer w.End(nil)
			ctx := baggage.ContextWithBaggage(context.Background(), baggage.FromContext(outside.Carry(out)))
			ctx, v := inside.Begin(ctx)
			defer v.End(nil)
			return inside.Dependency("payment").Do(WithContext(ctx, within), succeed) != nil
		}
		if !hit(treated, NewContext(rest)) || hit(NewContext(rest), treated) || !hit(Context{}, treated) {
			t.Error("the inside must follow the edge, and decide only where that could not")
		}
	})
}

// Strangers can neither put themselves into an experiment nor out of it, nor can yesterday's guests.
func TestForgedDecisionsAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		c := newPlane(t, set).open(allowed())
		genuine := newSigner(secretOf("f-trial"), "f-trial.1")
		forge := func(secret, attempt string, r eval.Role) string {
			s := newSigner(secret, attempt)
			return s.entry(r, s.digest("me"))
		}
		forged := map[string]string{
			"another secret":  forge("guess", "f-trial.1", eval.RoleTreatment),
			"another attempt": forge(secretOf("f-trial"), "f-trial.2", eval.RoleTreatment),
			"the arm changed": "t" + forge(secretOf("f-trial"), "f-trial.1", eval.RoleControl)[1:],
			"cut":             forge(secretOf("f-trial"), "f-trial.1", eval.RoleTreatment)[:entrySize-1],
			"too long":        strings.Repeat(genuine.entry(eval.RoleTreatment, genuine.digest("me"))+".", 20),
			"nothing":         "",
		}
		call := func(ctx context.Context, member string) error {
			m, _ := baggage.NewMemberRaw(baggageKey, member)
			bag, _ := baggage.New(m)
			ctx, w := c.Begin(baggage.ContextWithBaggage(ctx, bag))
			defer w.End(nil)
			return c.Dependency("payment").Do(ctx, succeed)
		}
		for name, member := range forged {
			if call(t.Context(), member) != nil || call(out, member) != nil || call(in, member) == nil {
				t.Errorf("%s: it changed something", name)
			}
		}
		if call(t.Context(), genuine.entry(eval.RoleTreatment, genuine.digest("me"))) == nil || call(in, genuine.entry(eval.RoleNone, genuine.digest("me"))) != nil {
			t.Error("a genuine decision did not hold")
		}
	})
}

// Without an experiment Carry costs nothing and changes nothing.
func TestCarryWithoutExperiments(t *testing.T) {
	c := offline(t, setAt(1, release("f"), trialOn(release("f"), 0, 50)))
	ctx, w := c.Begin(WithContext(t.Context(), NewContext("u")))
	defer w.End(nil)
	if got := c.Carry(ctx); got != ctx {
		t.Error("the context changed")
	}
	if n := testing.AllocsPerRun(100, func() { c.Carry(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if (*Client)(nil).Carry(ctx) != ctx || (*Dependency)(nil).Carry(ctx) != ctx || c.Carry(noContext) != nil {
		t.Error("nil is not handed back")
	}
}

// The decision is handed on through services that neither allow faults nor know the user.
func TestDecisionsAreHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, _ := usersOf(t, set)
		p := newPlane(t, set)
		first, middle := p.open(), p.open()
		out, w := first.Begin(in)
		defer w.End(nil)
		sent := baggage.FromContext(first.Carry(out)).Member(baggageKey).Value()
		if again := baggage.FromContext(first.Carry(out)).Member(baggageKey).Value(); again != sent || len(sent) != entrySize {
			t.Fatalf("carried %q, then %q", sent, again)
		}
		ctx, v := middle.Begin(baggage.ContextWithBaggage(context.Background(), baggage.FromContext(first.Carry(out))))
		defer v.End(nil)
		if got := baggage.FromContext(middle.Carry(ctx)).Member(baggageKey).Value(); got != sent {
			t.Errorf("handed on %q, want %q", got, sent)
		}
	})
}

// Nobody would count how a call without a unit of work ends: what came along goes on, and no more.
func TestCarryDecidesOnlyForUnitsOfWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, _ := usersOf(t, set)
		c := newPlane(t, set).open()
		if got := baggage.FromContext(c.Carry(in)).Member(baggageKey).Value(); got != "" {
			t.Errorf("decided: %q", got)
		}
		told := decidedBy(c, in)
		if want, got := decisionsIn(told), decisionsIn(c.Carry(told)); got != want || got == "" {
			t.Errorf("handed on %q, want %q", got, want)
		}
	})
}

// Marks come back through the service in the middle, and the public learns nothing.
func TestMarksComeBackToWhoDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		p := newPlane(t, set)
		c := p.open(allowed())
		id := newSigner(secretOf("f-trial"), "f-trial.1").id
		marks := func(ctx context.Context) string {
			ctx, w := c.Begin(ctx)
			defer w.End(nil)
			_ = c.Dependency("payment").Do(ctx, succeed)
			return Marks(ctx)
		}
		if got := marks(in); got != "" {
			t.Errorf("a unit decided on here: %q, but nobody asked", got)
		}
		if got := marks(decidedBy(c, in)); got != "t"+id+"!" {
			t.Errorf("treatment: %q", got)
		}
		if got := marks(decidedBy(c, out)); got != "c"+id {
			t.Errorf("control: %q", got)
		}
		outer, v := c.Begin(decidedBy(c, in))
		defer v.End(nil)
		if inner := marks(outer); inner != "t"+id+"!" || Marks(outer) != inner {
			t.Errorf("in a unit of work within: %q, and around it %q", inner, Marks(outer))
		}
		edge, e := c.Begin(in)
		defer e.End(nil)
		if _ = marks(baggage.ContextWithBaggage(edge, baggage.FromContext(outer))); Marks(edge) != "" {
			t.Errorf("around one that was asked: %q, but nobody asked", Marks(edge))
		}
		ctx, w := p.open().Begin(decidedBy(c, in)) // the middle
		defer w.End(nil)
		NoteMarks(ctx, "t"+id)
		if got := Marks(ctx); got != "t"+id {
			t.Errorf("reached: %q", got)
		}
		NoteMarks(ctx, "t"+id+"!")
		if got := Marks(ctx); got != "t"+id+"!" {
			t.Errorf("hit: %q", got)
		}
		NoteMarks(noContext, "t"+id)
		NoteMarks(t.Context(), "t"+id)
		if Marks(noContext)+Marks(t.Context()) != "" {
			t.Error("marks without a unit of work")
		}
	})
}

// Marks that do not agree with the unit's own part are passed over: a dependency cannot put its
// callers into an experiment, nor take them out of one.
func TestFalseMarksAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := faultSet(1, failing)
		in, out := usersOf(t, set)
		p := newPlane(t, set)
		c := p.open()
		id := newSigner(secretOf("f-trial"), "f-trial.1").id
		for _, marks := range []string{"c" + id, "t" + newSigner("guess", "f-trial.1").id + "!", "t" + id + "?", strings.Repeat("t"+id+".", 99), "\x00"} {
			ctx, w := c.Begin(in)
			NoteMarks(ctx, marks)
			w.End(nil)
		}
		ctx, w := c.Begin(out)
		NoteMarks(ctx, "t"+id+"!")
		w.End(nil)
		ctx, w = c.Begin(t.Context())
		NoteMarks(ctx, "t"+id+"!")
		w.End(nil)
		p.wantArrived(c, nil)
	})
}

// The head of an answer has the marks whichever way the handler answers.
func TestHandlerSendsMarks(t *testing.T) {
	answers := map[string]func(w http.ResponseWriter){
		"nothing": func(http.ResponseWriter) {},
		"status":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"body":    func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"flush":   func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				set := faultSet(1, failing)
				in, _ := usersOf(t, set)
				c := newPlane(t, set).open(allowed())
				handler := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = c.Dependency("payment").Do(r.Context(), succeed)
					answer(w)
				}))
				for _, told := range []bool{true, false} {
					ctx := in
					if told {
						ctx = baggage.ContextWithBaggage(t.Context(), baggage.FromContext(decidedBy(c, in)))
					}
					recorder := httptest.NewRecorder()
					handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
					if got := recorder.Result().Header.Get(MarksHeader) != ""; got != told {
						t.Errorf("asked %v, told %v", told, got)
					}
				}
			})
		})
	}
}
