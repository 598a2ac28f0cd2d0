package notify

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
)

func TestWhichAddressesAreRefused(t *testing.T) {
	allowing := guard{allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}}
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700::1111": true, "172.15.0.1": true, "172.32.0.1": true, "100.63.255.255": true, "100.128.0.1": true,
		"64:ff9b::8.8.8.8": true, "::ffff:8.8.8.8": true, "223.255.255.255": true, "192.167.1.1": true, "11.0.0.1": true, "126.255.255.255": true,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "64:ff9b::10.1.2.3": true, "fd12::1": true, // allowed

		"127.0.0.1": false, "127.255.255.254": false, "::1": false, "0.0.0.0": false, "::": false, "0.1.2.3": false,
		"10.0.0.1": false, "10.2.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false, "fd00::1": false, "fc00::1": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fd00:ec2::254": false, "168.63.129.16": false,
		"100.64.0.1": false, "100.100.100.200": false, "100.127.255.255": false,
		"224.0.0.1": false, "239.255.255.255": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, "64:ff9b::127.0.0.1": false, "64:ff9b::a9fe:a9fe": false,
		"64:ff9b:1::8.8.8.8": false, "2002:7f00:1::": false, "2001:0:1::1": false, "192.0.0.192": false, "198.18.0.1": false,
		"192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false, "2001:db8::1": false, "100::1": false,
	} {
		if err := allowing.check(netip.MustParseAddr(address)); (err == nil) != want {
			t.Errorf("%s: allowed %v, want %v (%v)", address, err == nil, want, err)
		}
	}
	for _, bad := range [][2]string{{"udp4", "8.8.8.8:53"}, {"unix", "/run/x"}, {"tcp4", "nonsense"}, {"tcp4", ""}} {
		if allowing.control(bad[0], bad[1], nil) == nil {
			t.Errorf("%v is called", bad)
		}
	}
}

// receiver listens on an address of this machine.
func receiver(t *testing.T, address string, handle http.HandlerFunc) (port string) {
	t.Helper()
	ln, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Skipf("wants to listen on %s: %v", address, err)
	}
	server := httptest.NewUnstartedServer(handle)
	_ = server.Listener.Close()
	server.Listener = ln
	server.Start()
	t.Cleanup(server.Close)
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

// only gives a notifier that may call one address, by the real network, and names resolved by answers.
func only(t *testing.T, address string, resolver *net.Resolver) *Notifier {
	t.Helper()
	dialer := guard{allow: []netip.Prefix{netip.MustParsePrefix(address + "/32")}}.dialer()
	dialer.Resolver = resolver
	n := New(Config{Environment: "test", dial: dialer.DialContext})
	t.Cleanup(n.client.CloseIdleConnections)
	return n
}

func targetOf(url string) *control.WebhookTarget {
	return &control.WebhookTarget{Address: control.Hidden(url), Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
}

// A name stands for an allowed address first and for a forbidden one afterwards, as in an attack by
// DNS rebinding: what the first answer was does not matter.
func TestRebindingOfANameIsSeen(t *testing.T) {
	var inside atomic.Int32
	port := receiver(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { inside.Add(1) })
	ln, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skipf("wants a second loopback address: %v", err)
	}
	var outside atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		outside.Add(1)
		w.Header().Set("Connection", "close")
	})}
	go server.Serve(ln)
	defer server.Close()

	var answer atomic.Value
	answer.Store("127.0.0.2")
	n := only(t, "127.0.0.2", &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return fakeDNS(func() netip.Addr { return netip.MustParseAddr(answer.Load().(string)) }), nil
	}})
	w := targetOf("http://hooks.rebind.test:" + port + "/")
	if a := n.send(t.Context(), w, "evt_1", []byte("{}")); a.err != nil || a.status != 200 {
		t.Fatalf("the allowed address: %+v", a)
	}
	answer.Store("127.0.0.1")
	if a := n.send(t.Context(), w, "evt_1", []byte("{}")); a.err == nil || !strings.Contains(a.err.Error(), "not on the internet") {
		t.Errorf("after the rebinding: %+v", a)
	}
	if inside.Load() != 0 || outside.Load() != 1 {
		t.Errorf("%d requests inside, %d outside", inside.Load(), outside.Load())
	}
}

// fakeDNS is a connection to a name server that answers every question for an IPv4 address (RFC
// 1035, in the form for TCP: each message behind its length).
func fakeDNS(address func() netip.Addr) net.Conn {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for {
			var length [2]byte
			if _, err := io.ReadFull(far, length[:]); err != nil {
				return
			}
			question := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(far, question); err != nil {
				return
			}
			end := 12
			for question[end] != 0 {
				end += int(question[end]) + 1
			}
			end += 5 // the root, type and class
			reply := append([]byte(nil), question[:end]...)
			binary.BigEndian.PutUint16(reply[2:], 0x8180)
			copy(reply[6:12], make([]byte, 6))
			if binary.BigEndian.Uint16(question[end-4:]) == 1 { // A
				reply[7] = 1
				ip := address().As4()
				reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				reply = append(reply, ip[:]...)
			}
			binary.BigEndian.PutUint16(length[:], uint16(len(reply)))
			if _, err := far.Write(append(length[:], reply...)); err != nil {
				return
			}
		}
	}()
	return near
}

func TestRedirectsAndProxiesAreNotFollowed(t *testing.T) {
	var strayed atomic.Int32
	stray := receiver(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { strayed.Add(1) })
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:"+stray)
	t.Setenv("http_proxy", "http://127.0.0.1:"+stray)
	port := receiver(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:"+stray+"/", http.StatusTemporaryRedirect)
	})
	a := only(t, "127.0.0.1", nil).send(t.Context(), targetOf("http://127.0.0.1:"+port+"/x?key=s3cr3t"), "evt_1", []byte("{}"))
	if a.status != 307 || a.err == nil || !a.final() || strayed.Load() != 0 {
		t.Errorf("%+v, %d requests elsewhere", a, strayed.Load())
	}
}

func TestAnAnswerWithoutEndIsNotRead(t *testing.T) {
	var written atomic.Int64
	port := receiver(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		for range 100_000 {
			n, err := w.Write(make([]byte, 1024))
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	})
	n := only(t, "127.0.0.1", nil)
	if a := n.send(t.Context(), targetOf("http://127.0.0.1:"+port+"/"), "evt_1", []byte("{}")); a.err != nil || len(a.excerpt) > maxExcerpt {
		t.Errorf("%+v", a)
	}
	if read := written.Load(); read > 20<<20 {
		t.Errorf("%d bytes were taken", read)
	}
}

func TestErrorsDoNotShowTheURL(t *testing.T) {
	n := only(t, "127.0.0.1", nil)
	for _, url := range []string{"http://127.0.0.1:1/s3cr3t", "http://127.0.0.9:1/s3cr3t", "http://%zz/s3cr3t", "https://127.0.0.1:1/?k=s3cr3t"} {
		a := n.send(t.Context(), targetOf(url), "evt_1", nil)
		if a.err == nil || strings.Contains(a.err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", url, a.err)
		}
	}
	if err := plainly(context.DeadlineExceeded); !strings.Contains(err.Error(), "10s") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "x": 0, "1e9": 0, "99999999999": 0,
		"Mon, 02 Nov 2026 09:01:00 GMT": time.Minute, "Mon, 02 Nov 2026 08:01:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
