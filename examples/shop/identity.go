package shop

import (
	"context"
	"net/http"
	"strings"

	"github.com/seatrial/seatrial"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

// User is who a request is for.
type User struct {
	// ID is the targeting key: every service gives this user the same variants.
	ID string `json:"id"`
	// Groups are the user's groups, such as "beta-testers"; segments go by them.
	Groups []string `json:"groups,omitempty"`
}

// Baggage members that carry the user from service to service.
const (
	baggageUser   = "user.id"
	baggageGroups = "user.groups"
)

// withUser makes u the user of ctx: as evaluation context here, and as W3C baggage for every
// service that is called from here. A user that baggage cannot carry is still evaluated here.
func withUser(ctx context.Context, u User) context.Context {
	ctx = seatrial.WithContext(ctx, seatrial.NewContext(u.ID).With("groups", u.Groups))
	bag := baggage.FromContext(ctx)
	for key, value := range map[string]string{baggageUser: u.ID, baggageGroups: strings.Join(u.Groups, ",")} {
		member, err := baggage.NewMemberRaw(key, value)
		if err != nil {
			continue
		}
		if next, err := bag.SetMember(member); err == nil {
			bag = next
		}
	}
	return baggage.ContextWithBaggage(ctx, bag)
}

// userOf reads the user from the baggage of ctx. The zero User means nobody said.
func userOf(ctx context.Context) User {
	bag := baggage.FromContext(ctx)
	u := User{ID: bag.Member(baggageUser).Value()}
	if groups := bag.Member(baggageGroups).Value(); groups != "" {
		u.Groups = strings.Split(groups, ",")
	}
	return u
}

// recognise builds the evaluation context of an incoming call from its baggage and notes the
// user on the span.
func recognise(ctx context.Context) context.Context {
	u := userOf(ctx)
	if u.ID == "" {
		return ctx
	}
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("user.id", u.ID))
	return withUser(ctx, u)
}

// recognised is recognise for a route of an HTTP service.
func recognised(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next(w, r.WithContext(recognise(r.Context())))
	})
}

// recogniseUnary is recognise for a gRPC service.
func recogniseUnary(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	return next(recognise(ctx), in)
}
