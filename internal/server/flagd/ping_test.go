package flagd_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Frames of HTTP/2 (RFC 9113, section 6).
const (
	framePing   = 6
	frameGoAway = 7
	flagAck     = 1
)

// TestPingsAreAnswered sends many pings over a connection without streams, as stock Go clients do
// every 30 s. The server must answer them all and not send the client away.
func TestPingsAreAnswered(t *testing.T) {
	r := newRig(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	const pings = 1000
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // preface, empty settings
	for range pings {
		out = append(out, "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"...)
	}
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	header := make([]byte, 9)
	for answered := 0; answered < pings; {
		if _, err := io.ReadFull(conn, header); err != nil {
			t.Fatalf("after %d answers: %v", answered, err)
		}
		length := int64(binary.BigEndian.Uint32(header) >> 8)
		if _, err := io.CopyN(io.Discard, conn, length); err != nil {
			t.Fatal(err)
		}
		switch kind, flags := header[3], header[4]; {
		case kind == frameGoAway:
			t.Fatalf("sent away after %d answers", answered)
		case kind == framePing && flags&flagAck != 0:
			answered++
		}
	}
}
