package auth

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// What one address may try: a burst of wrong secrets, then one now and then.
const (
	failureBurst = 10
	failureEvery = 6 * time.Second
	maxAddresses = 10_000
	maxGood      = 10_000
	maxRepeated  = 8
)

// limiter slows down the guessing of secrets. Only different wrong secrets count: a program that
// keeps offering one outdated key uses up nothing. Secrets that were right before pass whatever
// the address has done, so that a guesser behind a shared proxy locks nobody out.
type limiter struct {
	mu        sync.Mutex
	addresses map[string]*failures
	good      map[digest]struct{}
	refused   uint64
}

// failures are what one address did wrong.
type failures struct {
	spent  int // of failureBurst
	since  time.Time
	recent []digest // of wrong secrets, newest last
}

// refill gives back what time has earned.
func (f *failures) refill(now time.Time) {
	earned := int(now.Sub(f.since) / failureEvery)
	if earned <= 0 {
		return
	}
	f.spent = max(0, f.spent-earned)
	f.since = f.since.Add(time.Duration(earned) * failureEvery)
	if f.spent == 0 {
		f.since = now
	}
}

// blocked tells how long the address must wait before it may offer this secret; 0: now.
func (l *limiter) blocked(address string, d digest, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.addresses[address]
	if f == nil {
		return 0
	}
	if _, known := l.good[d]; known {
		return 0
	}
	f.refill(now)
	if f.spent < failureBurst || slices.Contains(f.recent, d) {
		return 0
	}
	l.refused++
	return f.since.Add(failureEvery).Sub(now)
}

func (l *limiter) failed(address string, d digest, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.good, d)
	f := l.addresses[address]
	if f == nil {
		if l.addresses == nil {
			l.addresses = map[string]*failures{}
		}
		if len(l.addresses) >= maxAddresses {
			l.forgetOne()
		}
		f = &failures{since: now}
		l.addresses[address] = f
	}
	f.refill(now)
	if slices.Contains(f.recent, d) {
		return
	}
	f.spent++
	if len(f.recent) >= maxRepeated {
		f.recent = f.recent[1:]
	}
	f.recent = append(f.recent, d)
}

// forgetOne makes room: of a few addresses the one that did least goes.
func (l *limiter) forgetOne() {
	victim, least, looked := "", failureBurst+1, 0
	for address, f := range l.addresses {
		if f.spent < least {
			victim, least = address, f.spent
		}
		if looked++; looked == 16 {
			break
		}
	}
	delete(l.addresses, victim)
}

func (l *limiter) succeeded(d digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.good[d]; known {
		return
	}
	if l.good == nil || len(l.good) >= maxGood {
		l.good = map[digest]struct{}{}
	}
	l.good[d] = struct{}{}
}

func (l *limiter) refusals() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// addressOf gives whom failures are booked on: the IPv4 address, or the /64 network, which is
// what one IPv6 customer has.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}
