// Package freeport finds ports for servers that tests start as other processes, which cannot be handed a
// listener.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports lie below those that systems give to whoever asks for any (from 32768 on Linux), so that
// nobody else is given one before its server listens. Processes start at different places.
const (
	lowest = 15_000
	places = 14_000
	tries  = 1_000
)

var last atomic.Int32

func init() { last.Store(lowest + rand.Int32N(places)) }

// Address gives an address of the loopback, with a port that nobody listens on and that this process
// has not got before; an error if none of the next thousand is free. It is safe for concurrent use.
func Address() (string, error) {
	for range tries {
		address := fmt.Sprint("127.0.0.1:", last.Add(1))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no port of the loopback is free")
}
