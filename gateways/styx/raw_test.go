package styx_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pantheon/gateways/styx"
)

// received records where the router saw each request begin and end.
func received(g *rig) func() []string {
	var mu sync.Mutex
	var all []string
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			body, err := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				all = append(all, fmt.Sprintf("%s %s %s: bad body", r.Method, r.Host, r.RequestURI))
				return says(400, "")(w, r)
			}
			all = append(all, fmt.Sprintf("%s %s %s %q", r.Method, r.Host, r.RequestURI, body))
			return says(200, "hello")(w, r)
		})
	}
	return func() []string { mu.Lock(); defer mu.Unlock(); return all }
}

const (
	hostLine = "Host: " + site + "\r\n"
	inner    = "GET /smuggled HTTP/1.1\r\n" + hostLine + "\r\n"
)

// attacks are requests whose end two parsers could see at different places,
// and others that are no proper HTTP.
var attacks = []struct {
	name, send string
	want       []string // what the application may see; nil for nothing
	status     string
}{
	{"CL and TE", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		nil, "400"},
	{"same CL twice", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd" + inner, nil, "400"},
	{"two CL", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde" + inner, nil, "400"},
	{"CL list", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 4, 5\r\n\r\nabcde" + inner, nil, "400"},
	{"CL plus sign", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: +4\r\n\r\nabcd" + inner, nil, "400"},
	{"CL hexadecimal", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: 0x4\r\n\r\nabcd" + inner, nil, "400"},
	{"CL negative", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length: -1\r\n\r\n" + inner, nil, "400"},
	{"TE unknown", "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: xchunked\r\n\r\n" + inner, nil, "501"},
	{"TE twice", "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + inner, nil, "501"},
	{"TE list", "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + inner, nil, "501"},
	{"TE vertical tab", "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + inner, nil, "400"},
	{"space before colon", "POST / HTTP/1.1\r\n" + hostLine + "Content-Length : 4\r\n\r\nabcd" + inner, nil, "400"},
	{"folded header", "GET / HTTP/1.1\r\n" + hostLine + "X-A: b\r\n Content-Length: 4\r\n\r\nGET /next HTTP/1.1\r\n" + hostLine + "\r\n",
		nil, "400"},
	{"bare LF", "GET / HTTP/1.1\n" + hostLine + "\r\n", nil, "400"},
	{"bare LF in a field", "GET / HTTP/1.1\r\n" + hostLine + "X-A: b\nContent-Length: 4\r\n\r\nabcd" + inner, nil, "400"},
	{"space first", " GET / HTTP/1.1\r\n" + hostLine + "\r\n", nil, "400"},
	{"bare CR in header", "GET / HTTP/1.1\r\n" + hostLine + "X-A: b\rContent-Length: 4\r\n\r\n", nil, "400"},
	{"NUL in header", "GET / HTTP/1.1\r\n" + hostLine + "X-A: b\x00\r\n\r\n", nil, "400"},
	{"bare LF in chunk size", "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + inner,
		[]string{"POST " + site + " /: bad body"}, "400"},
	{"chunk size overflow", "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n" + inner,
		[]string{"POST " + site + " /: bad body"}, "400"},
	{"chunk extension with LF", "POST / HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n" + inner,
		[]string{"POST " + site + " /: bad body"}, "400"},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", nil, "400"},
	{"two Hosts", "GET / HTTP/1.1\r\n" + hostLine + "Host: evil.example\r\n\r\n", nil, "400"},
	{"Host with a path", "GET / HTTP/1.1\r\nHost: " + site + "/evil\r\n\r\n", nil, "400"},
	{"Host with a user", "GET / HTTP/1.1\r\nHost: evil@" + site + "\r\nConnection: close\r\n\r\n", nil, "400"},
	{"absolute form, other Host", "GET http://" + site + "/a?b HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
		[]string{"GET " + site + ` /a?b ""`}, "200"},
	{"absolute form, unknown", "GET http://evil.example/ HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n", nil, "404"},
	{"absolute form, no path", "GET http://" + site + " HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n",
		[]string{"GET " + site + ` / ""`}, "200"},
	{"CONNECT", "CONNECT " + site + ":80 HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n", nil, "405"},
	{"TRACE", "TRACE / HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n", nil, "405"},
	{"asterisk", "GET * HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n", nil, "400"},
	{"no slash", "GET a HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n", nil, "400"},
	{"method with a space", "GE T / HTTP/1.1\r\n" + hostLine + "\r\n", nil, "400"},
	{"version", "GET / HTTP/3.0\r\n" + hostLine + "\r\n", nil, "505"},
	{"HTTP/0.9", "GET /a/path/as/long/as/a/preface\r\n", nil, "400"},
	{"Expect", "POST / HTTP/1.1\r\n" + hostLine + "Expect: magic\r\nContent-Length: 4\r\n\r\nabcd", nil, "417"},
	{"control bytes in path", "GET /\x01 HTTP/1.1\r\n" + hostLine + "\r\n", nil, "400"},
	{"pipelined", "POST /1 HTTP/1.1\r\n" + hostLine + "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n",
		[]string{"POST " + site + ` /1 "abc"`, "GET " + site + ` /2 ""`}, "200"},
	{"TE on HTTP/1.0", "POST / HTTP/1.0\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner, nil, "400"},
}

// Either the router refuses and closes the connection, or the application sees
// exactly what is listed; "smuggled" is never a request.
func TestSmuggling(t *testing.T) {
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, func(o *styx.Options) { o.Idle = 100 * time.Millisecond })
			seen := received(g)
			answer := g.raw(c.send)
			if got := seen(); c.want != nil && strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("the application saw %q, want %q", got, c.want)
			} else if c.status != "" && c.want == nil && len(got) != 0 {
				t.Errorf("the application saw %q", got)
			}
			for _, request := range seen() {
				if strings.Contains(request, "smuggled") {
					t.Errorf("smuggled: %q", request)
				}
			}
			if status, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(answer, "HTTP/1.1 "), "HTTP/1.0 "), " "); c.status != "" && status != c.status {
				t.Errorf("status %q, want %s\n%s", status, c.status, answer)
			}
		})
	}
}
