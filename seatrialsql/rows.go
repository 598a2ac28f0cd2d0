package seatrialsql

import (
	"database/sql/driver"
	"io"
	"reflect"

	"github.com/seatrial/seatrial/fault"
	"github.com/seatrial/seatrial/internal/messages"
)

// rows are rows around those of the driver. Where the driver lacks an optional interface, they say
// what package sql would assume then.
type rows struct {
	inner driver.Rows
	lease *lease // of the context that the driver was given
	flow  messages.Flow
}

var (
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

func (r *rows) keep(s *fault.Strike) { r.flow.Strike = s }

// Columns gives the names of the columns.
func (r *rows) Columns() []string { return r.inner.Columns() }

// Close closes the driver's rows.
func (r *rows) Close() error {
	defer r.flow.Strike.End()
	defer r.lease.release()
	return r.inner.Close()
}

// Next reads a row.
func (r *rows) Next(dest []driver.Value) error {
	if err := r.inner.Next(dest); err != nil || r.flow.Strike == nil {
		return err
	}
	return r.flow.Pass(r.lease.ctx, size(dest))
}

// size is about what a row takes on the wire.
func size(row []driver.Value) (n int) {
	for _, v := range row {
		switch v := v.(type) {
		case []byte:
			n += len(v)
		case string:
			n += len(v)
		default:
			n += 8
		}
	}
	return n
}

// HasNextResultSet tells whether there are more rows of another kind.
func (r *rows) HasNextResultSet() bool {
	next, ok := r.inner.(driver.RowsNextResultSet)
	return ok && next.HasNextResultSet()
}

// NextResultSet goes on to them.
func (r *rows) NextResultSet() error {
	if next, ok := r.inner.(driver.RowsNextResultSet); ok {
		return next.NextResultSet()
	}
	return io.EOF
}

// ColumnTypeScanType gives the type to scan into.
func (r *rows) ColumnTypeScanType(index int) reflect.Type {
	if column, ok := r.inner.(driver.RowsColumnTypeScanType); ok {
		return column.ColumnTypeScanType(index)
	}
	return reflect.TypeFor[any]()
}

// ColumnTypeDatabaseTypeName gives the database's name of the type.
func (r *rows) ColumnTypeDatabaseTypeName(index int) string {
	if column, ok := r.inner.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return column.ColumnTypeDatabaseTypeName(index)
	}
	return ""
}

// ColumnTypeLength gives the length of a type of variable length.
func (r *rows) ColumnTypeLength(index int) (length int64, ok bool) {
	if column, ok := r.inner.(driver.RowsColumnTypeLength); ok {
		return column.ColumnTypeLength(index)
	}
	return 0, false
}

// ColumnTypeNullable tells whether the column may be null.
func (r *rows) ColumnTypeNullable(index int) (nullable, ok bool) {
	if column, ok := r.inner.(driver.RowsColumnTypeNullable); ok {
		return column.ColumnTypeNullable(index)
	}
	return false, false
}

// ColumnTypePrecisionScale gives the precision and the scale of a decimal type.
func (r *rows) ColumnTypePrecisionScale(index int) (precision, scale int64, ok bool) {
	if column, ok := r.inner.(driver.RowsColumnTypePrecisionScale); ok {
		return column.ColumnTypePrecisionScale(index)
	}
	return 0, 0, false
}
