package seatrial

import "github.com/seatrial/seatrial/fault"

// Point gives the point of faults with that name, always the same one for a name, to be used in
// code that is no call to a [Dependency]: around a handler, a query, a message. It is subject to the
// chaos experiments that name it. Names are fixed in the code and few. Without [WithFaults] it is
// nil, which is a point that changes nothing.
func (c *Client) Point(name string) *fault.Point {
	if c == nil || c.config.faults == nil {
		return nil
	}
	return c.Dependency(name).point
}

// Point gives the point where faults are injected into calls to the dependency, for adapters that
// carry faults out themselves; nil, which is a point that changes nothing, if faults are not
// allowed. [Dependency.Do] passes it already, [Run] does not.
func (d *Dependency) Point() *fault.Point {
	if d == nil {
		return nil
	}
	return d.point
}
