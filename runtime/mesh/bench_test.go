package mesh_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pantheon/events"
	"pantheon/runtime/fastcgi/fpmtest"
	"pantheon/runtime/web"
)

// BenchmarkBesideNginx measures what it costs that a DROP is on another
// machine: a page of 10 KB by way of router and mesh (encrypted) and of the router
// alone; and by nginx over TCP (in clear), over TLS to another nginx, which keeps
// connections and shows a certificate as the mesh does, and over the Unix socket
// to php-fpm. extra-ratio is (mesh - none) / (tcp - unix) of the medians,
// extra-tls-ratio (mesh - none) / (tls - unix); whole-ratio is mesh / tcp, what a
// visitor waits for.
//
// All is on one machine. What a line adds is measured beside it: mesh-line and
// tcp-line go over one that takes lineDelay each way. nginx connects for each
// request, as php-fpm holds a worker for each connection.
// Run it with -benchtime 1x.
func BenchmarkBesideNginx(b *testing.B) {
	folder := b.TempDir()
	for dir := folder; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // PHP runs as nobody
			b.Fatal(err)
		}
	}
	page := "<?php echo str_repeat('0123456789', 1000);"
	if err := os.WriteFile(filepath.Join(folder, "index.php"), []byte(page), 0o644); err != nil {
		b.Fatal(err)
	}
	ways := startNginx(b, folder)
	maps.Copy(ways, startMeshes(b, folder))
	names := slices.Sorted(maps.Keys(ways))
	took := map[string][]time.Duration{}
	for b.Loop() {
		for range 16 {
			for _, name := range names {
				took[name] = append(took[name], ask(b, ways[name], 100)...)
			}
		}
	}
	median := map[string]float64{}
	for _, name := range names {
		slices.Sort(took[name])
		median[name] = float64(took[name][len(took[name])/2]) / 1e3
		b.ReportMetric(median[name], name+"-p50-µs")
		b.ReportMetric(float64(took[name][len(took[name])*99/100])/1e3, name+"-p99-µs")
	}
	extra := median["mesh"] - median["none"]
	b.ReportMetric(extra/(median["tcp"]-median["unix"]), "extra-ratio")
	b.ReportMetric(median["mesh"]/median["tcp"], "whole-ratio")
	b.ReportMetric(extra/(median["tls"]-median["unix"]), "extra-tls-ratio")
	b.ReportMetric((median["mesh-line"]-median["none"])/(median["tcp-line"]-median["unix"]), "extra-line-ratio")
	load, _ := os.ReadFile("/proc/loadavg")
	b.Logf("load average %s", bytes.TrimSpace(load))
}

// ask sends n requests one after the other and gives what each took.
func ask(b *testing.B, address string, n int) (took []time.Duration) {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for range n {
		begun := time.Now()
		fmt.Fprint(conn, "GET /index.php HTTP/1.1\r\nHost: live-shop.pantheon.localhost\r\n\r\n")
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		size, err := io.Copy(io.Discard, answer.Body)
		if err != nil || size != 10_000 {
			b.Fatal(answer.Status, size, err)
		}
		took = append(took, time.Since(begun))
	}
	return took
}

// startMeshes gives a server beside its DROP, and two whose DROP is on another
// machine, one of them at the end of a line.
func startMeshes(b *testing.B, folder string) map[string]string {
	c := newCell(b)
	site, err := web.New(web.Options{
		Spec:    events.DropSpec{Environment: "live.6ba7b810-9dad-11d1-80b4-00c04fd430c8", Framework: "wordpress"},
		CodeDir: folder, Socket: fpmtest.Start(b, 4).Socket,
	})
	if err != nil {
		b.Fatal(err)
	}
	there := c.start(beta, serving(func(w http.ResponseWriter, r *http.Request) error { return site.Serve(w, r) }))
	b.Cleanup(there.stop)
	front := func(m *machine) string { return startRouter(b, m, oneRoute{{Drop: dropID, Host: beta}}) }
	ways := map[string]string{"none": front(there), "mesh": front(c.start(alpha))}
	ask(b, ways["mesh"], 1) // is connected
	c.set(beta, startLine(b, there.address))
	ways["mesh-line"] = front(c.start(gamma))
	ask(b, ways["mesh-line"], 1)
	return ways
}

// BenchmarkTransport compares the mesh with HTTP/2 over the same TLS: one
// request after the other, and 32 at once, for an answer of 10 KB.
func BenchmarkTransport(b *testing.B) {
	content := []byte(strings.Repeat("0123456789", 1000))
	c := newCell(b)
	c.start(beta, serving(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Length", "10000")
		_, err := w.Write(content)
		return err
	}))
	here := c.start(alpha)
	overMesh := func() error {
		w := &sink{header: http.Header{}}
		return here.ServeDrop(w, request("GET", "/index.php?q=node/1", nil), dropID, beta)
	}
	b.Run("mesh", func(b *testing.B) { measure(b, overMesh) })

	there, client := c.node(beta, time.Now(), everyRole...), c.node(alpha, time.Now(), everyRole...)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{TLSConfig: there.Server([]string{"h2"}, nil), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10000")
		_, _ = w.Write(content)
	})}
	ended := make(chan error)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	defer func() { server.Close(); <-ended }()
	transport := &http.Transport{TLSClientConfig: client.Client(beta, "h2"), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	overHTTP2 := func() error {
		r := request("GET", "https://"+listener.Addr().String()+"/index.php?q=node/1", nil)
		r.RequestURI = ""
		answer, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	b.Run("http2", func(b *testing.B) { measure(b, overHTTP2) })
}

func measure(b *testing.B, ask func() error) {
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := ask(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := ask(); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// sink throws a response away.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
