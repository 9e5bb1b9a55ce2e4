package dnssec

import (
	"context"
	"time"

	"github.com/miekg/dns"

	"pantheon/events"
	"pantheon/projections/zone"
)

// Zones is the view of the zones; a *projections.View is one.
type Zones interface {
	Load() (*zone.State, events.Position)
	Wait(ctx context.Context, position events.Position) error
}

// Run keeps the names that were asked for lately signed, until ctx ends: when
// their records or keys have changed, and before their window ends.
func (s *Signer) Run(ctx context.Context, zones Zones) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		state, position := zones.Load()
		s.Warm(state)
		changed, cancel := context.WithTimeout(ctx, sweepEvery)
		err := zones.Wait(changed, position+1)
		late := changed.Err() != nil
		cancel()
		if err != nil && !late {
			return err // the view has ended
		}
		pause.Reset(sweepPause)
	}
}

// Warm makes the signatures that hot names will need, and gives their number.
func (s *Signer) Warm(state *zone.State) int {
	now := s.options.Now()
	unix := now.Unix()
	warmed := 0
	for old := range s.cache.all() {
		if unix-old.lastUsedUnix.Load() > int64(hotFor/time.Second) {
			continue
		}
		z := state.Zone(old.keys.apex)
		if z == nil || len(z.Keys()) == 0 {
			continue
		}
		set := s.current(z, old)
		window := windowAt(phase(z.Apex()), unix+int64(presignBefore/time.Second))
		if set == nil || (old.window >= window && old.keys.of(z.Keys()) && sameRecords(old.source, set)) {
			continue
		}
		made := s.sign(s.keyset(z, unix), old.owner, set, window)
		if made == nil {
			continue
		}
		made.hash = old.hash
		made.lastUsedUnix.Store(old.lastUsedUnix.Load())
		s.cache.put(made)
		warmed++
	}
	return warmed
}

// current gives what the zone has today where the signature was made; nil for
// nothing.
func (s *Signer) current(z *zone.Zone, old *signature) *zone.RRset {
	dnskey, cds, cdnskey := s.Keys(z)
	switch old.source.Type {
	case dns.TypeDNSKEY:
		return dnskey
	case dns.TypeCDS:
		return cds
	case dns.TypeCDNSKEY:
		return cdnskey
	case dns.TypeNSEC:
		return old.source // the server made it; if it is stale, nobody asks for it again
	}
	node := z.Lookup(old.owner).Node
	if node == nil {
		return nil
	}
	return node.RRset(old.source.Type)
}
