package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pantheon/runtime/fastcgi"
	"pantheon/runtime/fastcgi/fpmtest"
)

// phpSite is a site whose scripts a real php-fpm runs.
func phpSite(t *testing.T, workers int, tree map[string]string, settings ...string) (*site, *httptest.Server) {
	t.Helper()
	fpm := fpmtest.Start(t, workers, append(settings, "ping.path = /fpm-ping")...)
	s := newSite(t, tree, func(o *Options) {
		o.Socket, o.ScriptRoot, o.PingPath = fpm.Socket, "", "/fpm-ping"
		o.Spec.Settings.Workers = workers
		openToAll(o.CodeDir)
	})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server
}

// openToAll lets php-fpm, which runs as nobody, reach a temporary folder.
func openToAll(dir string) {
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestPHPServes(t *testing.T) {
	s, server := phpSite(t, 2, map[string]string{
		"index.php": `<?php echo $_SERVER['PHP_SELF'], '|', $_SERVER['PATH_INFO'] ?? '-', '|', $_SERVER['REQUEST_URI'], '|', $_SERVER['SCRIPT_FILENAME'], '|', $_SERVER['DOCUMENT_ROOT'];`,
		"auth.php":  `<?php echo $_SERVER['PHP_AUTH_USER'] ?? '-', '|', getenv('HTTP_PROXY') ?: '-';`,
		"size.php":  `<?php echo strlen(file_get_contents('php://input')), '|', $_SERVER['CONTENT_LENGTH'] ?? '-';`,
		"gone.php":  `<?php header('HTTP/1.1 550 Database Offline'); echo 'offline';`,
		"big.php":   `<?php echo str_repeat('0123456789', 300000);`,
	})
	root := s.code
	for _, test := range []struct{ path, want string }{
		{"/", "/index.php|-|/|" + root + "/index.php|" + root},
		{"/index.php/Main_Page?x=1", "/index.php/Main_Page|/Main_Page|/index.php/Main_Page?x=1|" + root + "/index.php|" + root},
		{"/index.php/Talk:A%2FB", "/index.php/Talk:A/B|/Talk:A/B|/index.php/Talk:A%2FB|" + root + "/index.php|" + root},
		{"/any/where", "/index.php|-|/any/where|" + root + "/index.php|" + root},
		{"/auth.php", "-|-"},
		{"/big.php", strings.Repeat("0123456789", 300000)},
	} {
		if code, body := fetch(t, server.URL+test.path); code != 200 || body != test.want {
			t.Errorf("%s: %d\n got %.200s\nwant %.200s", test.path, code, body, test.want)
		}
	}
	if code, body := fetch(t, server.URL+"/gone.php"); code != 550 || body != "offline" {
		t.Error(code, body)
	}
	response, err := http.Post(server.URL+"/size.php", "text/plain", unknownLength{strings.NewReader(strings.Repeat("x", 1_000_000))})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); string(body) != "1000000|1000000" {
		t.Errorf("%q", body)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPHPFaults(t *testing.T) {
	_, server := phpSite(t, 1, map[string]string{
		"killed.php": `<?php posix_kill(getmypid(), 9); usleep(100000000);`,
		"header.php": `<?php for ($i = 0; $i < 20; $i++) header("X-Big-$i: " . str_repeat('x', 8000));`,
		"loop.php":   `<?php while (true) {}`,
		"ok.php":     `<?php echo 'ok';`,
	}, "php_admin_value[extension] = posix", "request_terminate_timeout = 1s")
	for _, test := range []struct {
		path, title string
	}{
		{"/killed.php", "502 Timeout/Segfault"},
		{"/header.php", "502 Upstream Header Too Big"},
		{"/loop.php", "502 Timeout/Segfault"},
	} {
		code, body := fetch(t, server.URL+test.path)
		if !strings.Contains(body, "<h2>"+test.title+"</h2>") || !strings.HasPrefix(test.title, strconv.Itoa(code)) {
			t.Errorf("%s: %d %s", test.path, code, body)
		}
		if code, body := fetch(t, server.URL+"/ok.php"); code != 200 || body != "ok" {
			t.Errorf("after %s: %d %s", test.path, code, body)
		}
	}
}

func TestPHPTimeLimit(t *testing.T) {
	fpm := fpmtest.Start(t, 1)
	s := newSite(t, map[string]string{"index.php": `<?php usleep(20000000);`}, func(o *Options) {
		o.Socket, o.ScriptRoot = fpm.Socket, ""
		o.Timeouts = fastcgi.Timeouts{FirstByte: 50 * time.Millisecond}
		openToAll(o.CodeDir)
	})
	if got := outcome(s, "GET", "/"); got != "503 First Byte Timeout" {
		t.Error(got)
	}
}

// dial speaks HTTP by hand.
func dial(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSlowUploadHoldsNoWorker(t *testing.T) {
	_, server := phpSite(t, 1, map[string]string{"index.php": `<?php echo strlen(file_get_contents('php://input'));`})
	slow := dial(t, server)
	fmt.Fprintf(slow, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n%s", strings.Repeat("x", 100_000))
	for range 3 { // by the only worker
		if code, body := fetch(t, server.URL+"/"); code != 200 || body != "0" {
			t.Fatal(code, body)
		}
	}
	io.WriteString(slow, strings.Repeat("x", 100_000))
	response, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(response.Body); string(body) != "200000" {
		t.Errorf("%q", body)
	}
}

func TestSlowReaderHoldsNoWorker(t *testing.T) {
	s, server := phpSite(t, 1, map[string]string{"index.php": `<?php echo $_GET ? str_repeat('x', 20000000) : 'small';`})
	slow := dial(t, server)
	fmt.Fprintf(slow, "GET /?big HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(slow)
	response, err := http.ReadResponse(in, nil) // the header is here: PHP has begun
	if err != nil {
		t.Fatal(err)
	}
	if code, body := fetch(t, server.URL+"/"); code != 200 || body != "small" {
		t.Fatal(code, body)
	}
	if n, err := io.Copy(io.Discard, response.Body); n != 20_000_000 || err != nil {
		t.Error(n, err)
	}
	if left, _ := os.ReadDir(s.options.SpoolDir); len(left) != 0 {
		t.Error(left)
	}
}

func TestFlushReachesTheVisitor(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o666); err != nil {
		t.Fatal(err)
	}
	os.Chmod(gate, 0o666)
	openToAll(filepath.Dir(gate))
	_, server := phpSite(t, 1, map[string]string{
		"index.php": `<?php header('Content-Type: text/event-stream'); echo "data: one\n\n"; flush(); fgets(fopen('` + gate + `', 'r')); echo "data: two\n\n";`,
	})
	response, err := http.Get(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, len("data: one\n\n"))
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "data: one\n\n" {
		t.Fatalf("%q %v", first, err)
	}
	if err := os.WriteFile(gate, []byte("go\n"), 0); err != nil { // only now may PHP go on
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "data: two\n\n" {
		t.Errorf("%q %v", rest, err)
	}
}

// A visitor who leaves frees the worker at PHP's next output.
func TestVisitorLeavesPHP(t *testing.T) {
	_, server := phpSite(t, 1, map[string]string{"index.php": `<?php while ($_GET) { echo str_repeat('x', 8192); flush(); usleep(1000); } echo 'ok';`})
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/?endless", nil)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	response.Body.Close()
	if code, body := fetch(t, server.URL+"/"); code != 200 || body != "ok" {
		t.Error(code, body)
	}
}

func TestQueueFullIsItsPage(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	s, server := phpSite(t, 1, map[string]string{"index.php": `<?php while (!file_exists('` + gate + `')) usleep(1000); echo 'ok';`})
	openToAll(filepath.Dir(gate))
	codes := make([]int, 1+fastcgi.MaxQueued)
	var wg sync.WaitGroup
	for i := range codes {
		wg.Go(func() { codes[i], _ = fetch(t, server.URL+"/") })
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.admitted.Load() < int64(len(codes)) {
		<-tick.C
	}
	code, body := fetch(t, server.URL+"/")
	if code != 504 || !strings.Contains(body, "504 Target Not Responding") {
		t.Error(code, body)
	}
	if code, body := fetch(t, server.URL+"/nothing.css"); code != 504 {
		t.Error(code, body)
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for _, code := range codes {
		if code != 200 {
			t.Fatal(codes)
		}
	}
	if s.admitted.Load() != 0 {
		t.Error(s.admitted.Load())
	}
}

// MediaWiki of Debian's package needs PATH_INFO; its front controller is
// enough to see that it gets it.
func TestDebianMediaWiki(t *testing.T) {
	const dir = "/usr/share/mediawiki"
	if _, err := os.Stat(dir + "/index.php"); err != nil {
		t.Skip("MediaWiki is missing: apt-get install mediawiki")
	}
	fpm := fpmtest.Start(t, 2)
	s := newSite(t, nil, func(o *Options) {
		o.CodeDir, o.ScriptRoot, o.Socket, o.FilesDir = dir, "", fpm.Socket, ""
	})
	for _, target := range []string{"/index.php/Main_Page", "/index.php"} {
		w := s.ask("GET", target)
		if w.Header().Get("X-Pantheon-Phpreq") != "yes" || !bytes.Contains(bytes.ToLower(w.Body.Bytes()), []byte("mediawiki")) {
			t.Errorf("%s: %d %.300s", target, w.Code, w.Body)
		}
	}
}

func BenchmarkHelloPHP(b *testing.B) {
	fpm := fpmtest.Start(b, 4)
	dir := b.TempDir()
	const hello = "Hello, world"
	os.WriteFile(filepath.Join(dir, "index.php"), []byte("<?php echo '"+hello+"';"), 0o644)
	openToAll(dir)
	o := Options{CodeDir: dir, Socket: fpm.Socket}
	o.Spec.Environment, o.Spec.Settings.Workers = testEnvironment, 4
	s, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	benchmark(b, s, "/", len(hello))
}
