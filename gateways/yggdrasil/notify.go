package yggdrasil

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"pantheon/gateways/yggdrasil/tsig"
	"pantheon/gateways/yggdrasil/wire"
	"pantheon/projections/zone"
)

// notice is a secondary that has yet to hear of a zone's serial.
type notice struct {
	apex    string // wire form
	address netip.AddrPort
	key     string // the TSIG key's name; empty for none
}

// noticed is what a notice was last seen with.
type noticed struct {
	serial uint32
	// told is the serial that the secondary has acknowledged or that was given
	// up; on its way while sending.
	told    uint32
	ever    bool
	sending bool
}

// notifier tells secondaries of new serials (RFC 1996). Its fields belong to the
// goroutine of run, but results, which senders write to.
type notifier struct {
	server  *Server
	all     map[notice]*noticed
	results chan result
	sending int
	senders sync.WaitGroup
}

type result struct {
	notice notice
	serial uint32
	ok     bool
}

// notify runs until ctx ends. After a start every secondary is told once: what
// it has missed meanwhile is not known.
func (s *Server) notify(ctx context.Context) {
	n := &notifier{server: s, all: make(map[notice]*noticed), results: make(chan result, maxNotifying)}
	defer n.senders.Wait()
	changed := make(chan struct{}, 1)
	n.senders.Go(func() { s.watch(ctx, changed) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	pending := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if !pending {
				timer.Reset(notifyInterval)
				pending = true
			}
		case <-timer.C:
			pending = false
			n.look()
			n.start(ctx)
		case r := <-n.results:
			n.finished(r)
			n.start(ctx)
		}
	}
}

// watch tells when the zones may have changed.
func (s *Server) watch(ctx context.Context, changed chan<- struct{}) {
	position := s.options.Source.Position()
	for {
		if err := s.options.Source.Wait(ctx, position+1); err != nil {
			return // the server's end, or the view's: it will not change any more
		}
		position = s.options.Source.Position()
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// look compares the zones with what the secondaries were told.
func (n *notifier) look() {
	seen := make(map[notice]bool)
	for z := range n.server.options.Source.Zones().All() {
		for _, secondary := range z.Secondaries() {
			address, ok := addressOf(secondary.Address)
			if !ok || !secondary.Notify {
				continue
			}
			key := ""
			if secondary.TSIGKey != "" {
				key = keyName(secondary.TSIGKey)
			}
			notice := notice{string(z.Apex()), address, key}
			seen[notice] = true
			known := n.all[notice]
			if known == nil {
				if len(n.all) >= maxNotifyPending {
					n.server.options.Logger.Error("a secondary is not notified: there are too many", "zone", z.Name(), "address", address)
					continue
				}
				known = &noticed{}
				n.all[notice] = known
			}
			known.serial = z.Serial()
		}
	}
	for notice, known := range n.all {
		if !seen[notice] && !known.sending {
			delete(n.all, notice)
		}
	}
}

// start sends to those who have not heard, as many at once as allowed.
func (n *notifier) start(ctx context.Context) {
	for notice, known := range n.all {
		if n.sending >= maxNotifying {
			return
		}
		if known.sending || known.ever && known.told == known.serial {
			continue
		}
		known.sending = true
		n.sending++
		serial := known.serial
		n.senders.Go(func() { n.results <- result{notice, serial, n.server.tell(ctx, notice)} })
	}
}

func (n *notifier) finished(r result) {
	n.sending--
	known := n.all[r.notice]
	known.sending, known.ever, known.told = false, true, r.serial
	outcome := "acknowledged"
	if !r.ok {
		outcome = "given_up"
		n.server.options.Logger.Warn("a secondary does not answer NOTIFY", "zone", string(wire.AppendName(nil, []byte(r.notice.apex))), "address", r.notice.address)
	}
	n.server.metrics.notifies.WithLabelValues(outcome).Inc()
}

// tell sends NOTIFY until it is acknowledged (RFC 1996 §3.6).
func (s *Server) tell(ctx context.Context, to notice) bool {
	wait := s.options.NotifyTimeout
	for range notifyTries {
		if s.tellOnce(ctx, to, wait) {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		wait *= 2
	}
	return false
}

// tellOnce sends one NOTIFY with the newest SOA and waits for the answer.
func (s *Server) tellOnce(ctx context.Context, to notice, wait time.Duration) bool {
	z := s.options.Source.Zones().Zone([]byte(to.apex))
	if z == nil {
		return true // gone: there is nothing to tell
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", to.address.String())
	if err != nil {
		<-ctx.Done() // no route now: the next try waits as after silence
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	message, session := s.notification(z, to)
	if _, err := conn.Write(message); err != nil || !acknowledged(conn, message, session) {
		<-ctx.Done() // also where the network says that nobody listens just now
		return false
	}
	return true
}

// notification is the NOTIFY for a zone as it is now (RFC 1996 §3.7).
func (s *Server) notification(z *zone.Zone, to notice) ([]byte, *tsig.Session) {
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand.Read's contract
	var b wire.Builder
	b.BeginQuestion(nil, wire.MaxUDPBytes, z.Apex(), wire.TypeSOA, wire.ClassIN)
	soa := soaOf(z, z.Serial())
	b.Record(wire.Answer, soa.owner, soa.set.Type, soa.set.TTL, soa.data) // a hint: it may be left out
	message := b.Finish(wire.Header{ID: binary.BigEndian.Uint16(id[:]), Opcode: wire.OpcodeNotify, AA: true})
	if to.key == "" {
		return message, nil
	}
	key, known := s.key(to.key)
	name, valid := wire.ParseName(to.key)
	session, supported := tsig.Request(name, key)
	if !known || !valid || !supported {
		s.options.Logger.Error("NOTIFY is not signed: the key is not here", "key", to.key)
		return message, nil
	}
	return session.Sign(message, uint64(time.Now().Unix())), session
}

// acknowledged waits for the answer to a NOTIFY. Others are passed over: the
// socket is connected, so they come from the same address.
func acknowledged(conn net.Conn, sent []byte, session *tsig.Session) bool {
	var buffer [MaxQueryBytes]byte
	for {
		n, err := conn.Read(buffer[:])
		if err != nil {
			return false
		}
		answer := buffer[:n]
		if n < wire.HeaderBytes || answer[0] != sent[0] || answer[1] != sent[1] ||
			answer[2]&0xf8 != 0x80|wire.OpcodeNotify<<3 || answer[3]&0xf != byte(wire.NoError) {
			continue
		}
		if session == nil || signed(answer, session) {
			return true
		}
	}
}

// signed checks the signature of an answer to a NOTIFY.
func signed(answer []byte, session *tsig.Session) bool {
	at := wire.LastRecord(answer)
	if at == 0 {
		return false
	}
	record, ok := tsig.Parse(answer[at:])
	return ok && session.Accept(answer[:at], record, uint64(time.Now().Unix()))
}
