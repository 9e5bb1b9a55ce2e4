package yggdrasil

import (
	"net/netip"
	"runtime/debug"
	"time"

	"pantheon/gateways/yggdrasil/cookie"
	"pantheon/gateways/yggdrasil/tsig"
	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// category of an answer: what the rate limiter counts as equal.
type category uint8

const (
	limitedAnswer   category = iota // by name
	limitedNoData                   // by zone
	limitedNoName                   // by zone
	limitedReferral                 // by delegated name
	limitedError                    // all of a network together
)

// responder answers one query after the other. It belongs to one goroutine at a
// time; its buffers are used again.
type responder struct {
	server  *Server
	counts  *counts     // of this worker
	query   *wire.Query // parsed, or one that was read ahead
	parsed  wire.Query
	ahead   *ahead // of this query; nil for none
	builder wire.Builder
	header  wire.Header
	extra   wire.Extra
	cookies [cookie.ClientBytes + cookie.ServerBytes]byte
	state   cookie.State

	client netip.Addr
	tcp    bool
	now    time.Time

	zones     *zone.State
	zone      *zone.Zone // nil where none is asked for
	signed    bool       // the client wants signatures and the zone has them
	truncated bool
	alone     bool          // the answer has the records of the name asked for and nothing else
	session   *tsig.Session // nil where the query is not signed
	key       string        // the TSIG key's name, if the query is signed well

	category category
	limited  []byte // the name that the category counts by
	skipped  uint32 // answers over the rate limit

	targets [2][wire.MaxNameBytes]byte // of this step of a chain and the one before
	chain   [MaxChain]*zone.Node       // the nodes whose CNAME was followed
	glue    [wire.MaxNameBytes]byte
	wild    [wire.MaxNameBytes + 2]byte
	denials [maxDenials]*zone.Node
	denied  int
	nsecs   []nsecSlot // a power of two of them

	memories *memories // nil for none
	read     uint32    // of what was fetched ahead; means nothing

	// transfer is what to send instead of the answer: see transfer.go.
	transfer *transfer
}

func newResponder(s *Server, c *counts, slots int) *responder {
	return &responder{server: s, counts: c, nsecs: make([]nsecSlot, slots)}
}

// respond gives the answer to a packet, written into a buffer with room for the
// largest one and wire.SlackBytes; nil for silence.
func (r *responder) respond(packet, buffer []byte, client netip.Addr, tcp bool, now time.Time) (answer []byte) {
	defer func() {
		if caught := recover(); caught != nil {
			r.panicked(caught)
			r.session, r.transfer = nil, nil
			r.begin(buffer)
			answer = r.refuse(serverFailure)
		}
	}()
	r.client, r.tcp, r.now = client, tcp, now
	r.zone, r.signed, r.truncated, r.alone, r.session, r.key, r.transfer = nil, false, false, false, nil, "", nil
	r.category, r.limited, r.denied = limitedError, nil, 0
	fault := r.parse(packet)
	if fault == wire.Silent {
		return nil
	}
	r.begin(buffer)
	switch fault {
	case wire.Malformed:
		return r.refuse(formatError)
	case wire.UnknownOpcode:
		return r.refuse(notImplemented)
	case wire.UnknownVersion: // RFC 6891 §6.1.3
		return r.refuse(unknownVersion)
	case wire.Sound, wire.Silent:
	}
	if r.query.TSIG != nil {
		if rcode := r.verify(packet); rcode != wire.NoError {
			return r.refuse(refusal{rcode: rcode})
		}
	}
	return r.dispatch()
}

func (r *responder) panicked(caught any) {
	r.server.options.Logger.Error("internal error: a query panicked", "panic", caught, "stack", string(debug.Stack()))
	r.server.metrics.panics.Inc()
}

// parse reads the packet, unless that was done ahead.
func (r *responder) parse(packet []byte) wire.Fault {
	if r.ahead != nil && r.ahead.ready {
		r.query = &r.ahead.query
		return r.ahead.fault
	}
	r.query = &r.parsed
	return r.query.Parse(packet)
}

// begin starts the answer.
func (r *responder) begin(buffer []byte) {
	q := r.query
	r.header = wire.Header{ID: q.ID, Opcode: q.Opcode, QR: true, RD: q.RD}
	limit := wire.MaxMessageBytes
	if !r.tcp {
		limit = int(min(MaxUDPBytes, q.UDPSize))
	}
	r.builder.Begin(buffer, limit, q)
	if !q.EDNS {
		return
	}
	r.extra = wire.Extra{UDPSize: MaxUDPBytes, DO: q.DO}
	r.state = cookie.None
	if q.Cookie != nil {
		r.bake()
	}
	if q.NSID && r.server.options.Identity != "" {
		r.extra.NSID = r.server.identity
	}
	if q.Keepalive && r.tcp { // RFC 7828 §3.3.2: never over UDP
		r.extra.Keepalive = true
		r.extra.Timeout = uint16(min(r.server.options.Idle/(100*time.Millisecond), 0xffff))
	}
	r.builder.Reserve(r.extra.Bytes())
}

// bake checks the client's cookie and makes the answer's (RFC 7873 §5.2).
func (r *responder) bake() {
	at, sent := uint32(r.now.Unix()), r.query.Cookie
	r.state = r.server.jar.Check(sent, r.client, at)
	if r.state == cookie.Valid && !cookie.Renew(sent, at) {
		r.extra.Cookie = sent
		return
	}
	r.extra.Cookie = r.server.jar.Append(r.cookies[:0], sent, r.client, at)
}

// verify checks the query's signature (RFC 8945 §5.2).
func (r *responder) verify(packet []byte) wire.Rcode {
	record, ok := tsig.Parse(r.query.TSIG)
	if !ok {
		return wire.FormErr
	}
	name := string(wire.AppendName(nil, record.Name))
	key, known := r.server.key(name)
	session, rcode := tsig.Verify(packet[:r.query.TSIGOffset], record, key, known, uint64(r.now.Unix()))
	r.session = session
	r.builder.Reserve(tsig.MaxBytes)
	if rcode == wire.NoError {
		r.key = name
	}
	return rcode
}

// dispatch goes by opcode, class and type to who answers.
func (r *responder) dispatch() []byte {
	q := r.query
	switch {
	case q.Opcode == wire.OpcodeUpdate: // RFC 2136
		return r.refuse(refusedUpdate)
	case q.Opcode == wire.OpcodeNotify: // RFC 1996 §3.10: we are nobody's secondary
		return r.refuse(refusedNotify)
	case len(q.Question) == 0: // RFC 7873 §5.4: asked for a cookie
		return r.finish(wire.NoError)
	case q.Class == wire.ClassCH:
		return r.chaos()
	case q.Class != wire.ClassIN:
		return r.refuse(refusedClass)
	}
	if wire.IsMeta(q.Type) || q.Type == wire.TypeOPT {
		switch q.Type {
		case wire.TypeANY:
		case wire.TypeAXFR, wire.TypeIXFR:
			return r.beginTransfer()
		case wire.TypeOPT, wire.TypeTSIG, wire.TypeNXNAME: // RFC 9824 §3.4
			return r.refuse(formatError)
		default:
			return r.refuse(notImplemented)
		}
	}
	if refused, ok := r.choose(); !ok {
		return r.refuse(refused)
	}
	m := r.memory()
	if m == nil {
		return r.finish(r.resolve())
	}
	rcode, known := r.recall(m)
	if !known {
		rcode = r.resolve()
		r.remember(m, rcode)
	}
	return r.finish(rcode)
}

// choose finds the zone that the question belongs to.
func (r *responder) choose() (refusal, bool) {
	r.zones = r.server.options.Source.Zones()
	name := r.query.Name()
	z := r.zones.Find(name)
	if z != nil && r.query.Type == wire.TypeDS && len(name) == len(z.Apex()) && len(name) > 1 {
		// RFC 4035 §3.1.4.1: a DS lies above the cut.
		if parent := r.zones.Find(name[1+int(name[0]):]); parent != nil && r.admits(parent) {
			z = parent
		}
	}
	if z == nil {
		return refusedForeign, false
	}
	if !r.admits(z) {
		return refusedInternal, false
	}
	r.zone = z
	if r.query.DO && r.server.options.Signer != nil {
		dnskey, _, _ := r.server.options.Signer.Keys(z)
		r.signed = dnskey != nil
	}
	return refusal{}, true
}

// admits says whether the client may see a zone.
func (r *responder) admits(z *zone.Zone) bool {
	return !z.Internal() || contains(r.server.options.InternalNetworks, r.client)
}

func contains(networks []netip.Prefix, address netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(address) {
			return true
		}
	}
	return false
}

// refuse answers without records.
func (r *responder) refuse(why refusal) []byte {
	r.header.AA = false
	r.truncated = false
	if why.hasMore && r.query.EDNS {
		r.extra.HasEDE, r.extra.EDE, r.extra.EDEText = true, why.extended, why.text
	}
	return r.finish(why.rcode)
}

// finish writes what follows the sections, and the header.
func (r *responder) finish(rcode wire.Rcode) []byte {
	r.header.TC = r.truncated
	r.header.Rcode = rcode
	if r.query.EDNS {
		r.builder.OPT(rcode, &r.extra)
	}
	answer := r.builder.Finish(r.header)
	if r.session != nil {
		answer = r.session.Sign(answer, uint64(r.now.Unix()))
	}
	return answer
}

// limit passes an answer on, cuts it short, or drops it (nil), as the rate of
// equal answers to the client's network says.
func (r *responder) limit(answer []byte) []byte {
	s := r.server
	if s.rates == nil || answer == nil || r.state == cookie.Valid && r.query.EDNS || r.key != "" || contains(s.options.RateExempt, r.client) {
		return answer
	}
	if s.rates.Allow(s.rates.Key(r.client, uint8(r.category), r.limited), r.now) {
		return answer
	}
	r.skipped++
	if r.skipped%slip != 0 {
		r.counts.dropped.Add(1)
		return nil
	}
	r.counts.slipped.Add(1)
	buffer := answer[:0]
	r.session = nil
	r.begin(buffer)
	if r.extra.Cookie != nil && r.query.EDNS { // RFC 7873 §5.2.3
		return r.refuse(cookieIsRequired)
	}
	r.truncated = true
	return r.finish(wire.NoError)
}
