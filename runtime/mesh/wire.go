package mesh

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"net/url"

	"pantheon/events"
	"pantheon/events/problem"
)

type verb byte

// The verbs: the first byte of a stream's head.
const (
	verbServe verb = iota + 1
	verbPing
	verbSocket
	verbKey
	verbRenew
	verbFiles
	verbBinding
	verbNames
)

// A request's head: verb, DROP (32 bytes), flags, body's length, then
// method, target, host, protocol, remote address, and the fields. A response's
// head: status, and the fields. Numbers are varints, texts follow their length.

const (
	flagEncrypted = 1 << iota // the visitor came by TLS
	flagBody
)

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFields(b []byte, h http.Header) []byte {
	b = binary.AppendUvarint(b, uint64(len(h)))
	for name, values := range h {
		b = appendText(b, name)
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, value := range values {
			b = appendText(b, value)
		}
	}
	return b
}

func appendRequest(b []byte, r *http.Request, drop events.DropID, hasBody bool) []byte {
	target := r.RequestURI
	if target == "" {
		target = r.URL.RequestURI()
	}
	var flags byte
	if r.TLS != nil {
		flags |= flagEncrypted
	}
	length := int64(0)
	if hasBody {
		flags, length = flags|flagBody, r.ContentLength
	}
	b = append(append(append(b, byte(verbServe)), drop...), flags)
	b = binary.AppendVarint(b, length)
	for _, text := range [...]string{r.Method, target, r.Host, r.Proto, r.RemoteAddr} {
		b = appendText(b, text)
	}
	return appendFields(b, r.Header)
}

func appendResponse(b []byte, status int, h http.Header) []byte {
	return appendFields(binary.AppendUvarint(b, uint64(status)), h)
}

// decoder reads a head. All texts share one string. After an error everything
// is empty.
type decoder struct {
	bytes  []byte
	text   string
	at     int
	broken bool
}

func newDecoder(b []byte) *decoder { return &decoder{bytes: b, text: string(b)} }

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.bytes[d.at:])
	if size <= 0 {
		d.fail()
		return 0
	}
	d.at += size
	return n
}

func (d *decoder) signed() int64 {
	n, size := binary.Varint(d.bytes[d.at:])
	if size <= 0 {
		d.fail()
		return 0
	}
	d.at += size
	return n
}

func (d *decoder) fixed(n int) string {
	if n > len(d.text)-d.at {
		d.fail()
		return ""
	}
	d.at += n
	return d.text[d.at-n : d.at]
}

func (d *decoder) string() string {
	n := d.number()
	if n > uint64(len(d.text)-d.at) {
		d.fail()
		return ""
	}
	return d.fixed(int(n))
}

func (d *decoder) fail() { d.broken, d.at = true, len(d.bytes) }

// fields puts them into h.
func (d *decoder) fields(h http.Header) {
	count := d.number()
	if count > maxHeaderFields {
		d.fail()
		return
	}
	shared := make([]string, 0, count)
	for range count {
		name := d.string()
		n := d.number()
		if n > maxHeaderFields || d.broken {
			d.fail()
			return
		}
		first := len(shared)
		for range n {
			shared = append(shared, d.string())
		}
		h[name] = shared[first:len(shared):len(shared)]
	}
}

// done says whether the head was whole, and nothing behind it.
func (d *decoder) done() bool { return !d.broken && d.at == len(d.bytes) }

var errHead = problem.New(problem.Invalid, "cannot read what the other machine sent: it is damaged, or of another version")

// parsedRequest is a request as it was sent, its body aside.
type parsedRequest struct {
	drop    events.DropID
	hasBody bool
	request *http.Request
}

// encrypted is all that is told of a visitor's TLS.
var encrypted = &tls.ConnectionState{HandshakeComplete: true}

func parseRequest(ctx context.Context, head []byte) (parsedRequest, error) {
	d := newDecoder(head)
	var p parsedRequest
	_ = d.fixed(1) // the verb
	p.drop = events.DropID(d.fixed(32))
	flags := d.fixed(1)
	length := d.signed()
	r := new(http.Request).WithContext(ctx)
	r.Method, r.RequestURI, r.Host, r.Proto, r.RemoteAddr = d.string(), d.string(), d.string(), d.string(), d.string()
	r.Header, r.ContentLength = make(http.Header, requestFields), length
	d.fields(r.Header)
	if !d.done() || length < -1 {
		return p, errHead
	}
	if _, err := events.ParseDropID(string(p.drop)); err != nil {
		return p, errHead
	}
	target, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return p, problem.New(problem.Invalid, "cannot read the request: its target is no URI")
	}
	major, minor, ok := http.ParseHTTPVersion(r.Proto)
	if !ok {
		return p, errHead
	}
	r.URL, r.ProtoMajor, r.ProtoMinor = target, major, minor
	if flags[0]&flagEncrypted != 0 {
		r.TLS = encrypted
	}
	p.hasBody, p.request = flags[0]&flagBody != 0, r
	if !p.hasBody && length != 0 {
		return p, errHead
	}
	return p, nil
}

// parseResponse puts the fields into h, some of them also where it fails.
func parseResponse(head []byte, h http.Header) (status int, err error) {
	d := newDecoder(head)
	n := d.number()
	d.fields(h)
	if !d.done() || n < 100 || n > 999 {
		return 0, errHead
	}
	return int(n), nil
}
