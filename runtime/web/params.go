package web

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"pantheon/runtime/fastcgi"
)

// serverSoftware names nginx because applications look for it: WordPress
// offers clean addresses only on servers that it knows.
const serverSoftware = "nginx/1.22.1 (pantheon)"

// ownHeaders are never taken from the visitor: we set their parameters, or
// (Proxy) PHP must not see them at all: HTTP_PROXY is what libraries take for
// the environment variable of that name (CVE-2016-5385).
var ownHeaders = map[string]bool{
	"Proxy": true, "Content-Type": true, "Content-Length": true, "User-Agent-Https": true, "X-Ssl": true,
	"X-Pantheon-Client-Ip": true, "X-Cookies-Dropped": true, "Cookie": true, "Host": true,
}

// paramNames spares the usual headers their conversion.
var paramNames = func() map[string]string {
	names := make(map[string]string)
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Dnt",
		"If-Modified-Since", "If-None-Match", "Origin", "Pragma", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
		"Sec-Fetch-Site", "Sec-Fetch-User", "Upgrade-Insecure-Requests", "User-Agent", "Via", "X-Forwarded-For",
		"X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Requested-With", "X-Styx-Req-Id",
	} {
		names[name] = paramName(name)
	}
	return names
}()

func paramName(header string) string {
	return "HTTP_" + strings.ToUpper(strings.ReplaceAll(header, "-", "_"))
}

// isHTTPS says how the visitor came.
func isHTTPS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(first(r.Header["X-Forwarded-Proto"]), "https") ||
		strings.EqualFold(first(r.Header["User-Agent-Https"]), "on")
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// params writes everything that PHP is told of a request.
func (s *Server) params(p *fastcgi.Params, r *http.Request, t target, body *body, databaseState string) {
	p.Reset()
	p.Add("SCRIPT_FILENAME", s.scriptRoot+t.path)
	p.Add("SCRIPT_NAME", t.path)
	p.Add("DOCUMENT_URI", t.path+t.pathInfo)
	if t.pathInfo != "" {
		p.Add("PATH_INFO", t.pathInfo)
		p.Add("PATH_TRANSLATED", s.scriptRoot+t.pathInfo)
	}
	p.Add("QUERY_STRING", t.query)
	p.Add("REQUEST_METHOD", r.Method)
	p.Add("REQUEST_URI", requestURI(r))
	p.Add("SERVER_PROTOCOL", r.Proto)
	for _, pair := range s.fixed {
		p.Add(pair[0], pair[1])
	}
	if body != nil {
		p.Add("CONTENT_LENGTH", strconv.FormatInt(body.size, 10))
	}
	p.Add("CONTENT_TYPE", first(r.Header["Content-Type"]))
	if databaseState != "" {
		p.Add("PANTHEON_DATABASE_STATE", databaseState)
	}
	addConnection(p, r)
	addHeaders(p, r)
}

// requestURI is the target as it came. The absolute form (RFC 9112 §3.2.2) is
// reduced to its path, as nginx does.
func requestURI(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// addConnection tells who the visitor is and how they came.
func addConnection(p *fastcgi.Params, r *http.Request) {
	address, port := visitor(r.RemoteAddr)
	p.Add("REMOTE_ADDR", address)
	p.Add("REMOTE_PORT", port)
	p.Add("HTTP_X_PANTHEON_CLIENT_IP", address)
	scheme, port := "http", "80"
	if isHTTPS(r) {
		scheme, port = "https", "443"
		p.Add("HTTPS", "on")
		p.Add("HTTP_X_SSL", "ON")
		p.Add("HTTP_USER_AGENT_HTTPS", "ON")
	} else {
		p.Add("HTTP_USER_AGENT_HTTPS", "OFF")
	}
	name := r.Host
	if host, given, err := net.SplitHostPort(r.Host); err == nil {
		name = host
		if given != "" {
			port = given
		}
	}
	p.Add("REQUEST_SCHEME", scheme)
	p.Add("SERVER_NAME", strings.Trim(name, "[]"))
	p.Add("SERVER_PORT", port)
	p.Add("HTTP_HOST", r.Host)
}

// visitor reads an address with or without a port. What is none, such as the
// name of a Unix socket, is this machine.
func visitor(remote string) (address, port string) {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap.Addr().Unmap().WithZone("").String(), strconv.Itoa(int(ap.Port()))
	}
	if a, err := netip.ParseAddr(remote); err == nil {
		return a.Unmap().WithZone("").String(), "0"
	}
	return "127.0.0.1", "0"
}

func addHeaders(p *fastcgi.Params, r *http.Request) {
	for header, values := range r.Header {
		if ownHeaders[header] || strings.IndexByte(header, '_') >= 0 {
			continue // X_Ssl would become the same parameter as X-Ssl
		}
		name, known := paramNames[header]
		if !known {
			name = paramName(header)
		}
		p.Add(name, join(values, ", "))
	}
	cookies := join(r.Header["Cookie"], "; ")
	switch {
	case len(cookies) > MaxCookieBytes:
		p.Add("HTTP_X_COOKIES_DROPPED", "1")
	case cookies != "":
		p.Add("HTTP_COOKIE", cookies)
	}
}

func join(values []string, separator string) string {
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, separator)
}

func cookiesDropped(r *http.Request) bool {
	size := 0
	for _, value := range r.Header["Cookie"] {
		size += len(value)
	}
	return size > MaxCookieBytes
}
