package traces

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newStore(t testing.TB, l Limits) *Store {
	t.Helper()
	s, err := NewStore(l)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	for _, l := range []Limits{{MaxBytes: 1000}, {MaxBytes: -1}, {MaxTraces: -1}, {MaxSpansPerTrace: -1}, {MaxPins: -1}} {
		if _, err := NewStore(l); err == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}

func TestDuplicatesAndInvalidSpans(t *testing.T) {
	s := newStore(t, Limits{})
	s.Add([]Span{spanOf(1, 1, 0, 0), spanOf(1, 1, 0, 5), spanOf(1, 2, 1, 0), {SpanID: sid(1)}, {TraceID: tid(1)}})
	for i := range 100 { // beyond where ids are kept in a map
		s.Add([]Span{spanOf(1, i+1, 0, 0)})
	}
	s.Add([]Span{spanOf(2, 1, 0, 0)})
	got, ok := s.Get(tid(1))
	if !ok || len(got.Spans) != 100 || got.Spans[0].Start != 0 {
		t.Errorf("%d spans", len(got.Spans))
	}
	if st := s.Stats(); st.Duplicates != 3 || st.Accepted != 101 || st.Traces != 2 || st.Spans != 101 {
		t.Errorf("stats %+v", st)
	}
	if _, ok := s.Get(tid(3)); ok {
		t.Error("a trace that never came")
	}
}

// The store keeps copies: the memory of a request may be used again at once.
func TestStoreKeepsCopies(t *testing.T) {
	s := newStore(t, Limits{})
	attributes := []Attribute{{"k", StringValue("v")}, {"list", ListValue([]Value{StringValue("a"), MapValue([]Attribute{{"b", IntValue(1)}})})}}
	span := spanOf(1, 1, 0, 0)
	span.Attributes, span.Events = attributes, []Event{{Name: "e", Attributes: slices.Clone(attributes)}}
	s.Add([]Span{span})
	attributes[0] = Attribute{"x", IntValue(9)}
	attributes[1].Value.List()[0] = IntValue(9)
	span.Events[0].Name = "x"
	got, _ := s.Get(tid(1))
	if text := fmt.Sprintln(AttributeMap(got.Spans[0].Attributes), got.Spans[0].Events[0].Name); text != "map[k:v list:[a map[b:1]]] e\n" {
		t.Error(text)
	}
}

func TestTraceThatIsTooLarge(t *testing.T) {
	s := newStore(t, Limits{MaxSpansPerTrace: 3, MaxBytes: 1 << 20})
	for i := range 5 {
		s.Add([]Span{spanOf(1, i+1, 0, 0)})
	}
	if got, _ := s.Get(tid(1)); len(got.Spans) != 3 || got.Overflowed != 2 {
		t.Errorf("%d spans, %d overflowed", len(got.Spans), got.Overflowed)
	}
	big := spanOf(2, 1, 0, 0)
	big.StatusMessage = strings.Repeat("x", 1<<17)
	s.Add([]Span{big, spanOf(2, 2, 0, 0)})
	if got, _ := s.Get(tid(2)); len(got.Spans) != 1 || got.Overflowed != 1 {
		t.Errorf("%d spans, %d overflowed", len(got.Spans), got.Overflowed)
	}
}

func TestPinsBeforeAndAfterTheTrace(t *testing.T) {
	s := newStore(t, Limits{MaxTraces: 3, MaxPins: 2})
	if s.Pin(tid(1)) || s.Pin(TraceID{}) || s.PinTrace("not an id") {
		t.Error("nothing is stored yet")
	}
	s.Add([]Span{spanOf(2, 1, 0, 0), spanOf(1, 1, 0, 0)})
	if !s.PinTrace(tid(2).String()) || !s.Pin(tid(2)) {
		t.Error("trace 2 is stored")
	}
	for i := range 20 {
		s.Add([]Span{spanOf(10+i, 1, 0, 0)})
	}
	if got := ids(s.List(Filter{})); got != "29 1 2" {
		t.Errorf("stored %s", got)
	}
	s.Pin(tid(29)) // the third pin releases the oldest, of trace 1
	s.Add([]Span{spanOf(40, 1, 0, 0)})
	if got := ids(s.List(Filter{})); got != "40 29 2" {
		t.Errorf("stored %s", got)
	}
	s.UnpinTrace(tid(2).String())
	s.UnpinTrace("not an id")
	s.Unpin(tid(77))
	s.Add([]Span{spanOf(41, 1, 0, 0)})
	if got := ids(s.List(Filter{})); got != "41 40 29" {
		t.Errorf("stored %s", got)
	}
}

func ids(list []Summary) string {
	var names []string
	for _, s := range list {
		names = append(names, fmt.Sprint(int(s.ID[15])+int(s.ID[14])<<8))
	}
	return strings.Join(names, " ")
}

func TestFilters(t *testing.T) {
	s := newStore(t, Limits{})
	add := func(trace int, change func(*Span)) {
		span := spanOf(trace, 1, 0, int64(trace)*1000)
		span.Service = "shop"
		change(&span)
		s.Add([]Span{span})
	}
	exposed := func(flag, variant string) func(*Span) {
		return func(s *Span) { s.Attributes = []Attribute{{AttrFlagPrefix + flag, StringValue(variant)}} }
	}
	add(1, func(s *Span) { s.Status = StatusError })
	add(2, exposed("f", "on"))
	add(3, exposed("f", "off"))
	add(4, func(s *Span) { s.End = s.Start + int64(time.Second); exposed("g", "on")(s) })
	add(5, func(s *Span) { s.Service = "payment" })
	s.Add([]Span{func() Span { c := spanOf(5, 2, 1, 5001); c.Status, c.Service = StatusError, "bank"; return c }()})
	for _, c := range []struct {
		name   string
		filter Filter
		want   string
	}{
		{"all, newest first", Filter{}, "5 4 3 2 1"},
		{"some", Filter{Limit: 2}, "5 4"},
		{"flag", Filter{Flag: "f"}, "3 2"},
		{"flag and variant", Filter{Flag: "f", Variant: "on"}, "2"},
		{"variant without flag", Filter{Variant: "on"}, "5 4 3 2 1"},
		{"errors", Filter{ErrorOnly: true}, "5 1"},
		{"service, of any span", Filter{Service: "bank"}, "5"},
		{"duration", Filter{MinDuration: time.Second}, "4"},
		{"just longer", Filter{MinDuration: time.Second + 1}, ""},
		{"two conditions", Filter{ErrorOnly: true, Service: "shop"}, "1"},
		{"nothing", Filter{Flag: "h"}, ""},
	} {
		if got := ids(s.List(c.filter)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	for i := range MaxLimit + 50 {
		s.Add([]Span{spanOf(100+i, 1, 0, 0)})
	}
	if a, b := len(s.List(Filter{})), len(s.List(Filter{Limit: 1 << 30})); a != DefaultLimit || b != MaxLimit {
		t.Errorf("%d and %d", a, b)
	}
}

func TestSummaries(t *testing.T) {
	s := newStore(t, Limits{})
	s.Add([]Span{{TraceID: tid(1), SpanID: sid(2), Parent: sid(1), Name: "child", Service: "bank", Start: 50, End: 90}})
	if got := s.List(Filter{})[0]; got.Root != "child" || got.Service != "bank" || got.Duration != 40 || got.Spans != 1 {
		t.Errorf("without root: %+v", got)
	}
	s.Add([]Span{{TraceID: tid(1), SpanID: sid(3), Parent: sid(1), Name: "late", Start: 40, End: 200}})
	if got := s.List(Filter{})[0]; got.Root != "late" || got.Duration != 160 || got.Start.UnixNano() != 40 {
		t.Errorf("without root, two spans: %+v", got)
	}
	s.Add([]Span{{TraceID: tid(1), SpanID: sid(1), Name: "root", Service: "shop", Start: 45, End: 100}})
	if got := s.List(Filter{})[0]; got.Root != "root" || got.Service != "shop" || got.Duration != 55 || got.Error || got.Pinned {
		t.Errorf("with root: %+v", got)
	}
}

// model is the store as a list in the order of arrival.
type model struct {
	limits Limits
	traces []*modelTrace
	pins   []TraceID
}

type modelTrace struct {
	id    TraceID
	spans map[SpanID]bool
	bytes int64
}

func (m *model) find(id TraceID) *modelTrace {
	for _, t := range m.traces {
		if t.id == id {
			return t
		}
	}
	return nil
}

func (m *model) bytes(pinnedOnly bool) (sum int64) {
	for _, t := range m.traces {
		if !pinnedOnly || slices.Contains(m.pins, t.id) {
			sum += t.bytes
		}
	}
	return sum
}

func (m *model) add(s Span) {
	t := m.find(s.TraceID)
	if t == nil {
		t = &modelTrace{id: s.TraceID, spans: map[SpanID]bool{}, bytes: entryBytes}
		m.traces = append(m.traces, t)
	}
	size := spanSize(&s)
	tooLarge := len(t.spans) >= m.limits.MaxSpansPerTrace || t.bytes+size > m.limits.MaxBytes/8
	if t.spans[s.SpanID] || tooLarge || slices.Contains(m.pins, t.id) && m.bytes(true)+size > m.limits.MaxBytes/2 {
		return
	}
	t.spans[s.SpanID] = true
	t.bytes += size
}

func (m *model) pin(id TraceID) {
	if !slices.Contains(m.pins, id) {
		m.pins = append(m.pins, id)
	}
	for len(m.pins) > m.limits.MaxPins || len(m.pins) > 1 && m.bytes(true) > m.limits.MaxBytes/2 {
		m.pins = m.pins[1:]
	}
}

func (m *model) evict() {
	for len(m.traces) > int(m.limits.MaxTraces) || m.bytes(false) > m.limits.MaxBytes {
		i := slices.IndexFunc(m.traces, func(t *modelTrace) bool { return !slices.Contains(m.pins, t.id) })
		if i < 0 {
			return
		}
		m.traces = slices.Delete(m.traces, i, i+1)
	}
}

// Whatever is added, pinned and released, the store holds exactly what the model does, and never
// more than its limits allow.
func TestStoreAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{MaxBytes: 1 << 20, MaxTraces: 12, MaxSpansPerTrace: 5, MaxPins: 4}
		s, err := NewStore(limits)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{limits: limits}
		genID := rapid.IntRange(1, 40)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				var spans []Span
				for range rapid.IntRange(1, 4).Draw(t, "spans") {
					span := spanOf(genID.Draw(t, "trace"), rapid.IntRange(1, 8).Draw(t, "span"), 0, 0)
					span.StatusMessage = strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 100, 60_000, 140_000}).Draw(t, "size"))
					spans = append(spans, span)
					m.add(span)
				}
				s.Add(spans)
				m.evict()
			},
			"pin": func(t *rapid.T) {
				id := tid(genID.Draw(t, "trace"))
				m.pin(id)
				if got := s.Pin(id); got != (m.find(id) != nil) {
					t.Errorf("Pin says %v", got)
				}
				m.evict()
			},
			"unpin": func(t *rapid.T) {
				id := tid(genID.Draw(t, "trace"))
				s.Unpin(id)
				m.pins = slices.DeleteFunc(m.pins, func(p TraceID) bool { return p == id })
				m.evict()
			},
			"": func(t *rapid.T) { compare(t, s, m) },
		})
	})
}

func compare(t *rapid.T, s *Store, m *model) {
	list := s.List(Filter{Limit: MaxLimit})
	var want []*modelTrace
	for _, tr := range slices.Backward(m.traces) {
		if len(tr.spans) > 0 {
			want = append(want, tr)
		}
	}
	equal := slices.EqualFunc(list, want, func(a Summary, b *modelTrace) bool {
		return a.ID == b.id && a.Spans == len(b.spans) && a.Pinned == slices.Contains(m.pins, b.id)
	})
	if !equal {
		t.Errorf("got %s, want %d traces", ids(list), len(want))
	}
	st := s.Stats()
	if st.Bytes != m.bytes(false) || st.PinnedBytes != m.bytes(true) || st.Traces != int64(len(m.traces)) {
		t.Errorf("stats %+v, want %d bytes, %d pinned, %d traces", st, m.bytes(false), m.bytes(true), len(m.traces))
	}
	if st.Bytes > m.limits.MaxBytes || st.Traces > m.limits.MaxTraces || st.PinnedBytes > m.limits.MaxBytes/2+m.limits.MaxBytes/8 {
		t.Errorf("over the limits: %+v", st)
	}
	if uint64(st.Spans)+st.EvictedSpan != st.Accepted {
		t.Errorf("spans are neither stored nor evicted: %+v", st)
	}
}

// Everything at once, for the race detector; the counts must add up in the end.
func TestConcurrency(t *testing.T) {
	s := newStore(t, Limits{MaxTraces: 50, MaxPins: 5})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 400 {
				trace := i*4 + g
				s.Add([]Span{spanOf(trace, 1, 0, 0), spanOf(trace/2, 2+g, 1, 0), spanOf(trace, 1, 0, 0)})
				switch i % 4 {
				case 0:
					s.Pin(tid(trace))
				case 1:
					s.Unpin(tid(trace - 4))
				case 2:
					for _, found := range s.List(Filter{Limit: 5}) {
						if got, ok := s.Get(found.ID); ok {
							got.Tree()
						}
					}
				}
				s.Stats()
			}
		})
	}
	wg.Wait()
	s.Add([]Span{spanOf(9999, 1, 0, 0)})
	var bytes, spans int64
	for i := range s.shards {
		for _, e := range s.shards[i].traces {
			bytes += e.bytes
			spans += int64(len(e.spans))
		}
	}
	st := s.Stats()
	if st.Bytes != bytes || st.Spans != spans || st.Traces > 50 || uint64(st.Spans)+st.EvictedSpan != st.Accepted {
		t.Errorf("stats %+v, there are %d bytes and %d spans", st, bytes, spans)
	}
}
