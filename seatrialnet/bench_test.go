package seatrialnet

import (
	"net"
	"testing"

	"github.com/seatrial/seatrial/fault"
)

// null is a connection that costs nothing.
type null struct{ net.Conn }

func (null) Read(b []byte) (int, error)  { return len(b), nil }
func (null) Write(b []byte) (int, error) { return len(b), nil }

func TestC11ConnectionsAllocateNothingWhileOff(t *testing.T) {
	b := make([]byte, 100)
	for name, p := range map[string]*fault.Point{"off": fault.NewPoint("db", fault.Caps{}), "armed, decided against": armed(fault.Fault{})} {
		c := Conn(null{}, p)
		_, _ = c.Read(b)
		if got := testing.AllocsPerRun(1000, func() { _, _ = c.Read(b); _, _ = c.Write(b) }); got > 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
}

func BenchmarkConn(b *testing.B) {
	buf := make([]byte, 100)
	for name, c := range map[string]net.Conn{"floor": null{}, "off": Conn(null{}, fault.NewPoint("db", fault.Caps{})), "corrupt": Conn(null{}, armed(fault.Fault{Kind: fault.KindCorrupt, Share: 0.001}))} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Read(buf)
			}
		})
	}
}
