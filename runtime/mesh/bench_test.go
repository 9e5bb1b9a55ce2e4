package mesh_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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
// machine: a page of 10 KB by way of the mesh (encrypted) and without it, and by
// nginx over TCP (in clear) and over the Unix socket to php-fpm. All is on one
// machine, so what a line adds, a round trip for nginx' connection, is missing.
// extra-ratio is (mesh - none) / (tcp - unix) of the medians.
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
	unix, tcp := startNginx(b, folder)
	none, remote := startMeshes(b, folder)
	names := []string{"none", "mesh", "unix", "tcp"}
	var took [4][]time.Duration
	for b.Loop() {
		for range 8 {
			for i, address := range []string{none, remote, unix, tcp} {
				took[i] = append(took[i], ask(b, address, 200)...)
			}
		}
	}
	var median [4]float64
	for i, name := range names {
		slices.Sort(took[i])
		median[i] = float64(took[i][len(took[i])/2]) / 1e3
		b.ReportMetric(median[i], name+"-p50-µs")
		b.ReportMetric(float64(took[i][len(took[i])*99/100])/1e3, name+"-p99-µs")
	}
	b.ReportMetric((median[1]-median[0])/(median[3]-median[2]), "extra-ratio")
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

// startMeshes gives a server beside its DROP, and one whose DROP is on another
// machine.
func startMeshes(b *testing.B, folder string) (none, remote string) {
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
	front := func(m *machine) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := m.ServeDrop(w, r, dropID, beta); err != nil {
				b.Error(err)
			}
		}))
		b.Cleanup(server.Close)
		return server.Listener.Addr().String()
	}
	return front(there), front(c.start(alpha))
}

// startNginx gives two servers, over php-fpm's Unix socket and over TCP.
func startNginx(b *testing.B, folder string) (unix, tcp string) {
	if _, err := exec.LookPath("nginx"); err != nil {
		b.Skip("nginx is missing: apt-get install nginx")
	}
	unix, tcp, remote := freeAddress(b), freeAddress(b), freeAddress(b)
	pool := []string{"[tcp]", "listen = " + remote, "pm = static", "pm.max_children = 4"}
	user := ""
	if os.Geteuid() == 0 {
		pool, user = append(pool, "user = nobody", "group = nogroup"), "user root; "
	}
	fpm := fpmtest.Start(b, 4, pool...)
	server := `server { listen %s; location / { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME ` + folder + `/index.php; fastcgi_pass %s; } }`
	text := user + `worker_processes auto; daemon off; pid ` + folder + `/pid; error_log ` + folder + `/error.log; events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000; tcp_nodelay on; ` + fmt.Sprintf(server, unix, "unix:"+fpm.Socket) + fmt.Sprintf(server, tcp, remote) + ` }`
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	command := exec.Command("nginx", "-c", config)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	})
	until(b, func() bool {
		conn, err := net.Dial("tcp", tcp)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return unix, tcp
}

// freeAddress is for programs that cannot choose a port themselves.
func freeAddress(b *testing.B) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
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
