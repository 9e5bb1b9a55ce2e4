package e2e

import (
	"crypto/md5"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// raw sends bytes over a connection of its own and gives what comes back until
// the other side closes it.
func raw(t *testing.T, p *platform, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, text) }() // it may be refused half-way
	answer, _ := io.ReadAll(conn)                     // a reset after the answer is an end as well
	return string(answer)
}

func rawGet(t *testing.T, p *platform, host, path string) string {
	t.Helper()
	return raw(t, p, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
}

// statusOf gives the status of an answer, 0 where there is none.
func statusOf(answer string) int {
	var minor, status int
	_, _ = fmt.Sscanf(answer, "HTTP/1.%d %d ", &minor, &status)
	return status
}

// TestMalformedHTTP: whatever bytes come in, the answer has the right status,
// and the next visitor is served.
func TestMalformedHTTP(t *testing.T) {
	p := shared(t)
	v := p.site(t, "rawhttp", "php", map[string]string{"index.php": helloPage})
	host := "Host: " + v.host + "\r\n"
	const end = "Connection: close\r\n\r\n"
	for _, c := range []struct {
		what   string
		send   string
		status []int // 0: closed without an answer
	}{
		{"a plain request", "GET / HTTP/1.1\r\n" + host + end, []int{200}},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n" + host + "\r\n", []int{200}},
		{"no version", "GET /\r\n\r\n", []int{400}},
		{"another version", "GET / HTTP/9.9\r\n" + host + end, []int{400, 505}},
		{"noise", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		{"no host", "GET / HTTP/1.1\r\n" + end, []int{400}},
		{"two hosts", "GET / HTTP/1.1\r\n" + host + host + end, []int{400}},
		{"a host that is none", "GET / HTTP/1.1\r\nHost: a b\r\n" + end, []int{400}},
		{"a space before the colon", "GET / HTTP/1.1\r\n" + host + "X-A : b\r\n" + end, []int{400}},
		{"a control character", "GET / HTTP/1.1\r\n" + host + "X-A: b\x01c\r\n" + end, []int{400}},
		{"two lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n" + end + "ab", []int{400}},
		{"a length that is none", "POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n" + end, []int{400}},
		{"length and chunks", "POST / HTTP/1.1\r\n" + host + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n" + end + "0\r\n\r\n", []int{200, 400}},
		{"an unknown encoding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n" + end, []int{400, 501}},
		{"a chunk without end", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n" + end + "zz\r\n", []int{400}},
		{"a method that is none", "GE(T / HTTP/1.1\r\n" + host + end, []int{400}},
		{"CONNECT", "CONNECT example.com:443 HTTP/1.1\r\n" + host + end, []int{400, 405}},
		{"TRACE", "TRACE / HTTP/1.1\r\n" + host + end, []int{405}},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + end, []int{200, 204, 400, 405}},
		{"a path that climbs", "GET /../../../etc/passwd HTTP/1.1\r\n" + host + end, []int{400}},
		{"a NUL in the path", "GET /a%00b HTTP/1.1\r\n" + host + end, []int{400}},
		{"a bad escape", "GET /%zz HTTP/1.1\r\n" + host + end, []int{400}},
		{"an unmet expectation", "POST / HTTP/1.1\r\n" + host + "Expect: magic\r\nContent-Length: 0\r\n" + end, []int{417}},
		{"an address of 9 KB", "GET /" + strings.Repeat("a", 9<<10) + " HTTP/1.1\r\n" + host + end, []int{414}},
		{"headers of 80 KB", "GET / HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("a", 80<<10) + "\r\n" + end, []int{431}},
		{"headers of 1 MB", "GET / HTTP/1.1\r\n" + host + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 1000) + end, []int{431, 0}},
		{"a body of 101 MB, said", "POST / HTTP/1.1\r\n" + host + "Content-Length: 105906176\r\n" + end, []int{413}},
	} {
		if status := statusOf(raw(t, p, c.send)); !slices.Contains(c.status, status) {
			t.Errorf("%s: status %d, want one of %v", c.what, status, c.status)
		}
	}
	v.sees(t, 200, "/", "hello")
}

// TestLargeBodies: an upload up to the limit arrives whole, one above it is
// refused although nobody said how long it would be.
func TestLargeBodies(t *testing.T) {
	p := shared(t)
	v := p.site(t, "bodies", "php", map[string]string{"index.php": `<?php echo $_SERVER['CONTENT_LENGTH'], ' ', md5_file('php://input');`})
	body := strings.Repeat("0123456789abcdef", 2<<20)
	sum := md5.Sum([]byte(body))
	v.send(t, "POST", "/", strings.NewReader(body)).wants(t, 200, fmt.Sprintf("%d %x", len(body), sum))
	v.send(t, "POST", "/", io.LimitReader(strings.NewReader(body), 1<<40)).wants(t, 200, fmt.Sprintf("%d %x", len(body), sum)) // in chunks
	endless, err := v.try("POST", "/", io.LimitReader(zeros{}, 110<<20))
	if err == nil && endless.status != 413 { // a reset while it is still sending is a refusal as well
		t.Errorf("110 MB in chunks: %s", endless)
	}
	v.sees(t, 200, "/", " ")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestSlowVisitors: those who send a byte now and then are told so in the end,
// and meanwhile take nothing from the others: no PHP worker waits for them.
func TestSlowVisitors(t *testing.T) {
	p := shared(t)
	v := p.site(t, "slow", "php", map[string]string{"index.php": helloPage})
	v.sees(t, 200, "/", "hello")
	const many = 200
	for i := range many {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		text := "POST / HTTP/1.1\r\nHost: " + v.host + "\r\nContent-Length: 1000\r\n\r\nonly this"
		if i%2 == 0 {
			text = "GET / HTTP/1.1\r\nHost: " + v.host + "\r\nX-Half: a"
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	if during := latency(t, v); during.p95 > time.Second {
		t.Errorf("beside %d slow visitors: %s", many, during)
	}
	// A head that does not end is given up after ten seconds.
	began := time.Now()
	answer := raw(t, p, "GET / HTTP/1.1\r\nHost: "+v.host+"\r\nX-Half: a")
	if status, took := statusOf(answer), time.Since(began); status != 408 && answer != "" || took > 20*time.Second {
		t.Errorf("half a head: %q after %s", answer, took)
	}
}
