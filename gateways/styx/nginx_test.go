package styx_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pantheon/gateways/styx"
)

// BenchmarkBesideNginx lets wrk ask nginx and the router in turns, for the
// same file of 10 KB and for a short answer, over 8 kept connections. It
// reports the median of the ratios of requests per second (styx/nginx; issue 2
// wants 0.8) and the rates themselves. Run it with -benchtime 1x.
func BenchmarkBesideNginx(b *testing.B) {
	for _, program := range []string{"nginx", "wrk"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skipf("%s is missing: apt-get install %s", program, program)
		}
	}
	folder := b.TempDir()
	content := make([]byte, 10240)
	_, _ = rand.Read(content)
	if err := os.WriteFile(filepath.Join(folder, "style.css"), content, 0o644); err != nil {
		b.Fatal(err)
	}
	nginx := startNginx(b, folder)
	for _, c := range []struct {
		path string
		app  application
	}{{"/style.css", oneFile{filepath.Join(folder, "style.css")}}, {"/hello", oneAnswer{}}} {
		b.Run(c.path[1:], func(b *testing.B) {
			router := startRouter(b, c.app)
			var ratios, ours, theirs []float64
			for b.Loop() {
				for range 5 {
					theirs = append(theirs, wrk(b, nginx, c.path))
					ours = append(ours, wrk(b, router, c.path))
					ratios = append(ratios, ours[len(ours)-1]/theirs[len(theirs)-1])
				}
			}
			b.ReportMetric(median(ratios), "styx/nginx")
			b.ReportMetric(median(ours), "styx-req/s")
			b.ReportMetric(median(theirs), "nginx-req/s")
			load, _ := os.ReadFile("/proc/loadavg")
			b.Logf("load average %s, ratios %.2f", bytes.TrimSpace(load), ratios)
		})
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func startRouter(b *testing.B, app application) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	routes := &fakeRoutes{}
	routes.set(site, serving(drop(1), drop(2)))
	server, err := styx.New(styx.Options{Routes: routes, Agent: app, AccessLog: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Serve(ctx, l, nil) }()
	b.Cleanup(func() { cancel(); <-ended })
	return l.Addr().String()
}

// startNginx serves a folder. nginx cannot choose a port itself.
func startNginx(b *testing.B, folder string) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	config := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(`user root; worker_processes auto; daemon off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log %[1]s/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000;
	types { text/css css; }
	server { listen %[2]s; root %[1]s; location = /hello { default_type text/plain; return 200 "hello, world"; } }
}
`, folder, address)
	if os.Getuid() != 0 {
		text = strings.TrimPrefix(text, "user root; ")
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	var said bytes.Buffer
	command := exec.Command("nginx", "-c", config)
	command.Stderr = &said
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	})
	until(b, "nginx answers", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return address
}

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)

// wrk gives requests per second.
func wrk(b *testing.B, address, path string) float64 {
	output, err := exec.Command("wrk", "-t1", "-c8", "-d1s", "-H", "Host: "+site, "http://"+address+path).CombinedOutput()
	found := wrkRate.FindSubmatch(output)
	if err != nil || found == nil || bytes.Contains(output, []byte("Non-2xx")) {
		b.Fatalf("%v\n%s", err, output)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}
