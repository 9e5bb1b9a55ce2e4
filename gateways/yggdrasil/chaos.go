package yggdrasil

import (
	"pantheon/gateways/yggdrasil/wire"
)

// chaos answers what servers are asked about themselves (RFC 4892), if the
// operator wants that told.
func (r *responder) chaos() []byte {
	text := ""
	switch string(r.query.Name()) {
	case "\x07version\x04bind\x00", "\x07version\x06server\x00":
		text = r.server.options.Version
	case "\x08hostname\x04bind\x00", "\x02id\x06server\x00":
		text = r.server.options.Identity
	}
	if text == "" || r.query.Type != wire.TypeTXT && r.query.Type != wire.TypeANY {
		return r.refuse(refusedClass)
	}
	r.header.AA = true
	if !r.builder.ChaosText(text) {
		r.truncated = true
	}
	return r.finish(wire.NoError)
}
