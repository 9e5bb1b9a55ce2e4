package mux

import (
	"encoding/binary"

	"pantheon/events/problem"
)

type kind byte

// The kinds of frames, and the flags beside them.
const (
	kindOpen kind = iota + 1
	kindHead
	kindData
	kindReset
	kindWindow
	kindPing
	kindPong
	kindAway

	flagEnd   = 0x80 // the sender's half of the stream is complete
	flagFlush = 0x40 // what was sent so far shall not wait for more
	kindMask  = 0x3f
)

// maxPayload is the table of what a frame may hold.
var maxPayload = [...]uint32{
	kindOpen: MaxHeadBytes, kindHead: MaxHeadBytes, kindData: MaxDataBytes, kindReset: maxResetBytes,
	kindWindow: 4, kindPing: 8, kindPong: 8, kindAway: 0,
}

type header struct {
	kind   kind
	flags  byte
	length uint32
	stream uint32
}

// parseHeader reads the first headerBytes of b.
func parseHeader(b []byte) (header, error) {
	h := header{
		kind: kind(b[0] & kindMask), flags: b[0] &^ kindMask,
		length: binary.BigEndian.Uint32(b) & 0xffffff, stream: binary.BigEndian.Uint32(b[4:]),
	}
	switch {
	case h.kind == 0 || int(h.kind) >= len(maxPayload):
		return h, broken("a frame of kind %d", h.kind)
	case h.length > maxPayload[h.kind]:
		return h, broken("a frame of kind %d with %d bytes", h.kind, h.length)
	case (h.stream == 0) != (h.kind >= kindPing):
		return h, broken("a frame of kind %d on stream %d", h.kind, h.stream)
	}
	return h, nil
}

func appendFrame(b []byte, k kind, flags byte, stream uint32, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(k)<<24|uint32(flags)<<24|uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

func broken(format string, args ...any) error {
	return problem.New(problem.Invalid, "the other end broke the protocol: "+format, args...)
}

// The reason of a reset is kind, text
// and hint of an error, each after its length in two bytes.

func appendReason(b []byte, err error) []byte {
	text := err.Error()
	for _, part := range [...]string{problem.KindOf(err).String(), text, problem.HintOf(err)} {
		part = part[:min(len(part), (maxResetBytes-64)/2)]
		b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
		b = append(b, part...)
	}
	return b
}

// parseReason gives the error of a reset. Whatever the bytes are, it gives one.
func parseReason(b []byte) *problem.Error {
	var parts [3]string
	for i := range parts {
		if len(b) < 2 {
			break
		}
		n := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if n > len(b) {
			break
		}
		parts[i], b = string(b[:n]), b[n:]
	}
	if parts[1] == "" {
		parts[1] = "the other end gave up"
	}
	return &problem.Error{Kind: problem.ParseKind(parts[0]), Text: parts[1], Hint: parts[2]}
}
