package api

import (
	"net/netip"
	"sync"
	"time"
)

// failures counts failed logins by address, in windows of a minute.
type failures struct {
	mutex sync.Mutex
	since map[netip.Prefix]window
}

type window struct {
	start time.Time
	count int
}

// blocked says whether the address has used up its failures.
func (f *failures) blocked(address netip.Addr, now time.Time) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	w, known := f.since[network(address)]
	return known && now.Sub(w.start) < time.Minute && w.count >= failuresPerMinute
}

// add counts one failure.
func (f *failures) add(address netip.Addr, now time.Time) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	key := network(address)
	w, known := f.since[key]
	if !known && len(f.since) >= maxFailingAddresses {
		f.forgetOldest()
	}
	if now.Sub(w.start) >= time.Minute {
		w = window{start: now}
	}
	w.count++
	if f.since == nil {
		f.since = make(map[netip.Prefix]window)
	}
	f.since[key] = w
}

func (f *failures) forgetOldest() {
	var oldest netip.Prefix
	var start time.Time
	for key, w := range f.since {
		if start.IsZero() || w.start.Before(start) {
			oldest, start = key, w.start
		}
	}
	delete(f.since, oldest)
}

// network is what one attacker has: an IPv4 address, or the /64 that an IPv6
// host chooses from at will (RFC 4291 §2.5.1).
func network(address netip.Addr) netip.Prefix {
	address = address.Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // a Unix socket: all of its clients count as one
	}
	return prefix
}
