package styx_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pantheon/gateways/styx"
)

// certificate is made for the test and signs itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{site}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Every protocol gives the same answer, over both listeners at once.
func TestProtocols(t *testing.T) {
	cert, pool := certificate(t)
	g := newRig(t, func(o *styx.Options) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
	var listeners [2]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
	}
	g.serve(listeners[0], listeners[1])
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			if r.URL.Path == "/broken" {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				return io.ErrUnexpectedEOF
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s %s https=%s %d", r.Proto, r.Header.Get("X-Forwarded-Proto"), r.Header.Get("User-Agent-HTTPS"), len(body))
			return nil
		})
	}
	for _, c := range []struct {
		name, scheme string
		to           net.Listener
		set          func(*http.Protocols)
		want         string
	}{
		{"HTTP/1.1", "http", listeners[0], func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/1.1 http https=OFF 100000"},
		{"h2c", "http", listeners[0], func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, "HTTP/2.0 http https=OFF 100000"},
		{"HTTPS", "https", listeners[1], func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/1.1 https https=ON 100000"},
		{"h2", "https", listeners[1], func(p *http.Protocols) { p.SetHTTP2(true) }, "HTTP/2.0 https https=ON 100000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var protocols http.Protocols
			c.set(&protocols)
			transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{RootCAs: pool},
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "tcp", c.to.Addr().String())
				}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
			response, err := client.Post(c.scheme+"://"+site+"/", "text/plain", bytes.NewReader(make([]byte, 100000)))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if text, err := io.ReadAll(response.Body); err != nil || string(text) != c.want {
				t.Errorf("%q, %v; want %q", text, err, c.want)
			}
			g.expectRouter(response.Header)
			broken, err := client.Get(c.scheme + "://" + site + "/broken")
			if err != nil {
				t.Fatal(err)
			}
			defer broken.Body.Close()
			if text, err := io.ReadAll(broken.Body); err == nil {
				t.Errorf("a broken answer ended as if complete: %q", text)
			}
		})
	}
}

// A WebSocket-like upgrade: the agent gets the connection, and the time-outs
// of the router end.
func TestUpgrade(t *testing.T) {
	g := start(t)
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			if r.Header.Get("Connection") != "Upgrade" || r.Header.Get("Upgrade") != "websocket" {
				t.Errorf("the upgrade is lost: %v", r.Header)
			}
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return err
			}
			defer conn.Close()
			fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			if err := buffered.Flush(); err != nil {
				return err
			}
			line, err := buffered.ReadString('\n')
			if err != nil {
				return err
			}
			_, err = io.WriteString(conn, strings.ToUpper(line))
			return err
		})
	}
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /chat HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", site)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != 101 {
		t.Fatalf("%v %v", response, err)
	}
	fmt.Fprintf(conn, "hello\n")
	if line, err := reader.ReadString('\n'); err != nil || line != "HELLO\n" {
		t.Errorf("%q %v", line, err)
	}
	until(t, "the upgrade is counted", func() bool { return g.metric("requests_total", "served", "1xx") == 1 })
}

// What the application flushes arrives while it goes on.
func TestStreaming(t *testing.T) {
	g := start(t)
	next := make(chan struct{})
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			w.(http.Flusher).Flush()
			for range 3 {
				<-next
				_, _ = io.WriteString(w, "tick\n")
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	response, err := g.client().Get("http://" + site + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	reader := bufio.NewReader(response.Body)
	for range 3 {
		next <- struct{}{}
		if line, err := reader.ReadString('\n'); err != nil || line != "tick\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
}

// Files of every size come whole, through the kernel's way and the copying
// one, with and without a range of the file.
func TestFiles(t *testing.T) {
	g := start(t)
	content := make([]byte, 3*styx.WriteChunkBytes+17)
	_, _ = rand.Read(content)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			switch r.URL.Path {
			case "/file":
				http.ServeContent(w, r, "file.bin", time.Time{}, f)
			case "/copy":
				_, err = io.Copy(w, struct{ io.Reader }{f})
			case "/write":
				_, err = w.Write(content)
			case "/string":
				_, err = w.(io.StringWriter).WriteString(string(content))
			case "/whole":
				_, err = w.(io.ReaderFrom).ReadFrom(f)
			}
			return err
		})
	}
	for _, way := range []string{"/file", "/copy", "/write", "/string", "/whole"} {
		if a := g.do("GET", "http://"+site+way, nil); a.body != string(content) {
			t.Errorf("%s: %d bytes of %d, status %d", way, len(a.body), len(content), a.StatusCode)
		}
	}
	if a := g.do("GET", "http://"+site+"/file", nil, "Range", "bytes=100-600000"); a.StatusCode != 206 || a.body != string(content[100:600001]) {
		t.Errorf("range: %d bytes, status %d", len(a.body), a.StatusCode)
	}
	if a := g.do("HEAD", "http://"+site+"/file", nil); a.ContentLength != int64(len(content)) {
		t.Errorf("HEAD: length %d", a.ContentLength)
	}
}

func TestEarlyHints(t *testing.T) {
	g := start(t)
	for i := 1; i <= 2; i++ {
		g.agent.set(drop(i), func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			return says(200, "hello")(w, r)
		})
	}
	text := g.raw("GET / HTTP/1.1\r\nHost: " + site + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(text, "HTTP/1.1 103 ") || !strings.Contains(text, "HTTP/1.1 200 OK") || !strings.HasSuffix(text, "hello") {
		t.Error(text)
	}
}
