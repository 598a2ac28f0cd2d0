package shop

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/examples/shop/inventorypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// inventory is the inventory service. Everybody's order needs it.
type inventory struct {
	inventorypb.UnimplementedInventoryServer
	chance *chance
	prices map[string]int64
	// incidentEnds, if in the future, makes calls fail for every user alike.
	incidentEnds atomic.Pointer[time.Time]
}

var _ inventorypb.InventoryServer = (*inventory)(nil)

func newInventory(c *chance, products []Product) *inventory {
	s := &inventory{chance: c, prices: make(map[string]int64, len(products))}
	for _, p := range products {
		s.prices[p.ID] = p.PriceCents
	}
	return s
}

// Check implements the contract in inventory.proto.
func (s *inventory) Check(ctx context.Context, r *inventorypb.CheckRequest) (*inventorypb.CheckResponse, error) {
	if r.GetQuantity() < 1 {
		return nil, status.Error(codes.InvalidArgument, "quantity: must be at least 1")
	}
	price, ok := s.prices[r.GetItemId()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "item %q: not in the catalogue", r.GetItemId())
	}
	if err := s.chance.work(ctx, 500*time.Microsecond, 4*time.Millisecond); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if s.inIncident() && s.chance.hits(incidentFailure) {
		return nil, status.Error(codes.Unavailable, "the warehouse database is failing over: try again")
	}
	return &inventorypb.CheckResponse{Available: r.GetQuantity() <= 50, UnitPriceCents: price}, nil
}
