package styx

import "strings"

// hostOf gives the form of a Host header under which routes are kept: lower
// case, no port, no trailing dot, no brackets. It allocates only where there
// are upper-case letters. What can be no host name is refused.
func hostOf(header string) (host string, ok bool) {
	host = header
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 || !validPort(host[end+1:]) {
			return "", false
		}
		host = host[1:end]
		return strings.ToLower(host), host != "" && len(host) <= MaxHostBytes && onlyBytes(host, isAddressByte)
	}
	if colon := strings.IndexByte(host, ':'); colon >= 0 {
		if !validPort(host[colon:]) {
			return "", false
		}
		host = host[:colon]
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > MaxHostBytes || host[0] == '.' || host[len(host)-1] == '.' || strings.Contains(host, "..") || !onlyBytes(host, isNameByte) {
		return "", false
	}
	return strings.ToLower(host), true
}

// validPort accepts "", ":" (RFC 9110 §4.2.3 allows an empty port) and ":"
// with up to five digits.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	return s[0] == ':' && len(s) <= 6 && onlyBytes(s[1:], func(c byte) bool { return '0' <= c && c <= '9' })
}

func onlyBytes(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}

func isAddressByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' || c == ':' || c == '.' || c == '%'
}
