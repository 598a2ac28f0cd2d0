package shop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// kept is an exporter that still has its spans when the services have shut it down.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

// rig runs a shop of single services, any of which a test can replace.
type rig struct {
	spans    *tracetest.InMemoryExporter
	services []*Service
	url      string
}

// starts are the functions that start the services that an order needs.
type starts struct {
	inventory, payment, shipping, notification func(context.Context, Config) (*Service, error)
}

func newRig(t *testing.T, cfg Config, replace func(*starts)) *rig {
	t.Helper()
	t.Setenv("SEATRIAL_SERVER", "")
	r := &rig{spans: tracetest.NewInMemoryExporter()}
	cfg.exporter, cfg.Flush = kept{r.spans}, time.Minute
	with := starts{StartInventory, StartPayment, StartShipping, StartNotification}
	if replace != nil {
		replace(&with)
	}
	needs := Remotes{
		Inventory: r.add(t, with.inventory, cfg), Payment: r.add(t, with.payment, cfg),
		Shipping: r.add(t, with.shipping, cfg), Notification: r.add(t, with.notification, cfg),
	}
	order := r.add(t, func(ctx context.Context, cfg Config) (*Service, error) { return StartOrder(ctx, cfg, needs) }, cfg)
	r.url = r.add(t, func(ctx context.Context, cfg Config) (*Service, error) { return StartStorefront(ctx, cfg, order) }, cfg)
	return r
}

func (r *rig) add(t *testing.T, start func(context.Context, Config) (*Service, error), cfg Config) string {
	t.Helper()
	s, err := start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	r.services = append(r.services, s)
	return s.URL
}

// buy sends one checkout and gives its status and answer.
func (r *rig) buy(t *testing.T, header http.Header, items ...Item) (int, CheckedOut) {
	t.Helper()
	body, err := json.Marshal(Checkout{User: "ada", Groups: []string{"beta-testers"}, Items: items})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/checkout", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out CheckedOut
	if resp.StatusCode < 300 {
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, out
}

// end stops the services, callers first, and gives all spans in order of their start.
func (r *rig) end(t *testing.T) recorded {
	t.Helper()
	for _, s := range slices.Backward(r.services) {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.services = nil
	spans := r.spans.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return recorded(spans)
}

// recorded are spans in order of their start.
type recorded tracetest.SpanStubs

func service(s tracetest.SpanStub) string {
	name, _ := s.Resource.Set().Value("service.name")
	return name.AsString()
}

// outline draws the spans as a tree, one a line: depth as dots, service, kind, and the name of
// the shop's own spans.
func (all recorded) outline() string {
	var b strings.Builder
	var draw func(parent trace.SpanID, depth int)
	draw = func(parent trace.SpanID, depth int) {
		for _, s := range all {
			if s.Parent.SpanID() != parent {
				continue
			}
			name := ""
			if s.InstrumentationScope.Name == instrumentation {
				name = " " + s.Name
			}
			b.WriteString(strings.Repeat(". ", depth) + service(s) + " " + s.SpanKind.String() + name + "\n")
			draw(s.SpanContext.SpanID(), depth+1)
		}
	}
	draw(trace.SpanID{}, 0)
	return b.String()
}

func (all recorded) named(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	i := slices.IndexFunc(all, func(s tracetest.SpanStub) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no span %s in\n%s", name, all.outline())
	}
	return all[i]
}

func attr(s tracetest.SpanStub, key attribute.Key) attribute.Value {
	set := attribute.NewSet(s.Attributes...)
	v, _ := set.Value(key)
	return v
}

func TestOneTraceAcrossSixServices(t *testing.T) {
	r := newRig(t, Config{}, nil)
	status, out := r.buy(t, nil, Item{"ropes-01", 2}, Item{"sails-03", 1})
	if status != http.StatusCreated || !out.Notified || out.TotalCents == 0 || len(out.Recommendations) != recommendations {
		t.Fatalf("status %d, answer %+v; want 201 with a total, a notification and recommendations", status, out)
	}
	spans := r.end(t)
	want := strings.ReplaceAll(strings.TrimPrefix(`
storefront server
. storefront internal Recommend
. storefront client
. . order server
. . . order internal ProcessOrder
. . . . order internal CheckInventory
. . . . . order client
. . . . . . inventory server
. . . . order internal CheckInventory
. . . . . order client
. . . . . . inventory server
. . . . order internal TakePayment
. . . . . order client
. . . . . . payment server
. . . . order internal CreateShipment
. . . . . order client
. . . . . . shipping server
. . . . order internal SendNotification
. . . . . order client
. . . . . . notification server
`, "\n"), "\t", "")
	if got := spans.outline(); got != want {
		t.Errorf("the trace is\n%swant\n%s", got, want)
	}
	for _, s := range spans {
		if s.SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
			t.Errorf("%s of %s is in another trace", s.Name, service(s))
		}
		if s.Status.Code == codes.Error {
			t.Errorf("%s of %s has the status error: %s", s.Name, service(s), s.Status.Description)
		}
		if s.SpanKind == trace.SpanKindServer && attr(s, "user.id").AsString() != "ada" {
			t.Errorf("%s of %s does not know the user", s.Name, service(s))
		}
	}
	order := spans.named(t, "ProcessOrder")
	if attr(order, "order.id").AsString() != out.OrderID || attr(order, "order.total").AsInt64() != out.TotalCents {
		t.Errorf("order span has %v, want order %s over %d", order.Attributes, out.OrderID, out.TotalCents)
	}
	items := map[string]int64{}
	for _, s := range spans {
		if s.Name == "CheckInventory" {
			items[attr(s, "item.id").AsString()] = attr(s, "item.quantity").AsInt64()
		}
	}
	if len(items) != 2 || items["ropes-01"] != 2 || items["sails-03"] != 1 {
		t.Errorf("item spans tell of %v, want 2 ropes-01 and 1 sails-03", items)
	}
}

func TestDeclinedPaymentIsRecorded(t *testing.T) {
	r := newRig(t, Config{}, nil)
	dearest := slices.MaxFunc(Catalogue(), func(a, b Product) int { return cmp.Compare(a.PriceCents, b.PriceCents) })
	var basket []Item
	for range 2 {
		basket = append(basket, Item{dearest.ID, 50})
	}
	if status, _ := r.buy(t, nil, basket...); status != http.StatusPaymentRequired {
		t.Fatalf("status %d, want 402", status)
	}
	spans := r.end(t)
	for _, name := range []string{"TakePayment", "ProcessOrder"} {
		s := spans.named(t, name)
		if s.Status.Code != codes.Error || !strings.Contains(s.Status.Description, errDeclined.Error()) {
			t.Errorf("%s has status %v, want the error that the payment was declined", name, s.Status)
		}
		if !slices.ContainsFunc(s.Events, func(e sdktrace.Event) bool { return e.Name == "exception" }) {
			t.Errorf("%s has events %v, want a recorded error", name, s.Events)
		}
	}
	for _, s := range spans {
		if name := service(s); name == "shipping" || name == "notification" {
			t.Errorf("%s was called for an order that was not paid", name)
		}
	}
}

// broken is a notification service that can send nothing.
func broken(ctx context.Context, cfg Config) (*Service, error) {
	s, _, err := open(ctx, "notification", cfg)
	if err != nil {
		return nil, err
	}
	return s.serving(ctx, s.serveHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fail(w, r, errMail) })))
}

func TestFailedNotificationDoesNotFailTheOrder(t *testing.T) {
	r := newRig(t, Config{}, func(s *starts) { s.notification = broken })
	status, out := r.buy(t, nil, Item{"ropes-01", 1})
	if status != http.StatusCreated || out.Notified || out.Shipment == "" {
		t.Fatalf("status %d, answer %+v; want 201, shipped but not notified", status, out)
	}
	spans := r.end(t)
	if s := spans.named(t, "SendNotification"); s.Status.Code != codes.Error || len(s.Events) == 0 {
		t.Errorf("SendNotification has status %v and events %v, want the error recorded", s.Status, s.Events)
	}
	order := spans.named(t, "ProcessOrder")
	if order.Status.Code == codes.Error {
		t.Errorf("the order has status error: %s", order.Status.Description)
	}
	if !slices.ContainsFunc(order.Events, func(e sdktrace.Event) bool { return e.Name == "notification failed" }) {
		t.Errorf("the order has events %v, want one that the notification failed", order.Events)
	}
}

func TestSampling(t *testing.T) {
	const ids = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
	for _, test := range []struct {
		name   string
		ratio  float64
		header http.Header
		want   int // spans
	}{
		{"all", 1, nil, 17},
		{"none", -1, nil, 0},
		{"the caller records", -1, http.Header{"Traceparent": {ids + "01"}}, 17},
		{"the caller does not", 1, http.Header{"Traceparent": {ids + "00"}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, Config{TraceSampleRatio: test.ratio}, nil)
			if status, _ := r.buy(t, test.header, Item{"ropes-01", 1}); status != http.StatusCreated {
				t.Fatalf("status %d, want 201", status)
			}
			if spans := r.end(t); len(spans) != test.want {
				t.Errorf("%d spans were exported, want %d:\n%s", len(spans), test.want, spans.outline())
			}
		})
	}
}
