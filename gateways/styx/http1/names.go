package http1

import "net/textproto"

// The fields that mean something to the server itself, as canonical names.
const (
	fieldConnection       = "Connection"
	fieldContentEncoding  = "Content-Encoding"
	fieldContentLength    = "Content-Length"
	fieldContentType      = "Content-Type"
	fieldDate             = "Date"
	fieldExpect           = "Expect"
	fieldHost             = "Host"
	fieldTrailer          = "Trailer"
	fieldTransferEncoding = "Transfer-Encoding"
)

// commonNames gives the canonical form of names that proxies and programs send
// in lower case, without an allocation.
var commonNames = func() map[string]string {
	names := make(map[string]string)
	for _, lower := range []string{
		"accept", "accept-charset", "accept-encoding", "accept-language", "access-control-request-headers",
		"access-control-request-method", "authorization", "cache-control", "cdn-loop", "cf-connecting-ip", "cf-ray",
		"connection", "content-encoding", "content-length", "content-type", "cookie", "dnt", "expect", "forwarded",
		"from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
		"keep-alive", "origin", "pragma", "priority", "purpose", "range", "referer", "sec-ch-ua", "sec-ch-ua-mobile",
		"sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "sec-gpc",
		"te", "traceparent", "trailer", "transfer-encoding", "true-client-ip", "upgrade", "upgrade-insecure-requests",
		"user-agent", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto",
		"x-real-ip", "x-request-id", "x-requested-with", "DNT", "X-Request-ID", "X-CSRF-Token", "X-WP-Nonce",
	} {
		names[lower] = textproto.CanonicalMIMEHeaderKey(lower)
	}
	return names
}()

// Classes of bytes.
const (
	classToken = 1 << iota // RFC 9110 §5.6.2
	classValue             // RFC 9110 §5.5: visible, space, tab, obs-text
	classPath              // needs no escape in a path and is none
	classQuery             // no control byte, space or fragment
	classHost              // RFC 3986 §3.2.2 and a port
)

var classes = func() (table [256]uint8) {
	for c := range 256 {
		alpha := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if alpha {
			table[c] |= classToken | classPath
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			table[c] |= classValue
		}
		if c > ' ' && c != 0x7f && c != '#' {
			table[c] |= classQuery
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		table[c] |= classToken
	}
	for c := range 256 {
		if table[c]&classPath != 0 {
			table[c] |= classHost
		}
	}
	for _, c := range []byte("!$%&'()*+,;=:[]-_.~") {
		table[c] |= classHost
	}
	for _, c := range []byte("/-_.~") {
		table[c] |= classPath
	}
	return table
}()

// only says whether all of s is of a class.
func only(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// canonical gives the canonical form of a field's name: itself, mostly. ok is
// false for what is no token.
func canonical(name string) (key string, ok bool) {
	upper, is := true, true
	for i := range len(name) {
		c := name[i]
		if classes[c]&classToken == 0 {
			return "", false
		}
		if upper && 'a' <= c && c <= 'z' || !upper && 'A' <= c && c <= 'Z' {
			is = false
		}
		upper = c == '-'
	}
	if is {
		return name, name != ""
	}
	if key, ok = commonNames[name]; ok {
		return key, true
	}
	return textproto.CanonicalMIMEHeaderKey(name), true
}
