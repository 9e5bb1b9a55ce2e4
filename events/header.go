package events

import (
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// fastHeader reads a header exactly as Encode writes it, without escapes, in a
// third of the time that a reader of any JSON needs; replaying the log is
// mostly this. It gives false for anything else, which says nothing: the
// general reader then decides. Both give the same for what both take
// (FuzzHeader).
func fastHeader(line []byte) (header, bool) {
	var head header
	// One string for all fields. A reader that keeps one for long clones it.
	s := headerScanner{rest: string(line)}
	if !utf8.Valid(line) || !s.literal(`{"format":`) {
		return head, false
	}
	head.Format = int(s.number())
	s.need(`,"stream":"`)
	head.Stream = s.text()
	s.need(`,"revision":`)
	head.Revision = Revision(s.number())
	s.need(`,"previous":"`)
	head.Previous = s.text()
	s.need(`,"command":"`)
	head.Command = CommandID(s.text())
	s.need(`,"principal":"`)
	head.Principal = s.text()
	if s.literal(`,"gateway":"`) {
		head.Gateway = s.text()
	}
	if s.literal(`,"address":"`) {
		head.Address = s.text()
	}
	if s.literal(`,"cause":`) {
		head.Cause = Position(s.number())
	}
	s.need(`,"time":"`)
	at := s.text()
	s.need(`}`)
	if s.failed || s.rest != "" || !isUTC(at) {
		return head, false
	}
	return head, head.Time.UnmarshalText([]byte(at)) == nil
}

// isUTC says whether a text has the places of "2006-01-02T15:04:05Z", with or
// without a fraction: the package time takes more than RFC 3339 allows.
func isUTC(s string) bool {
	return len(s) >= 20 && s[10] == 'T' && s[13] == ':' && s[16] == ':' &&
		(len(s) == 20 || s[19] == '.') && s[len(s)-1] == 'Z'
}

// headerScanner takes one piece after the other; after the first that does not
// fit it has failed.
type headerScanner struct {
	rest   string
	failed bool
}

func (s *headerScanner) literal(text string) bool {
	if len(s.rest) < len(text) || s.rest[:len(text)] != text {
		return false
	}
	s.rest = s.rest[len(text):]
	return true
}

func (s *headerScanner) need(text string) {
	if !s.literal(text) {
		s.failed = true
	}
}

// text takes up to the closing quote, which must come before any escape or
// control character.
func (s *headerScanner) text() string {
	for i := range len(s.rest) {
		switch c := s.rest[i]; {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text
		case c == '\\' || c < ' ':
			s.failed = true
			return ""
		}
	}
	s.failed = true
	return ""
}

// number takes digits without a leading zero.
func (s *headerScanner) number() uint64 {
	end := 0
	for end < len(s.rest) && '0' <= s.rest[end] && s.rest[end] <= '9' {
		end++
	}
	number, err := strconv.ParseUint(s.rest[:end], 10, 63)
	if err != nil || end > 1 && s.rest[0] == '0' {
		s.failed = true
	}
	s.rest = s.rest[end:]
	return number
}

// previousHash reads the hash of the commit before; false for what is none.
func previousHash(text string) (hash Hash, ok bool) {
	if len(text) != 2*len(hash) {
		return hash, false
	}
	var digits [2 * len(hash)]byte
	copy(digits[:], text)
	_, err := hex.Decode(hash[:], digits[:])
	return hash, err == nil
}
