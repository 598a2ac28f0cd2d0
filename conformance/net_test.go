package conformance

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/seatrialnet"
	"golang.org/x/net/nettest"
)

// TestConnIsAConn holds connections with faults, and with none, to what golang.org/x/net expects of every net.Conn: deadlines
// in the past and future, reads and writes at once, closing under them. Faults that spoil or end what is sent are left out:
// a connection that does so is not what it expects.
func TestConnIsAConn(t *testing.T) {
	for name, program := range map[string]*fault.Program{
		"off":       nil,
		"latency":   {Rate: 1, Faults: []fault.Fault{{Kind: fault.KindLatency, Min: 1, Max: 200 * time.Microsecond}}},
		"bandwidth": {Rate: 1, Faults: []fault.Fault{{Kind: fault.KindBandwidth, BytesPerSecond: 1 << 30}}},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) { return connected(program) })
		})
	}
}

// connected gives both ends of a TCP connection, the first of which meets the program.
func connected(program *fault.Program) (near, far net.Conn, stop func(), err error) {
	listener, err := nettest.NewLocalListener("tcp")
	if err != nil {
		return nil, nil, nil, err
	}
	point := fault.NewPoint("wire", fault.Caps{})
	lease := fault.NewLease(0)
	if program != nil {
		point.Arm(fault.SourceFunc(func(context.Context) (*fault.Program, fault.Assignment) {
			return program, fault.Assignment{Experiment: "nettest"}
		}), lease)
	}
	dialer := seatrialnet.Dialer{Point: point}
	if near, err = dialer.DialContext(context.Background(), "tcp", listener.Addr().String()); err != nil {
		return nil, nil, nil, err
	}
	if far, err = listener.Accept(); err != nil {
		return nil, nil, nil, err
	}
	return near, far, func() { lease.End(); _, _, _ = near.Close(), far.Close(), listener.Close() }, nil
}
