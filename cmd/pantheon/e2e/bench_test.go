package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pantheon/events/eventlog/eventlogtest"
	"pantheon/events/eventlog/jetstream/jetstreamtest"
)

// The benchmarks of this package start the whole platform; rivals run beside
// it, in turn, so that a noisy machine is noisy for both. Figures are printed
// as metrics: ratios are what counts.

// pairs is how often platform and rival are measured in turn.
const pairs = 5

// benchPlatform starts a platform with a site "bench" that serves hello.php
// and the 10 KB file ten.txt.
func benchPlatform(b *testing.B) (*platform, string) {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("needs root: sandboxes")
	}
	p, err := start(options{data: filepath.Join(base, fmt.Sprintf("bench-%d", time.Now().UnixNano()))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := p.stop(); err != nil {
			b.Error(err)
		}
	})
	code := filepath.Join(base, "bench-code")
	text := make([]byte, 10<<10)
	for i := range text {
		text[i] = "0123456789abcdef"[i*7%16]
	}
	for name, content := range map[string][]byte{"hello.php": []byte(`<?php echo "hello world";`), "index.php": []byte(`<?php echo "front";`), "ten.txt": text} {
		if err := os.MkdirAll(code, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(code, name), content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	mustRun(b, p, "upstream", "add", "bench", code, "--framework", "php")
	mustRun(b, p, "site", "create", "bench", "--upstream", "bench")
	settle(b, p)
	return p, code
}

// settle waits until the platform has nothing of its own to do: after its
// first start it fetches the sample upstreams, which takes both processors for
// some ten seconds.
func settle(b *testing.B, p *platform) {
	b.Helper()
	const look, quiet = time.Second, 50 * time.Millisecond
	last := processorTime(b, p.cmd.Process.Pid)
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for range ticker.C {
		now := processorTime(b, p.cmd.Process.Pid)
		if now-last < quiet {
			return
		}
		last = now
	}
}

// processorTime gives what a process and its ended children have used.
func processorTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime of proc(5)
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

func mustRun(b *testing.B, p *platform, args ...string) {
	b.Helper()
	if r := p.run(args...); r.code != 0 {
		b.Fatalf("pantheon %v: exit code %d\n%s%s", args, r.code, r.out, r.said)
	}
}

// BenchmarkServe measures requests a second of the platform against nginx with
// php-fpm on kept connections, with the same number of PHP workers.
func BenchmarkServe(b *testing.B) {
	for _, program := range []string{"nginx", "wrk", "php-fpm8.2"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skipf("%s is not installed: go tool task setup-bench", program)
		}
	}
	p, code := benchPlatform(b)
	rival := startNginx(b, code)
	host := "Host: dev-bench.pantheon.localhost"
	for _, page := range []string{"hello.php", "ten.txt"} {
		b.Run(page, func(b *testing.B) {
			var ours, theirs, ratios []float64
			for range pairs {
				mine := wrk(b, host, "http://"+p.address+"/"+page)
				other := wrk(b, host, "http://"+rival+"/"+page)
				ours, theirs, ratios = append(ours, mine), append(theirs, other), append(ratios, mine/other)
			}
			b.ReportMetric(median(ours), "req/s")
			b.ReportMetric(median(theirs), "nginx-req/s")
			b.ReportMetric(median(ratios), "×nginx")
			b.ReportMetric(0, "ns/op")
			b.Logf("%s: ratios %.2f", page, ratios)
		})
	}
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

var requestsPerSecond = regexp.MustCompile(`Requests/sec: +([0-9.]+)`)

func wrk(b *testing.B, host, url string) float64 {
	b.Helper()
	out, err := exec.Command("wrk", "-t1", "-c8", "-d3", "-H", host, url).Output()
	match := requestsPerSecond.FindSubmatch(out)
	if err != nil || match == nil {
		b.Fatalf("wrk %s: %v\n%s", url, err, out)
	}
	value, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// startNginx starts nginx and php-fpm on a folder and gives nginx' address.
func startNginx(b *testing.B, code string) string {
	b.Helper()
	dir := filepath.Join(base, "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	address := freeAddress(b)
	fpm := fmt.Sprintf("[global]\nerror_log=%[1]s/fpm.log\ndaemonize=no\n[www]\nuser=nobody\ngroup=nogroup\n"+
		"listen=%[1]s/fpm.sock\nlisten.mode=0666\npm=static\npm.max_children=4\n", dir)
	nginx := fmt.Sprintf(`worker_processes 2; daemon off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 1024; }
http { include /etc/nginx/mime.types; access_log %[1]s/access.log; sendfile on; tcp_nopush on; keepalive_requests 1000000; gzip on;
 upstream php { server unix:%[1]s/fpm.sock; keepalive 2; }
 server { listen %[2]s; root %[3]s;
  location / { try_files $uri /index.php?$args; }
  location ~ \.php$ { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_keep_conn on; fastcgi_pass php; } } }
`, dir, address, code)
	for name, text := range map[string]string{"fpm.conf": fpm, "nginx.conf": nginx} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	background(b, "php-fpm8.2", "-R", "-F", "-y", filepath.Join(dir, "fpm.conf"))
	background(b, "nginx", "-c", filepath.Join(dir, "nginx.conf"))
	if err := wait(startTimeout, func() (bool, error) {
		response, err := http.Get("http://" + address + "/hello.php")
		if err != nil {
			return false, nil
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	}); err != nil {
		b.Fatalf("nginx: %v", err)
	}
	return address
}

func background(b *testing.B, program string, args ...string) {
	b.Helper()
	cmd := exec.Command(program, args...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// pageTime gets a page of a site and gives how long its first byte took.
func pageTime(b *testing.B, p *platform, site, path string) time.Duration {
	b.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	request.Host = "dev-" + site + ".pantheon.localhost"
	begun := time.Now()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(begun)
	_ = response.Body.Close()
	if response.StatusCode >= http.StatusInternalServerError {
		b.Fatalf("%s%s: %s", site, path, response.Status)
	}
	return took
}

// BenchmarkWakePage measures the first byte of a sleeping DROP's page through
// everything: router, agent, php-fpm's start. The database server is awake.
func BenchmarkWakePage(b *testing.B) {
	p, _ := benchPlatform(b)
	b.Run("tiny", func(b *testing.B) { benchWake(b, p, "bench", "/hello.php") })
	b.Run("wordpress", func(b *testing.B) {
		if _, err := os.Stat("/usr/share/wordpress"); err != nil {
			b.Skip("needs the sample application: apt-get install -y wordpress")
		}
		mustRun(b, p, "site", "create", "blog", "--upstream", "wordpress")
		installWordPress(b, p, "blog")
		benchWake(b, p, "blog", "/")
	})
}

func benchWake(b *testing.B, p *platform, site, path string) {
	var times []float64
	pageTime(b, p, site, path)
	for b.Loop() {
		b.StopTimer()
		mustRun(b, p, "env", "sleep", site+".dev")
		b.StartTimer()
		times = append(times, float64(pageTime(b, p, site, path).Microseconds())/1000)
	}
	reportTimes(b, times)
}

// reportTimes prints the median and the 99th percentile, in milliseconds.
func reportTimes(b *testing.B, times []float64) {
	slices.Sort(times)
	b.ReportMetric(times[len(times)/2], "p50-ms")
	b.ReportMetric(times[len(times)*99/100], "p99-ms")
}

func installWordPress(b *testing.B, p *platform, site string) {
	b.Helper()
	body := "weblog_title=Blog&user_name=admin&admin_password=Secret123x&admin_password2=Secret123x&pw_weak=on&admin_email=a@example.com"
	request, err := http.NewRequest(http.MethodPost, "http://"+p.address+"/wp-admin/install.php?step=2", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	request.Host = "dev-" + site + ".pantheon.localhost"
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		b.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		b.Fatalf("WordPress' installer: %s", response.Status)
	}
}

// BenchmarkCreateSite measures from the command to the first page's last byte.
func BenchmarkCreateSite(b *testing.B) {
	p, _ := benchPlatform(b)
	for _, upstream := range []string{"bench", "wordpress"} {
		b.Run(upstream, func(b *testing.B) {
			var times []float64
			for n := 0; b.Loop(); n++ {
				name := fmt.Sprintf("%s-%d-%d", upstream, b.N, n)
				begun := time.Now()
				mustRun(b, p, "site", "create", name, "--upstream", upstream)
				pageTime(b, p, name, "/")
				times = append(times, float64(time.Since(begun).Milliseconds()))
			}
			reportTimes(b, times)
		})
	}
}

// BenchmarkStartCell starts the platform on the log of a large cell: once to
// make the snapshots, then timed, from the exec to the readiness line.
// PANTHEON_BENCH_SITES sets its size.
func BenchmarkStartCell(b *testing.B) {
	sites := 100_000
	if text := os.Getenv("PANTHEON_BENCH_SITES"); text != "" {
		var err error
		if sites, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	data := filepath.Join(base, "cell")
	commits, _, err := jetstreamtest.Write(b.Context(), filepath.Join(data, "log"), eventlogtest.Fleet(sites))
	if err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	p, err := start(options{data: data, patience: 10 * time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	first := time.Since(begun)
	for b.Loop() {
		b.StopTimer()
		if err := p.end(os.Interrupt); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := p.up(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(first.Seconds(), "without-snapshots-s")
	b.ReportMetric(float64(commits), "commits")
	b.ReportMetric(residentMiB(b, p.cmd.Process.Pid), "MiB")
	if err := p.stop(); err != nil {
		b.Error(err)
	}
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	match := residentLine.FindSubmatch(status)
	if err != nil || match == nil {
		b.Fatalf("cannot read the memory of process %d: %v", pid, err)
	}
	kib, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
