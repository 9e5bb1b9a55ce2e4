package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pantheon/gateways/styx/http1"
)

// generator writes streams of requests: valid, odd and malformed ones.
type generator struct{ *rand.Rand }

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

// rarely gives something unusual one time in n.
func (g generator) rarely(n int, usual string, odd ...string) string {
	if g.IntN(n) > 0 {
		return usual
	}
	return g.one(odd...)
}

func (g generator) request() string {
	var b strings.Builder
	end := func() string { return g.rarely(150, "\r\n", "\n", "\r", "\r\r\n", " \r\n") }
	method := g.one("GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
	method = g.rarely(60, method, "CONNECT", "TRACE", "get", "G@T", "", "M-SEARCH", "G(T")
	target := g.rarely(40, g.one(behaviours...), "*", "", "a", "http://other.example/x?y", "http://other.example", "other.example:80",
		"/\x01", "/\x80\xff", "/ /", "http://u:p@h/", "https:/x", "/"+strings.Repeat("x", 9000))
	version := g.rarely(12, "HTTP/1.1", "HTTP/1.0", "HTTP/1.0", "HTTP/1.0", "HTTP/1.2", "HTTP/0.9", "HTTP/2.0", "HTTP/11", "http/1.1", "")
	space := func() string { return g.rarely(200, " ", "  ", "\t", "") }
	b.WriteString(method + space() + target + space() + version + end())
	fields := []string{"Host: " + g.rarely(40, "a.example", "", "a b", "a.example:80", "a/b", "[::1]:8", "a@b", "ä")}
	fields = append(fields, g.oddFields()...)
	if g.IntN(40) == 0 {
		fields = slices.DeleteFunc(fields, func(s string) bool { return strings.HasPrefix(s, "Host:") })
	}
	body := g.body(&fields, method)
	g.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for _, field := range fields {
		b.WriteString(field + end())
	}
	b.WriteString(end() + body)
	return b.String()
}

func (g generator) oddFields() (fields []string) {
	for range g.IntN(5) {
		name := g.rarely(60, g.one("User-Agent", "accept", "X-Thing", "x-thing", "COOKIE", "Pragma", "Accept-Language", "dnt", "X_y"),
			"", "X Y", "X-A ", "(X)", "X\x00", "Ä", "Host", "X-\x7f")
		value := g.rarely(30, g.one("a", "", "a, b", "no-cache", "  spaces\t ", "x\xff\xfe", `"quoted"`), "a\x00b", "a\rb", "\x0b", "x\x7f", "a\r\n folded", strings.Repeat("v", 5000))
		fields = append(fields, name+g.rarely(80, ": ", ":", " : ", "", ":\t")+value)
	}
	switch g.IntN(12) {
	case 0:
		fields = append(fields, "Connection: "+g.one("close", "Close", "keep-alive", "keep-alive, close", "upgrade", "x,close", ""))
	case 1:
		fields = append(fields, "Expect: "+g.one("100-continue", "100-Continue", "magic", "100-continue, x", ""))
	case 2:
		fields = append(fields, "Trailer: "+g.one("X-T", "X-T, x-u", "Content-Length", "", ","))
	}
	return fields
}

// body adds the fields that frame a body, and gives the body.
func (g generator) body(fields *[]string, method string) string {
	text := g.one("", "x", "abc", "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n", strings.Repeat("y", 3000), long)
	switch kind := g.IntN(20); {
	case method == "GET" && kind < 14, kind < 3:
		return ""
	case kind < 10:
		length := fmt.Sprint(len(text))
		*fields = append(*fields, "Content-Length: "+g.rarely(20, length, length+","+length, "+"+length, "0x"+length, "-1", "", "1 2", "99999999999999999999"))
		if g.IntN(40) == 0 {
			*fields = append(*fields, g.one("Content-Length: "+length, "Content-Length: 7", "Transfer-Encoding: chunked"))
		}
		return text
	}
	*fields = append(*fields, "Transfer-Encoding: "+g.rarely(20, g.one("chunked", "Chunked"), "gzip, chunked", "identity", "chunked, chunked", " chunked", "\x0bchunked", "x", ""))
	if g.IntN(40) == 0 {
		*fields = append(*fields, "Transfer-Encoding: chunked")
	}
	var b strings.Builder
	end := func() string { return g.rarely(100, "\r\n", "\n", "\r", "", "x\r\n") }
	for len(text) > 0 {
		n := min(1+g.IntN(4000), len(text))
		size := g.rarely(60, fmt.Sprintf("%x", n), fmt.Sprintf("%X", n), fmt.Sprintf("0%x", n), "+1", "0x1", "", "-1", "g", "fffffffffffffffff", "10000000000000000")
		b.WriteString(size + g.rarely(30, "", ";a", ";a=b", " ;a", " ", ";a\x00", ";"+strings.Repeat("e", 300), " x") + end() + text[:n] + end())
		text = text[n:]
	}
	b.WriteString("0" + end() + g.rarely(6, "", "X-T: 1\r\n", "X-U: 2\r\nX-T: 3\r\n", "bad\r\n", "Content-Length: 3\r\n", "X : 1\r\n", "X: 1\n", "X: 1\r\n folded\r\n") + end())
	return b.String()
}

// answers are what a server sent, as far as it matters to a visitor.
func answers(stream []byte, methods []string) (list []string) {
	reader := bufio.NewReader(bytes.NewReader(stream))
	for i := 0; ; {
		method := "GET"
		if i < len(methods) {
			method = methods[i]
		}
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return list
		}
		if response.StatusCode >= 200 {
			i++
		} else if response.ProtoMinor == 0 {
			continue // RFC 9110 §15.2 forbids what net/http sends
		}
		body, err := io.ReadAll(response.Body)
		text := fmt.Sprintf("%d %s failed=%v", response.StatusCode, response.Proto, err != nil)
		if err == nil { // how much of a broken answer arrives is chance
			text += fmt.Sprintf(" %d:%08x:%.60q", len(body), crc32.ChecksumIEEE(body), body)
		}
		response.Header.Del("Date")
		response.Header.Del("Content-Length")
		response.Header.Del("Connection") // what it means is in Close
		names := make([]string, 0, 8)
		for name, values := range response.Header {
			names = append(names, fmt.Sprintf("%s=%q", name, values))
		}
		slices.Sort(names)
		list = append(list, fmt.Sprintf("%s close=%v %s trailer=%v", text, response.Close, names, response.Trailer))
	}
}

// exchange sends a stream, says that no more follows, and reads to the end. A
// server that resets the connection may have said more than arrives.
func exchange(t *testing.T, address, stream string) (got []byte, reset bool) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := io.WriteString(conn, stream); err == nil {
			conn.(*net.TCPConn).CloseWrite()
		}
	}()
	got, err = io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the connection does not end: %v\n%q", err, stream)
	}
	conn.Close()
	<-sent
	return got, err != nil
}

// methodsOf reads the methods of the requests that a handler saw.
func methodsOf(seen []string) (methods []string) {
	for _, s := range seen {
		method, _, _ := strings.Cut(s, " ")
		methods = append(methods, method)
	}
	return methods
}

// TestDifferential sends the same to net/http's server and to ours. Ours may
// refuse more, at any request; up to there all must be the same.
func TestDifferential(t *testing.T) {
	theirRecorder, ourRecorder := &recorder{}, &recorder{}
	theirs := listen(t, &http.Server{Handler: theirRecorder, ErrorLog: log.New(io.Discard, "", 0)})
	mine := listen(t, http1.New(http1.Options{Handler: ourRecorder, ReadHeader: 20 * time.Second, Idle: 20 * time.Second}))
	seed := uint64(20261128)
	rounds := 3000
	if testing.Short() {
		rounds = 500
	}
	strict := 0
	for round := range rounds {
		g := generator{rand.New(rand.NewPCG(seed, uint64(round)))}
		var stream strings.Builder
		for range 1 + g.IntN(4) {
			stream.WriteString(g.request())
		}
		theirAnswer, reset := exchange(t, theirs, stream.String())
		ourAnswer, ourReset := exchange(t, mine, stream.String())
		theirSeen, ourSeen := theirRecorder.take(), ourRecorder.take()
		their, our := answers(theirAnswer, methodsOf(theirSeen)), answers(ourAnswer, methodsOf(ourSeen))
		if ourReset { // by what came behind the last request: an answer may be lost
			continue
		}
		problem, stricter := compare(theirSeen, ourSeen, their, our, reset)
		if problem != "" {
			t.Fatalf("seed %d round %d: %s\n--- sent\n%.9000q\n--- net/http saw\n%.9000s\n--- we saw\n%.9000s\n--- net/http said\n%.9000s\n--- we said\n%.9000s",
				seed, round, problem, stream.String(), strings.Join(theirSeen, "\n"), strings.Join(ourSeen, "\n"),
				strings.Join(their, "\n"), strings.Join(our, "\n"))
		}
		if stricter {
			strict++
		}
	}
	t.Logf("%d of %d streams were refused earlier than by net/http", strict, rounds)
}

// compare says what is wrong with our server, and whether it was stricter.
func compare(theirSeen, ourSeen, their, our []string, reset bool) (problem string, stricter bool) {
	for i, s := range ourSeen {
		switch {
		case i >= len(theirSeen):
			return "we accept more requests", false
		case s == theirSeen[i]:
		case strings.Contains(s, "failed=true") && strings.Contains(theirSeen[i], "failed=false") && i == len(ourSeen)-1:
			return "", true // a body that net/http takes and we do not
		case strings.Contains(s, "failed=true") && strings.Contains(theirSeen[i], "failed=true"):
			return "", false // how far a broken body was read is no matter
		default:
			return "the handler sees something else", false
		}
	}
	for i, s := range our {
		refused := i == len(our)-1 && len(ourSeen) < len(theirSeen) || i >= len(their)
		switch {
		case refused && (strings.HasPrefix(s, "4") || strings.HasPrefix(s, "50")) && strings.Contains(s, "close=true"):
			return "", true
		case reset && (i >= len(their) || i == len(their)-1 && strings.Contains(their[i], "failed=true")):
			return "", false
		case i >= len(their):
			return "we answer more", false
		case s == their[i]:
		case refusal(s) && refusal(their[i]):
		case i == len(our)-1 && s == strings.Replace(their[i], "close=false", "close=true", 1):
			return "", true // the rest of a body that nobody read is refused
		default:
			return fmt.Sprintf("answer %d differs", i), false
		}
	}
	switch {
	case len(our) == len(their)-1 && refusal(their[len(our)]): // half a head, then the end
	case len(our) < len(their):
		return "we answer less", false
	case len(ourSeen) < len(theirSeen):
		return "we accept less without a word", false
	}
	return "", false
}

// refusal says that the server itself, no handler, answered with an error: the
// words differ.
func refusal(answer string) bool {
	return strings.HasPrefix(answer, "400") || strings.HasPrefix(answer, "414") || strings.HasPrefix(answer, "417") ||
		strings.HasPrefix(answer, "431") || strings.HasPrefix(answer, "501") || strings.HasPrefix(answer, "505")
}
