package notify

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// guard keeps users from making the server call its own network: webhooks name any host, and what
// a name stands for may change between a check and the call. So the address is checked when the
// connection is made, after every resolution, where nothing comes between.
type guard struct{ allow []netip.Prefix }

// refused are the addresses that are not for everybody: the special-purpose registries of IANA
// (RFC 6890) as far as they are not global, multicast, and where clouds keep metadata.
var refused = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared (carrier-grade NAT)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's metadata"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local (metadata)"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "for protocols"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/96"), "unspecified, loopback or IPv4-compatible"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a local NAT64"},
	{netip.MustParsePrefix("100::/64"), "discarded"},
	{netip.MustParsePrefix("2001::/23"), "for protocols (Teredo)"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("5f00::/16"), "for segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// nat64 is how networks without IPv4 reach it (RFC 6052); the address is in the last four bytes.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// check refuses an address that is not on the internet, unless it is allowed. An IPv4 address that
// hides in an IPv6 one is judged as what it is.
func (g guard) check(ip netip.Addr) error {
	ip = ip.WithZone("").Unmap()
	if !ip.IsValid() {
		return fmt.Errorf("the address is not one of IP")
	}
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, allowed := range g.allow {
		if allowed.Contains(ip) {
			return nil
		}
	}
	for _, r := range refused {
		if r.prefix.Contains(ip) {
			return fmt.Errorf("address %s is %s, not on the internet: the operator can allow it with --webhook-allow %s",
				ip, r.what, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	return nil
}

// control is called for every connection, with the address that it is made to.
func (g guard) control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("network %s is not TCP", network)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q cannot be judged: %w", address, err)
	}
	return g.check(to.Addr())
}

// dialTimeout is for the connection alone.
const dialTimeout = 5 * time.Second

func (g guard) dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: -1, Control: g.control}
}
