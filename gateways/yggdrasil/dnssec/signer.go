package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"pantheon/projections/zone"
)

// KeyFiles gives the private halves of keys; a *keyring.Ring is one.
type KeyFiles interface {
	ZoneKey(apex []byte, tag uint16) (*ecdsa.PrivateKey, error)
}

// Options of a Signer.
type Options struct {
	// Keys is required.
	Keys KeyFiles
	// Signatures is how many the cache holds, rounded up to a power of two.
	// Default: 131,072, at about 450 bytes each.
	Signatures int
	// KeySetTTL is the TTL of the DNSKEY, CDS and CDNSKEY sets. Default: an hour.
	KeySetTTL time.Duration
	// Now is the wall clock. Default: time.Now.
	Now func() time.Time
	// Logger hears of private keys that are missing. Default: slog.Default().
	Logger *slog.Logger
}

// Signer signs. Its methods may be called concurrently.
type Signer struct {
	options Options
	cache   *cache
	made    prometheus.Counter
	failed  prometheus.Counter

	mu      sync.Mutex
	keysets map[string]*keyset // by apex
}

// New makes a Signer; Run keeps its hot names signed.
func New(options Options) (*Signer, error) {
	if options.Keys == nil {
		return nil, errors.New("cannot make the signer: Keys is required")
	}
	if options.Signatures <= 0 {
		options.Signatures = defaultSignatures
	}
	if options.KeySetTTL <= 0 {
		options.KeySetTTL = keySetTTL
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Signer{
		options: options, cache: newCache(options.Signatures), keysets: map[string]*keyset{},
		made: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yggdrasil_dnssec_signatures_total", Help: "Signatures made; answers beyond these came from the cache.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "yggdrasil_dnssec_unsigned_total", Help: "RRsets of signed zones that could not be signed, because a private key is missing.",
		}),
	}, nil
}

// Collectors are the signer's metrics.
func (s *Signer) Collectors() []prometheus.Collector { return []prometheus.Collector{s.made, s.failed} }

// Sign gives the RRSIG set of an RRset, one record for each key that signs it;
// nil where the zone is not signed. The owner is in wire form and lower case;
// of a wildcard expansion it is the wildcard. Neither what is given nor what
// comes back may be changed afterwards.
func (s *Signer) Sign(z *zone.Zone, owner []byte, set *zone.RRset) *zone.RRset {
	keys := z.Keys()
	if len(keys) == 0 {
		return nil
	}
	unix := s.options.Now().Unix()
	hash := s.cache.hash(owner, set.Type)
	window := windowAt(phase(z.Apex()), unix)
	if found := s.cache.get(hash, keys, owner, set, window); found != nil {
		found.use(unix)
		return &found.rrsig
	}
	made := s.sign(s.keyset(z, unix), owner, set, window)
	if made == nil {
		return nil
	}
	made.hash = hash
	made.lastUsedUnix.Store(unix)
	s.cache.put(made)
	return &made.rrsig
}

// SignAt is Sign as of another time, for transfers: the same time gives the
// same octets for ever. What it makes is not kept.
func (s *Signer) SignAt(z *zone.Zone, owner []byte, set *zone.RRset, at time.Time) *zone.RRset {
	keys := z.Keys()
	if len(keys) == 0 {
		return nil
	}
	window := Window(z.Apex(), at)
	hash := s.cache.hash(owner, set.Type)
	if found := s.cache.get(hash, keys, owner, set, window); found != nil && found.window == window {
		return &found.rrsig
	}
	made := s.sign(s.keyset(z, s.options.Now().Unix()), owner, set, window)
	if made == nil {
		return nil
	}
	return &made.rrsig
}

// Keys gives the DNSKEY, CDS and CDNSKEY sets of a zone, at its apex; nil where
// the zone has no keys, and CDS and CDNSKEY also where the parent shall have
// none.
func (s *Signer) Keys(z *zone.Zone) (dnskey, cds, cdnskey *zone.RRset) {
	keys := z.Keys()
	if len(keys) == 0 {
		return nil, nil, nil
	}
	k := s.keyset(z, s.options.Now().Unix())
	if len(k.cds.Data) == 0 {
		return k.dnskey, nil, nil
	}
	return k.dnskey, k.cds, k.cdnskey
}

func (s *Signer) sign(k *keyset, owner []byte, set *zone.RRset, window int64) *signature {
	made := &signature{keys: k, owner: bytes.Clone(owner), source: set, window: window}
	made.rrsig = zone.RRset{Type: dns.TypeRRSIG, TTL: set.TTL}
	for _, key := range k.signers(set.Type) {
		rdata, err := key.rrsig(k.apex, owner, set, window)
		if err != nil {
			s.options.Logger.Error("cannot sign an answer", "zone", text(k.apex), "key", key.tag, "error", err)
			continue
		}
		made.rrsig.Data = append(made.rrsig.Data, rdata)
	}
	s.made.Add(float64(len(made.rrsig.Data)))
	if len(made.rrsig.Data) > 0 {
		return made
	}
	if k.missing != nil {
		s.failed.Inc()
	}
	return nil // also while the zone's first key is not active yet
}

// keyset compiles a zone's keys once. Only what is not cached comes here.
func (s *Signer) keyset(z *zone.Zone, unix int64) *keyset {
	apex, keys := z.Apex(), z.Keys()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keysets[string(apex)]
	if k != nil && k.of(keys) && (k.missing == nil || unix < k.retryUnix) {
		return k
	}
	k = newKeyset(apex, keys, z.Unsigned(), uint32(s.options.KeySetTTL/time.Second), s.options.Keys.ZoneKey)
	if k.missing != nil {
		k.retryUnix = unix + int64(keyRetry/time.Second)
		s.options.Logger.Error("a private key of a zone is missing: validators may reject its answers", "zone", text(apex), "error", k.missing)
	}
	if len(s.keysets) >= maxKeysets {
		for other := range s.keysets { // any: it is read again when it is asked for
			delete(s.keysets, other)
			break
		}
	}
	s.keysets[string(apex)] = k
	return k
}

// text gives a name as people write it.
func text(name []byte) string {
	presentation, _, err := dns.UnpackDomainName(name, 0)
	if err != nil {
		return "?"
	}
	return presentation
}
