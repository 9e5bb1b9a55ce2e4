package yggdrasil

import (
	"net/netip"
	"time"

	"pantheon/gateways/yggdrasil/batch"
)

// Responder answers packets without a socket.
type Responder struct {
	r      *responder
	buffer []byte
	batch  [batch.Size]ahead
}

// NewResponder gives a worker's responder.
func (s *Server) NewResponder() *Responder {
	r := s.NewForgetfulResponder()
	r.r.memories = newMemories(1)
	return r
}

// NewForgetfulResponder gives one that makes every answer from the zone.
func (s *Server) NewForgetfulResponder() *Responder {
	return &Responder{r: newResponder(s, newCounts(), nsecSlots), buffer: make([]byte, batch.OutBytes)}
}

// Respond answers as a UDP worker does; nil for silence.
func (r *Responder) Respond(packet []byte, client netip.Addr, tcp bool, now time.Time) []byte {
	answer := r.r.respond(packet, r.buffer[:0], client, tcp, now)
	if answer == nil {
		return nil
	}
	if !tcp {
		answer = r.r.limit(answer)
	}
	r.r.count()
	return answer
}

// RespondAll answers a batch as a UDP worker does; each answer is lost with the
// next.
func (r *Responder) RespondAll(packets [][]byte, client netip.Addr, now time.Time, each func(i int, answer []byte)) {
	for i, packet := range packets {
		r.batch[i].packet, r.batch[i].cut = packet, false
	}
	r.r.lookAhead(r.batch[:len(packets)])
	for i, packet := range packets {
		r.r.ahead = &r.batch[i]
		each(i, r.Respond(packet, client, false, now))
	}
	r.r.ahead = nil
}

// Forgetful gives options with which every answer is made from the zone.
func Forgetful(options Options) Options {
	options.forgetful = true
	return options
}

// Recalled counts the answers that came from memory.
func (r *Responder) Recalled() uint64 { return r.r.memories.recalled }
