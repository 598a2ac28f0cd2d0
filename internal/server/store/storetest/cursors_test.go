package storetest_test

import (
	"testing"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

func TestMemoryCursors(t *testing.T) {
	storetest.RunCursors(t, storetest.CursorBackend{Open: func(*testing.T) control.Cursors { return &storetest.MemoryCursors{} }})
}
