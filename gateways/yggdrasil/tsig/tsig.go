package tsig

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"strings"

	"pantheon/gateways/yggdrasil/wire"
)

const (
	// FudgeSeconds is how far clocks may differ (RFC 8945 §10).
	FudgeSeconds = 300
	// MaxBytes is the most that a TSIG record of ours takes: two names, a MAC of
	// 64 octets, the time of BADTIME.
	MaxBytes = 2*wire.MaxNameBytes + 10 + 16 + 64 + 6
)

// Key is a shared secret and the algorithm it is for.
type Key struct {
	// Algorithm is the text of the algorithm's name: "hmac-sha256".
	Algorithm string
	Secret    []byte
}

// newHash knows the algorithms of RFC 8945 §6, but MD5's and the truncated ones;
// nil for any other.
func newHash(algorithm string) func() hash.Hash {
	switch algorithm {
	case "hmac-sha1":
		return sha1.New
	case "hmac-sha224":
		return sha256.New224
	case "hmac-sha256":
		return sha256.New
	case "hmac-sha384":
		return sha512.New384
	case "hmac-sha512":
		return sha512.New
	}
	return nil
}

// Supported says that there is an algorithm of this name.
func Supported(algorithm string) bool { return newHash(algorithm) != nil }

// Record is a parsed TSIG record.
type Record struct {
	Name       []byte // of the key, in lower case
	Algorithm  []byte // in lower case, wire form
	Time       uint64 // seconds since 1970, 48 bits
	Fudge      uint16
	MAC        []byte
	OriginalID uint16
	Error      wire.Rcode
	Other      []byte
}

// Parse reads the TSIG record that a query ends with.
func Parse(record []byte) (r Record, ok bool) {
	n := wire.NameBytes(record)
	if n == 0 || len(record) < n+10 || binary.BigEndian.Uint16(record[n:]) != wire.TypeTSIG {
		return r, false
	}
	if binary.BigEndian.Uint16(record[n+2:]) != wire.ClassANY || binary.BigEndian.Uint32(record[n+4:]) != 0 {
		return r, false
	}
	r.Name = lower(record[:n])
	data := record[n+10:]
	a := wire.NameBytes(data)
	if a == 0 || len(data) < a+10 {
		return r, false
	}
	r.Algorithm = lower(data[:a])
	data = data[a:]
	r.Time = uint64(binary.BigEndian.Uint16(data))<<32 | uint64(binary.BigEndian.Uint32(data[2:]))
	r.Fudge = binary.BigEndian.Uint16(data[6:])
	size := int(binary.BigEndian.Uint16(data[8:]))
	data = data[10:]
	if len(data) < size+6 {
		return r, false
	}
	r.MAC = data[:size]
	data = data[size:]
	r.OriginalID = binary.BigEndian.Uint16(data)
	r.Error = wire.Rcode(binary.BigEndian.Uint16(data[2:]))
	r.Other = data[6:]
	return r, len(r.Other) == int(binary.BigEndian.Uint16(data[4:]))
}

// lower gives a name in lower case: its ASCII letters, whatever else is in it.
func lower(name []byte) []byte {
	lowered := make([]byte, len(name))
	wire.CopyLower(lowered, name)
	return lowered
}

// Session is an exchange of messages under one key.
type Session struct {
	name, algorithm []byte
	key             Key
	mac             []byte // of the message before
	signed          int    // answers so far
	// Error is what the answers say; a BadKey or BadSig leaves them unsigned.
	Error wire.Rcode
	time  uint64 // the request's, for BADTIME
}

// Verify checks a request: message up to its TSIG record, and the record. found
// says whether the key exists. now is in Unix seconds. The session can sign the
// answer, also one that says what is wrong (RFC 8945 §5.2).
func Verify(message []byte, r Record, key Key, found bool, now uint64) (*Session, wire.Rcode) {
	s := &Session{name: r.Name, algorithm: r.Algorithm, key: key, mac: r.MAC, time: r.Time}
	algorithm := strings.TrimSuffix(string(wire.AppendName(nil, r.Algorithm)), ".")
	digest := newHash(key.Algorithm)
	if !found || digest == nil || algorithm != key.Algorithm {
		s.Error = wire.BadKey
		return s, wire.NotAuth
	}
	h := hmac.New(digest, key.Secret)
	if size := len(r.MAC); size > h.Size() || size < max(10, h.Size()/2) { // §5.2.2.1
		return nil, wire.FormErr
	}
	var header [wire.HeaderBytes]byte
	copy(header[:], message)
	binary.BigEndian.PutUint16(header[:], r.OriginalID)
	binary.BigEndian.PutUint16(header[10:], binary.BigEndian.Uint16(header[10:])-1)
	h.Write(header[:])
	h.Write(message[wire.HeaderBytes:])
	h.Write(variables(r))
	want := h.Sum(nil)
	switch {
	case !hmac.Equal(want[:len(r.MAC)], r.MAC):
		s.Error = wire.BadSig
		return s, wire.NotAuth
	case len(r.MAC) < len(want): // §5.2.2.1: our policy takes none
		s.Error = wire.BadTrunc
		return s, wire.NotAuth
	case now > r.Time+uint64(r.Fudge) || now+uint64(r.Fudge) < r.Time:
		s.Error = wire.BadTime
		return s, wire.NotAuth
	}
	return s, wire.NoError
}

// variables are the fields of the record that are signed (RFC 8945 §4.3.3).
func variables(r Record) []byte {
	b := append([]byte(nil), r.Name...)
	b = append(b, 0, 255, 0, 0, 0, 0) // class ANY, TTL 0
	b = append(b, r.Algorithm...)
	b = appendTimers(b, r.Time, r.Fudge)
	b = binary.BigEndian.AppendUint16(b, uint16(r.Error))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Other)))
	return append(b, r.Other...)
}

func appendTimers(b []byte, at uint64, fudge uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(at>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(at))
	return binary.BigEndian.AppendUint16(b, fudge)
}

// Sign appends the record to a finished answer, for which MaxBytes are free.
// The first answer is signed with the request's MAC, each further one with that
// of the one before (RFC 8945 §5.3.1).
func (s *Session) Sign(message []byte, now uint64) []byte {
	r := Record{
		Name: s.name, Algorithm: s.algorithm, Time: now, Fudge: FudgeSeconds,
		OriginalID: binary.BigEndian.Uint16(message), Error: s.Error,
	}
	if s.Error == wire.BadTime { // §5.2.3
		r.Time = s.time
		r.Other = binary.BigEndian.AppendUint16(nil, uint16(now>>32))
		r.Other = binary.BigEndian.AppendUint32(r.Other, uint32(now))
	}
	if s.Error != wire.BadKey && s.Error != wire.BadSig {
		h := hmac.New(newHash(s.key.Algorithm), s.key.Secret)
		if s.mac != nil {
			h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s.mac))))
			h.Write(s.mac)
		}
		h.Write(message)
		if s.signed == 0 {
			h.Write(variables(r))
		} else {
			h.Write(appendTimers(nil, r.Time, r.Fudge))
		}
		r.MAC = h.Sum(nil)
		s.mac = r.MAC
		s.signed++
	}
	return appendRecord(message, r)
}

func appendRecord(message []byte, r Record) []byte {
	b := append(message, r.Name...)
	b = append(b, 0, byte(wire.TypeTSIG), 0, byte(wire.ClassANY), 0, 0, 0, 0)
	size := len(r.Algorithm) + 16 + len(r.MAC) + len(r.Other)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, r.Algorithm...)
	b = appendTimers(b, r.Time, r.Fudge)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.MAC)))
	b = append(b, r.MAC...)
	b = binary.BigEndian.AppendUint16(b, r.OriginalID)
	b = binary.BigEndian.AppendUint16(b, uint16(r.Error))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Other)))
	b = append(b, r.Other...)
	binary.BigEndian.PutUint16(b[10:], binary.BigEndian.Uint16(b[10:])+1)
	return b
}

// Request begins a session of a request of ours under a key of a name in wire
// form; the algorithm must be supported. Its first Sign is the request's.
func Request(name []byte, key Key) (*Session, bool) {
	algorithm, ok := wire.ParseName(key.Algorithm)
	return &Session{name: name, algorithm: algorithm, key: key}, ok && Supported(key.Algorithm)
}

// Accept checks the answer to the request that the session has signed: message
// up to its TSIG record, and the record.
func (s *Session) Accept(message []byte, r Record, now uint64) bool {
	if string(r.Name) != string(s.name) || string(r.Algorithm) != string(s.algorithm) || r.Error != wire.NoError {
		return false
	}
	h := hmac.New(newHash(s.key.Algorithm), s.key.Secret)
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s.mac))))
	h.Write(s.mac)
	var header [wire.HeaderBytes]byte
	copy(header[:], message)
	binary.BigEndian.PutUint16(header[:], r.OriginalID)
	binary.BigEndian.PutUint16(header[10:], binary.BigEndian.Uint16(header[10:])-1)
	h.Write(header[:])
	h.Write(message[wire.HeaderBytes:])
	h.Write(variables(r))
	return hmac.Equal(h.Sum(nil), r.MAC) && now <= r.Time+uint64(r.Fudge) && now+uint64(r.Fudge) >= r.Time
}
