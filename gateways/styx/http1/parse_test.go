package http1

import (
	"bufio"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// FuzzHead: what we accept, net/http accepts and understands alike.
func FuzzHead(f *testing.F) {
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a?b HTTP/1.1\r\nhost: a:80\r\nContent-Length: 3\r\nX-A:b\r\nx-a: c \r\n\r\n",
		"PUT http://a/%2f HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: A, b\r\n\r\n",
		"0 * HTTP/1.1\r\nHost:\r\nTrAnsfer-EnCoding:Chunked\r\nTrAiler:\r\n\r\n",
		"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: x, close\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: \r\nExpect: 100-continue\r\nPragma: no-cache\r\n\r\n",
		"GET /a\r\n\r\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
	} {
		f.Add(head)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end, _, bad := scanHead([]byte(text), 0)
		if bad || end <= 2 {
			return
		}
		text = text[:end]
		var p parser
		var u url.URL
		mine := &http.Request{}
		framing, fault := p.parse(text, mine, &u)
		if fault != nil {
			if fault.status < 400 || fault.status > 505 {
				t.Errorf("%q: status %d", text, fault.status)
			}
			return
		}
		theirs, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatalf("we accept %q, net/http says %v", text, err)
		}
		if theirs.ContentLength != framing.length || mine.ContentLength != framing.length {
			t.Errorf("%q: length %d, net/http says %d", text, framing.length, theirs.ContentLength)
		}
		theirs.Body, theirs.ContentLength = nil, mine.ContentLength
		if !reflect.DeepEqual(*mine.URL, *theirs.URL) {
			t.Errorf("%q: URL %#v, net/http says %#v", text, *mine.URL, *theirs.URL)
		}
		mine.URL, theirs.URL = nil, nil
		if !reflect.DeepEqual(mine, theirs) {
			t.Errorf("%q: %+v, net/http says %+v", text, mine, theirs)
		}
	})
}

// A head that arrives byte by byte is found where it is found at once.
func TestScanHeadInPieces(t *testing.T) {
	head := "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nrest"
	want, _, _ := scanHead([]byte(head), 0)
	from := 0
	for i := range len(head) + 1 {
		end, next, bad := scanHead([]byte(head[:i]), from)
		if bad {
			t.Fatalf("bad after %q", head[:i])
		}
		if end > 0 {
			if end != want || i != want {
				t.Errorf("found after %d bytes at %d, want %d", i, end, want)
			}
			return
		}
		from = next
	}
	t.Error("not found")
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"request line", "GET /" + strings.Repeat("x", MaxRequestLineBytes) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", MaxFields) + "\r\n", 431},
		{"trailers", "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: " + strings.Repeat("a", 1) + manyNames(MaxTrailerFields+1) + "\r\n\r\n", 400},
	} {
		var p parser
		var u url.URL
		if _, fault := p.parse(c.head, &http.Request{}, &u); fault == nil || fault.status != c.status {
			t.Errorf("%s: %+v, want %d", c.name, fault, c.status)
		}
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(",x" + strings.Repeat("y", i))
	}
	return b.String()
}

// Headers of one request do not show through in the next one, however many.
func TestParserIsUsedAgain(t *testing.T) {
	var p parser
	for range 3 {
		for _, n := range []int{1, 40, 200, 2} {
			var u url.URL
			r := &http.Request{}
			head := "GET / HTTP/1.1\r\nHost: a\r\n"
			for i := range n {
				head += "X-" + strings.Repeat("a", i) + ": " + strings.Repeat("b", i) + "\r\nX-Same: c\r\n"
				if i == MaxFields/2-2 {
					break
				}
			}
			if _, fault := p.parse(head+"\r\n", r, &u); fault != nil {
				t.Fatal(n, fault)
			}
			want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n")))
			if err != nil || !reflect.DeepEqual(r.Header, want.Header) {
				t.Errorf("%d fields: %v", n, err)
			}
		}
	}
}
