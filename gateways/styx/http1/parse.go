package http1

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// fault is why a request is refused: the status of the answer, and a text for
// whoever debugs a client.
type fault struct {
	status int
	text   string
}

// framing is what a head says about what follows it.
type framing struct {
	length    int64 // of the body; -1 in chunks
	chunked   bool
	expects   bool // 100-continue, from a client that can take it
	keepAlive bool // an HTTP/1.0 client asks for the connection to be kept
}

var (
	valueChunked = []string{"chunked"}
	valueNoCache = []string{"no-cache"}
)

// scanHead looks for the empty line that ends a head, in b[from:]. end is the
// length of the head with that line, 0 if it has not arrived; next is where to
// go on looking then. A line that ends in a bare LF is no line.
func scanHead(b []byte, from int) (end, next int, bad bool) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, len(b), false
		}
		i += from
		if i == 0 || b[i-1] != '\r' {
			return 0, i, true
		}
		if i == 1 || i >= 3 && b[i-2] == '\n' {
			return i + 1, i + 1, false
		}
		from = i + 1
	}
}

// parser reads heads into requests. Its map and slice are used for one request
// after the other.
type parser struct {
	header http.Header
	values []string
}

// reset makes the parser ready for another request.
func (p *parser) reset() {
	if p.header == nil || len(p.header) > maxKeptFields {
		p.header = make(http.Header, 16)
	} else {
		clear(p.header)
	}
	if cap(p.values) < 16 || cap(p.values) > maxKeptFields {
		p.values = make([]string, 0, 16)
	}
	p.values = p.values[:0]
}

// keep makes a value a slice of its own. When the backing array is full a new
// one begins; the old one stays with the slices that point into it.
func (p *parser) keep(value string) []string {
	n := len(p.values)
	if n == cap(p.values) {
		p.values = make([]string, 0, 2*n)
		n = 0
	}
	p.values = append(p.values, value)
	return p.values[n : n+1 : n+1]
}

// parse reads a head that scanHead has found and sets in r what net/http would
// set, body and context aside. u becomes r.URL.
func (p *parser) parse(text string, r *http.Request, u *url.URL) (framing, *fault) {
	p.reset()
	line, rest, _ := strings.Cut(text, "\r\n")
	if f := parseRequestLine(line, r, u); f != nil {
		return framing{}, f
	}
	r.Header = p.header
	hosts := 0
	for count := 0; len(rest) > 2; count++ {
		if count == MaxFields {
			return framing{}, &fault{http.StatusRequestHeaderFieldsTooLarge, "too many fields"}
		}
		i := strings.IndexByte(rest, '\n')
		line, rest = rest[:i-1], rest[i+1:]
		key, value, f := parseField(line)
		if f != nil {
			return framing{}, f
		}
		if key == fieldHost {
			hosts++
			r.Host = value
			continue
		}
		if old := p.header[key]; old != nil {
			p.header[key] = append(old, value)
		} else {
			p.header[key] = p.keep(value)
		}
	}
	if f := checkHost(r, u, hosts); f != nil {
		return framing{}, f
	}
	return p.frame(r)
}

// parseRequestLine reads "GET /path?query HTTP/1.1": single spaces, nothing
// else.
func parseRequestLine(line string, r *http.Request, u *url.URL) *fault {
	if len(line) > MaxRequestLineBytes {
		return &fault{http.StatusRequestURITooLong, "request line too long"}
	}
	method, rest, ok := strings.Cut(line, " ")
	target, version, more := strings.Cut(rest, " ")
	if !ok || !more || method == "" || target == "" || !only(method, classToken) {
		return &fault{http.StatusBadRequest, "malformed request line"}
	}
	switch version {
	case "HTTP/1.1":
		r.ProtoMinor = 1
	case "HTTP/1.0":
		r.ProtoMinor = 0
	default:
		if major, _, ok := http.ParseHTTPVersion(version); ok && major != 1 {
			return &fault{http.StatusHTTPVersionNotSupported, "unsupported protocol version"}
		}
		return &fault{http.StatusBadRequest, "malformed HTTP version"}
	}
	r.Method, r.RequestURI, r.Proto, r.ProtoMajor = method, target, version, 1
	r.URL = u
	if parseTarget(target, method == http.MethodConnect, u) {
		return nil
	}
	return &fault{http.StatusBadRequest, "malformed request target"}
}

// parseTarget does what url.ParseRequestURI does, faster for paths that need no
// decoding.
func parseTarget(target string, authority bool, u *url.URL) bool {
	if target[0] == '/' {
		path, query, has := strings.Cut(target, "?")
		if only(path, classPath) && only(query, classQuery) {
			*u = url.URL{Path: path, RawQuery: query, ForceQuery: has && query == ""}
			return true
		}
	}
	authority = authority && target[0] != '/'
	if authority { // RFC 9112 §3.2.3: host and port alone
		target = "http://" + target
	}
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		return false
	}
	*u = *parsed
	if authority {
		u.Scheme = ""
	}
	return true
}

// parseField reads "Name: value".
func parseField(line string) (key, value string, f *fault) {
	colon := strings.IndexByte(line, ':')
	if colon <= 0 {
		return "", "", &fault{http.StatusBadRequest, "malformed field"}
	}
	key, ok := canonical(line[:colon])
	if !ok {
		return "", "", &fault{http.StatusBadRequest, "malformed field name"}
	}
	value = trim(line[colon+1:])
	if !only(value, classValue) {
		return "", "", &fault{http.StatusBadRequest, "malformed field value"}
	}
	return key, value, nil
}

// trim takes optional white space off (RFC 9110 §5.6.3).
func trim(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// checkHost: RFC 9112 §3.2, exactly one Host in HTTP/1.1, and §3.2.2, the
// target's host replaces it.
func checkHost(r *http.Request, u *url.URL, hosts int) *fault {
	switch {
	case hosts > 1:
		return &fault{http.StatusBadRequest, "too many Host headers"}
	case hosts == 0 && r.ProtoMinor == 1:
		return &fault{http.StatusBadRequest, "missing required Host header"}
	case hosts == 1 && !only(r.Host, classHost):
		return &fault{http.StatusBadRequest, "malformed Host header"}
	}
	if u.Host != "" {
		r.Host = u.Host
	}
	return nil
}

// frame finds where the body ends (RFC 9112 §6) and whether the connection is
// to be kept. Whatever could be read in two ways is refused.
func (p *parser) frame(r *http.Request) (framing, *fault) {
	var f framing
	h := p.header
	if lengths := h[fieldContentLength]; lengths != nil {
		length, ok := parseLength(lengths[0])
		if !ok || len(lengths) > 1 {
			return f, &fault{http.StatusBadRequest, "malformed Content-Length"}
		}
		f.length = length
	}
	if codings := h[fieldTransferEncoding]; codings != nil {
		switch {
		case r.ProtoMinor == 0 || h[fieldContentLength] != nil:
			return f, &fault{http.StatusBadRequest, "ambiguous length of the body"}
		case len(codings) > 1 || !strings.EqualFold(codings[0], "chunked"):
			return f, &fault{http.StatusNotImplemented, "unsupported transfer encoding"}
		}
		delete(h, fieldTransferEncoding)
		r.TransferEncoding = valueChunked
		f.chunked, f.length = true, -1
	}
	r.ContentLength = f.length
	if connection := h[fieldConnection]; connection != nil {
		r.Close = hasToken(connection, "close")
		f.keepAlive = r.ProtoMinor == 0 && !r.Close && hasToken(connection, "keep-alive")
	}
	if r.ProtoMinor == 0 && !f.keepAlive {
		r.Close = true
	}
	if expectations := h[fieldExpect]; expectations != nil {
		if len(expectations) > 1 || !strings.EqualFold(expectations[0], "100-continue") {
			return f, &fault{http.StatusExpectationFailed, "unknown expectation"}
		}
		f.expects = r.ProtoMinor == 1 && f.length != 0
	}
	if h["Pragma"] != nil && h["Pragma"][0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = valueNoCache
	}
	return f, p.announced(r, f.chunked)
}

// announced reads the names of trailers (RFC 9110 §6.6.2).
func (p *parser) announced(r *http.Request, chunked bool) *fault {
	lines := p.header[fieldTrailer]
	if lines == nil || !chunked {
		return nil
	}
	delete(p.header, fieldTrailer)
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			if name = trim(name); name == "" {
				continue
			}
			key, ok := canonical(name)
			if !ok || forbiddenTrailer(key) || len(r.Trailer) == MaxTrailerFields {
				return &fault{http.StatusBadRequest, "bad trailer key"}
			}
			if r.Trailer == nil {
				r.Trailer = make(http.Header)
			}
			r.Trailer[key] = nil
		}
	}
	return nil
}

// forbiddenTrailer tells fields that would change how a message is read.
func forbiddenTrailer(key string) bool {
	switch key {
	case fieldTransferEncoding, fieldTrailer, fieldContentLength, fieldHost:
		return true
	}
	return false
}

// parseLength: digits and nothing else.
func parseLength(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// hasToken looks for a token in a comma-separated list, whatever its case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		if strings.EqualFold(line, token) {
			return true
		}
		if strings.IndexByte(line, ',') < 0 {
			continue
		}
		for element := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(trim(element), token) {
				return true
			}
		}
	}
	return false
}
