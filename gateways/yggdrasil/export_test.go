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
}

// NewResponder gives a worker's responder.
func (s *Server) NewResponder() *Responder {
	r := s.NewForgetfulResponder()
	r.r.memories = newMemories(1)
	return r
}

// NewForgetfulResponder gives one that makes every answer from the zone.
func (s *Server) NewForgetfulResponder() *Responder {
	return &Responder{newResponder(s, newCounts(), nsecSlots), make([]byte, batch.OutBytes)}
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

// Forgetful gives options with which every answer is made from the zone.
func Forgetful(options Options) Options {
	options.forgetful = true
	return options
}

// Recalled counts the answers that came from memory.
func (r *Responder) Recalled() uint64 { return r.r.memories.recalled }
