package web

import (
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipLevel is nginx's default: most of the gain for the least time.
const gzipLevel = gzip.BestSpeed

// accepted says which codings of content an Accept-Encoding field allows
// (RFC 9110 §12.5.3). Preferences between them are not weighed.
func accepted(fields []string) (gzipped, brotli bool) {
	var gzipNamed, brotliNamed, rest bool
	for _, field := range fields {
		for item := range strings.SplitSeq(field, ",") {
			coding, parameter, _ := strings.Cut(item, ";")
			wanted := !isZero(parameter)
			switch coding = strings.TrimSpace(coding); {
			case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
				gzipped, gzipNamed = wanted, true
			case strings.EqualFold(coding, "br"):
				brotli, brotliNamed = wanted, true
			case coding == "*":
				rest = wanted
			}
		}
	}
	return gzipped || rest && !gzipNamed, brotli || rest && !brotliNamed
}

// isZero recognises a weight of zero: "q=0", "q=0.000". A weight that cannot
// be read counts as one.
func isZero(parameter string) bool {
	name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
	if !strings.EqualFold(strings.TrimSpace(name), "q") {
		return false
	}
	value = strings.TrimSpace(value)
	return strings.HasPrefix(value, "0") && strings.Trim(value, "0.") == ""
}

// gzipWriters are reused: one is several hundred kilobytes of tables.
var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzipLevel) // the level is a valid constant
	return w
}}

func newGzip(to io.Writer) *gzip.Writer {
	w := gzipWriters.Get().(*gzip.Writer)
	w.Reset(to)
	return w
}

func freeGzip(w *gzip.Writer) {
	w.Reset(io.Discard)
	gzipWriters.Put(w)
}
