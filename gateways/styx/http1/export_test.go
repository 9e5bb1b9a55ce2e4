package http1

import (
	"net/http"
	"net/url"
)

// ParseForBenchmark gives a function that parses one head after the other, as
// a connection does.
func ParseForBenchmark() func(head []byte) bool {
	var p parser
	return func(head []byte) bool {
		end, _, bad := scanHead(head, 0)
		if bad || end == 0 {
			return false
		}
		var u url.URL
		_, fault := p.parse(string(head[:end]), &http.Request{}, &u)
		return fault == nil
	}
}
