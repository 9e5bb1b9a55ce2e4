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
