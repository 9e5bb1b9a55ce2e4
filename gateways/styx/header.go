package styx

import (
	"net/http"
	"net/netip"
	"strings"
)

// Header names in the canonical form of net/http, so that maps can be used
// without conversion.
const (
	headerHostname       = "X-Pantheon-Styx-Hostname"
	headerRequestID      = "X-Styx-Req-Id"
	headerVersion        = "X-Styx-Version"
	headerForwardedFor   = "X-Forwarded-For"
	headerForwardedProto = "X-Forwarded-Proto"
	headerClientIP       = "X-Pantheon-Client-Ip"
	headerUserAgentHTTPS = "User-Agent-Https"
	headerSSL            = "X-Ssl"
	headerCookiesDropped = "X-Cookies-Dropped"
)

// Values that never change are shared by all requests. They have no spare
// capacity, so an Add to the header copies them.
var (
	valueVersion = []string{"StyxGo"}
	valueOn      = []string{"ON"}
	valueOff     = []string{"OFF"}
	valueHTTP    = []string{"http"}
	valueHTTPS   = []string{"https"}
	valueOne     = []string{"1"}
	valueClose   = []string{"close"}
)

// isHopByHop tells headers of one connection (RFC 9110 §7.6.1); Proxy, which
// CGI turns into the variable HTTP_PROXY that programs take for their own; and
// Host, which HTTP/2 allows beside :authority and which would then be another
// name than the one routed by. A switch costs less than removing each from the map.
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Http2-Settings", "Proxy", "Host":
		return true
	}
	return false
}

// isSpoofable tells headers that applications believe; they are removed unless
// a trusted proxy sent them. Those that Styx sets itself are not here: they
// are overwritten or, if they have no value, removed.
func isSpoofable(name string) bool {
	switch name {
	case "Forwarded", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Ssl",
		"X-Forwarded-Scheme", "X-Forwarded-Prefix", "X-Real-Ip", "True-Client-Ip", "Front-End-Https", "Pcontext-Service-Level":
		return true
	}
	return false
}

// visitor is who sent a request, as far as can be believed.
type visitor struct {
	client string // address of the visitor
	chain  string // "client, proxy, proxy": every address on the way
	https  bool
	// trusted: the peer is a proxy whose headers are believed.
	trusted bool
}

// identify finds the visitor. Forwarding headers count only from trusted
// peers; then the client is the last address of the chain that is not itself
// a trusted proxy.
func (s *Server) identify(r *http.Request) visitor {
	peer := addressOf(r.RemoteAddr)
	v := visitor{client: peer, chain: peer, https: r.TLS != nil}
	if v.trusted = s.trusts(peer); !v.trusted {
		return v
	}
	if proto := r.Header[headerForwardedProto]; len(proto) == 1 {
		switch {
		case strings.EqualFold(proto[0], "https"):
			v.https = true
		case strings.EqualFold(proto[0], "http"):
			v.https = false
		}
	}
	received := strings.Join(r.Header[headerForwardedFor], ", ")
	if len(received) > MaxForwardedBytes {
		received = received[len(received)-MaxForwardedBytes:]
		_, received, _ = strings.Cut(received, ",")
	}
	believed := peer
	for rest, more := received, received != ""; more; {
		comma := strings.LastIndexByte(rest, ',')
		hop, err := netip.ParseAddr(strings.TrimSpace(rest[comma+1:]))
		if err != nil {
			break // whoever wrote this wrote no address: nothing before it counts
		}
		v.client = hop.Unmap().WithZone("").String()
		believed = v.client + ", " + believed
		if more = comma >= 0 && s.trusts(v.client); more {
			rest = rest[:comma]
		}
	}
	v.chain = believed
	return v
}

func (s *Server) trusts(address string) bool {
	if len(s.options.TrustedProxies) == 0 {
		return false
	}
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	return contains(s.options.TrustedProxies, parsed)
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	for _, prefix := range prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// addressOf takes the port off a peer's address. A peer without an IP address
// (a Unix socket) is this machine.
func addressOf(remote string) string {
	colon := strings.LastIndexByte(remote, ':')
	if colon <= 0 {
		return "127.0.0.1"
	}
	host := remote[:colon]
	if host[0] == '[' {
		host = strings.Trim(host, "[]")
	}
	return host
}

// sizeOf gives the bytes that headers take in HTTP/1.
func sizeOf(h http.Header) (size int) {
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// clean removes from a request what is not for the application, and says how
// large the head was.
func clean(h http.Header, trusted bool) (size int) {
	if connection := h["Connection"]; len(connection) > 0 {
		size += dropNamed(h, connection)
	}
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
		if isHopByHop(name) || !onlyBytes(name, isHeaderByte) || !trusted && isSpoofable(name) {
			delete(h, name)
		}
	}
	return size
}

// dropNamed removes all headers that Connection names, and gives their size.
func dropNamed(h http.Header, connection []string) (size int) {
	if len(connection) == 1 && (connection[0] == "keep-alive" || connection[0] == "close") {
		return 0
	}
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name == "Connection" {
				continue // the range above reads it
			}
			for _, value := range h[name] {
				size += len(name) + len(value) + len(": \r\n")
			}
			delete(h, name)
		}
	}
	return size
}

// isHeaderByte accepts what nginx does by default: CGI makes a dash an
// underscore and PHP a dot as well, so with those a name could pose as
// another.
func isHeaderByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// upgradeOf gives the protocol a request wants to change to ("websocket"), ""
// for none.
func upgradeOf(r *http.Request) string {
	upgrade := r.Header["Upgrade"]
	if len(upgrade) != 1 || r.ProtoMajor != 1 || strings.EqualFold(upgrade[0], "h2c") {
		return ""
	}
	for _, line := range r.Header["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return upgrade[0]
			}
		}
	}
	return ""
}

// dropCookies applies MaxCookieBytes.
func dropCookies(h http.Header) (dropped bool) {
	size := 0
	for _, line := range h["Cookie"] {
		size += len(line)
	}
	if size <= MaxCookieBytes {
		return false
	}
	delete(h, "Cookie")
	return true
}
