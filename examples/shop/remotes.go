package shop

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/examples/shop/inventorypb"
	"github.com/seatrial/seatrial/seatrialgrpc"
	"github.com/seatrial/seatrial/seatrialhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Remotes says where the services are that an order needs.
type Remotes struct {
	Inventory                       string // host:port, gRPC
	Payment, Shipping, Notification string // URLs
}

// network is remotes over the network.
type network struct {
	at                              Remotes
	inventory                       inventorypb.InventoryClient
	payment, shipping, notification *http.Client
}

var _ remotes = (*network)(nil)

// dial makes the clients of the services that s calls. Nothing is connected yet.
func (s *Service) dial(at Remotes) (*network, error) {
	conn, err := grpc.NewClient(at.Inventory,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(seatrialgrpc.UnaryClientInterceptor(s.client, "inventory",
			seatrialgrpc.WithTracerProvider(s.traces), seatrialgrpc.WithPropagator(propagators))))
	if err != nil {
		return nil, err
	}
	n := &network{
		at: at, inventory: inventorypb.NewInventoryClient(conn),
		payment: s.caller("payment"), shipping: s.caller("shipping"), notification: s.caller("notification"),
	}
	s.stops = append(s.stops, func(context.Context) error { return conn.Close() })
	return n, nil
}

// caller gives an HTTP client for one dependency: traced, under the dependency's policy, and
// with its fault point.
func (s *Service) caller(dependency string) *http.Client {
	base := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second} // sooner than the services
	s.stops = append(s.stops, func(context.Context) error { base.CloseIdleConnections(); return nil })
	return &http.Client{
		Transport: seatrialhttp.NewTransport(s.client, dependency, seatrialhttp.WithBase(base),
			seatrialhttp.WithTracerProvider(s.traces), seatrialhttp.WithPropagator(propagators)),
		Timeout: 5 * time.Second,
	}
}

func (n *network) check(ctx context.Context, item Item) (int64, error) {
	stock, err := n.inventory.Check(ctx, &inventorypb.CheckRequest{ItemId: item.ID, Quantity: int32(item.Quantity)})
	switch {
	case status.Code(err) == codes.NotFound:
		return 0, errUnknownItem
	case err != nil:
		return 0, err
	case !stock.GetAvailable():
		return 0, errOutOfStock
	}
	return stock.GetUnitPriceCents(), nil
}

func (n *network) charge(ctx context.Context, c Charge, express bool) (string, error) {
	path := "/charges"
	if express {
		path = "/express-charges"
	}
	var payment Payment
	err := post(ctx, n.payment, n.at.Payment+path, c.OrderID, c, &payment)
	if remote, ok := answered(err); ok && remote.status == http.StatusPaymentRequired {
		return "", fmt.Errorf("%w: %s", errDeclined, remote.detail)
	}
	return payment.ID, err
}

func (n *network) ship(ctx context.Context, o Order) (string, error) {
	var label Label
	err := post(ctx, n.shipping, n.at.Shipping+"/shipments", o.ID, Shipment{OrderID: o.ID, Items: o.Items}, &label)
	return label.ID, err
}

func (n *network) notify(ctx context.Context, o Order, total int64) error {
	message := Message{OrderID: o.ID, UserID: o.User.ID, Cents: total}
	return post(ctx, n.notification, n.at.Notification+"/messages", o.ID, message, nil)
}
