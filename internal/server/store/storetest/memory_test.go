package storetest_test

import (
	"testing"

	"github.com/seatrial/seatrial/internal/server/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Backend{
		Open:   func(*testing.T) storetest.Store { return storetest.NewMemory() },
		Reopen: func(_ *testing.T, s storetest.Store) storetest.Store { return s.(*storetest.Memory).Reopen() },
	})
}
