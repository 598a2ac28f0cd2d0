package seatrialsql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"

	"github.com/seatrial/seatrial"
)

// Open gives a database whose connections come from connector and are those of the named
// dependency; see [seatrial.Client.Dependency] for where its policy and its faults come from.
func Open(connector driver.Connector, c *seatrial.Client, dependency string, options ...Option) *sql.DB {
	return sql.OpenDB(WrapConnector(connector, c, dependency, options...))
}

// WrapConnector gives a connector whose connections are those of connector, as connections to the
// named dependency, for [sql.OpenDB]. Its Driver method gives the driver of connector.
func WrapConnector(connector driver.Connector, c *seatrial.Client, dependency string, options ...Option) driver.Connector {
	return &wrapped{connector, newSource(connector.Driver(), c, dependency, options)}
}

// WrapDriver gives a driver whose connections are those of d, as connections to the named
// dependency, for [sql.Register].
func WrapDriver(d driver.Driver, c *seatrial.Client, dependency string, options ...Option) driver.Driver {
	return &wrappedDriver{d, newSource(d, c, dependency, options)}
}

// Underlying gives the driver's own connection for one that [sql.Conn.Raw] gives, and anything else
// as it is. What is done with it directly has no span, no policy and no faults.
func Underlying(conn any) any {
	if w, ok := conn.(interface{ underlying() driver.Conn }); ok {
		return w.underlying()
	}
	return conn
}

// wrapped is a connector around another.
type wrapped struct {
	driver.Connector
	source *source
}

var _ io.Closer = (*wrapped)(nil)

// Connect makes a connection, under the policy.
func (w *wrapped) Connect(ctx context.Context) (driver.Conn, error) {
	return w.source.connect(ctx, w.Connector.Connect)
}

// Close closes the connector under it, if that can be closed.
func (w *wrapped) Close() error {
	if c, ok := w.Connector.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// wrappedDriver is a driver around another.
type wrappedDriver struct {
	driver.Driver
	source *source
}

var _ driver.DriverContext = (*wrappedDriver)(nil)

// Open makes a connection, under the policy.
func (d *wrappedDriver) Open(name string) (driver.Conn, error) {
	c, err := d.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

// OpenConnector gives the connector of the driver under it, or what stands for one.
func (d *wrappedDriver) OpenConnector(name string) (driver.Connector, error) {
	with, ok := d.Driver.(driver.DriverContext)
	if !ok {
		return &wrapped{named{d.Driver, name}, d.source}, nil
	}
	c, err := with.OpenConnector(name)
	if err != nil {
		return nil, err
	}
	return &wrapped{c, d.source}, nil
}

// named is the connector of a driver that has none.
type named struct {
	driver driver.Driver
	name   string
}

func (n named) Connect(context.Context) (driver.Conn, error) { return n.driver.Open(n.name) }
func (n named) Driver() driver.Driver                        { return n.driver }
