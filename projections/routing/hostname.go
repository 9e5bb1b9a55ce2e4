package routing

import (
	"strings"
	"unsafe"
)

// maxHostBytes bounds a host name (RFC 1035 §2.3.4: 253 in text form).
const maxHostBytes = 253

// hostName takes port and final dot off; false for what can be no name.
func hostName(hostport string) (string, bool) {
	text := hostport
	if i := strings.LastIndexByte(text, ':'); i >= 0 && strings.IndexByte(text, ']') < i {
		text = text[:i]
	}
	text = strings.TrimSuffix(text, ".")
	return text, text != "" && len(text) <= maxHostBytes
}

func isLower(text string) bool {
	for i := range len(text) {
		if c := text[i]; 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// lookupFolded is Lookup for a name with capitals, folded on the stack: the
// string below lives no longer than the call, so nobody sees it change.
func (s State) lookupFolded(text string) (*Route, bool) {
	var buf [maxHostBytes]byte
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	n, known := s.names.Get(unsafe.String(&buf[0], len(text)))
	if !known {
		return nil, false
	}
	return n.route, true
}
