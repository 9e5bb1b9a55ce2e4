package fastcgi

import "encoding/binary"

// Record types (specification §8).
const (
	typeBegin  = 1
	typeAbort  = 2
	typeEnd    = 3
	typeParams = 4
	typeStdin  = 5
	typeStdout = 6
	typeStderr = 7
)

const (
	version       = 1
	requestID     = 1 // one request a connection, so always the same
	headerBytes   = 8
	roleResponder = 1
	flagKeepConn  = 1
)

// Statuses of an END_REQUEST record (specification §5.5).
const (
	statusComplete    = 0
	statusCannotMux   = 1
	statusOverloaded  = 2
	statusUnknownRole = 3
)

func appendHeader(b []byte, kind byte, contentBytes, paddingBytes int) []byte {
	b = append(b, version, kind, 0, requestID)
	b = binary.BigEndian.AppendUint16(b, uint16(contentBytes))
	return append(b, byte(paddingBytes), 0)
}

// Params are the parameters of a request in their form on the wire, ready to
// be sent: a BEGIN_REQUEST record and complete PARAMS records. The zero value
// is ready for use; Reset makes it so again and keeps the memory.
//
// php-fpm parses each PARAMS record by itself, so no name-value pair is ever
// split over two records.
type Params struct {
	buf    []byte
	record int // where the open PARAMS record begins in buf
	failed bool
}

// Reset empties the parameters.
func (p *Params) Reset() {
	p.buf = append(p.buf[:0], version, typeBegin, 0, requestID, 0, 8, 0, 0,
		0, roleResponder, flagKeepConn, 0, 0, 0, 0, 0)
	p.failed = false
	p.open()
}

func (p *Params) open() {
	p.record = len(p.buf)
	p.buf = appendHeader(p.buf, typeParams, 0, 0)
}

// Add appends one parameter. A pair that does not fit into a record, or that
// brings the sum over MaxParamsBytes, makes Do fail with ErrParams.
func (p *Params) Add(name, value string) {
	if len(p.buf) == 0 {
		p.Reset()
	}
	size := pairBytes(len(name), len(value))
	if p.failed || size > maxContentBytes || len(p.buf)+size > MaxParamsBytes {
		p.failed = true
		return
	}
	if len(p.buf)-p.record-headerBytes+size > maxContentBytes {
		p.seal()
		p.open()
	}
	p.buf = appendLength(p.buf, len(name))
	p.buf = appendLength(p.buf, len(value))
	p.buf = append(p.buf, name...)
	p.buf = append(p.buf, value...)
}

// seal writes the length of the open record into its header.
func (p *Params) seal() {
	binary.BigEndian.PutUint16(p.buf[p.record+4:], uint16(len(p.buf)-p.record-headerBytes))
}

// wire gives the records and the empty PARAMS record that ends them, with room
// behind for the caller to append to. It may be called again for a second try.
func (p *Params) wire() ([]byte, error) {
	if len(p.buf) == 0 {
		p.Reset()
	}
	if p.failed {
		return nil, ErrParams
	}
	p.seal()
	end := len(p.buf)
	if end == p.record+headerBytes {
		end = p.record // nothing was added: the empty record below is all
	}
	wire := appendHeader(p.buf[:end], typeParams, 0, 0)
	p.buf = wire[:len(p.buf)]
	return wire, nil
}

// pairBytes is the size of a name-value pair on the wire (specification §3.4).
func pairBytes(name, value int) int {
	size := 2 + name + value
	if name > 127 {
		size += 3
	}
	if value > 127 {
		size += 3
	}
	return size
}

func appendLength(b []byte, n int) []byte {
	if n > 127 {
		return binary.BigEndian.AppendUint32(b, uint32(n)|1<<31)
	}
	return append(b, byte(n))
}
