package fastcgi

import (
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
)

// headerEnd finds the empty line that ends a header: the length of the header
// with it, or -1. Both line ends of RFC 3875 §2.2 are accepted. The search
// begins at from, before which there is no whole end.
func headerEnd(b []byte, from int) int {
	if from == 0 && (bytes.HasPrefix(b, []byte("\n")) || bytes.HasPrefix(b, []byte("\r\n"))) {
		return bytes.IndexByte(b, '\n') + 1 // no field at all
	}
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		switch {
		case from < len(b) && b[from] == '\n':
			return from + 1
		case from+1 < len(b) && b[from] == '\r' && b[from+1] == '\n':
			return from + 2
		}
	}
}

// parseHeader reads a whole CGI header (RFC 3875 §6.3) and takes Status out of
// it.
func parseHeader(block []byte) (status int, header http.Header, err error) {
	text := string(block)                  // the one copy; the fields below point into it
	lines := strings.Count(text, "\n") + 1 // the last one may lack its end
	if lines > MaxHeaderLines+2 {          // and the empty one
		return 0, nil, fmt.Errorf("%w: more than %d fields", ErrHeaderTooBig, MaxHeaderLines)
	}
	header = make(http.Header, lines)
	values := make([]string, lines)
	for len(text) > 0 {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			break
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !found || !isToken(name) || !isFieldValue(value) {
			return 0, nil, fmt.Errorf("%w: no header field: %.60q", ErrMalformed, line)
		}
		if strings.EqualFold(name, "Status") {
			if status, err = parseStatus(value); err != nil {
				return 0, nil, err
			}
			continue
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		if header[key] == nil {
			values[0] = value
			header[key], values = values[:1:1], values[1:]
			continue
		}
		header[key] = append(header[key], value)
	}
	if status == 0 {
		status = http.StatusOK
		if header["Location"] != nil {
			status = http.StatusFound // RFC 3875 §6.3.4
		}
	}
	return status, header, nil
}

// parseStatus reads "404 Not Found". An interim status has no place in a CGI
// response, which has exactly one header.
func parseStatus(value string) (int, error) {
	digits, _, _ := strings.Cut(value, " ")
	status := 0
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			status = 0
			break
		}
		status = status*10 + int(c-'0')
	}
	if len(digits) != 3 || status < 200 {
		return 0, fmt.Errorf("%w: no status: %.60q", ErrMalformed, value)
	}
	return status, nil
}

// isToken: RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue: no control characters but the tab (RFC 9110 §5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
