package fastcgi_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pantheon/runtime/fastcgi"
	"pantheon/runtime/fastcgi/fpmtest"
)

func newPool(t *testing.T, fpm *fpmtest.FPM, workers int) *fastcgi.Pool {
	p := fastcgi.NewPool(fastcgi.Options{Socket: fpm.Socket, Workers: workers})
	t.Cleanup(func() { p.Close() })
	return p
}

func TestPHPAnswers(t *testing.T) {
	fpm := fpmtest.Start(t, 1)
	pool := newPool(t, fpm, 1)
	path := script(t, `<?php header('HTTP/1.1 418 Teapot'); header('X-A: 1'); header('X-A: 2', false); echo $_SERVER['REQUEST_METHOD'];`)
	for range 3 {
		r, err := pool.Do(t.Context(), request(path, "GET"))
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != 418 || strings.Join(r.Header["X-A"], ",") != "1,2" {
			t.Errorf("%d %v", r.Status, r.Header)
		}
		if body := read(t, r); body != "GET" {
			t.Errorf("%q", body)
		}
	}
}

func TestPHPTakesLargeBodies(t *testing.T) {
	fpm := fpmtest.Start(t, 1, "php_admin_value[post_max_size] = 100M")
	pool := newPool(t, fpm, 1)
	path := script(t, `<?php echo md5(file_get_contents('php://input'));`)
	for _, size := range []int{0, 1, 65_535, 65_536, 65_537, 5_000_000} {
		body := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
		r := request(path, "POST")
		r.Params.Add("CONTENT_LENGTH", strconv.Itoa(size))
		r.Params.Add("CONTENT_TYPE", "application/octet-stream")
		r.Body, r.Size = strings.NewReader(body), int64(size)
		response, err := pool.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		sum := md5.Sum([]byte(body))
		if got := read(t, response); got != hex.EncodeToString(sum[:]) {
			t.Errorf("%d bytes: %q", size, got)
		}
	}
}

// A script that reads its body only after it has written more than the socket
// buffers hold: nothing blocks for ever.
func TestPHPWritesBeforeItReads(t *testing.T) {
	fpm := fpmtest.Start(t, 1, "php_admin_value[enable_post_data_reading] = 0", "php_admin_value[post_max_size] = 100M")
	pool := newPool(t, fpm, 1)
	path := script(t, `<?php echo str_repeat('x', 4000000); flush(); echo strlen(file_get_contents('php://input'));`)
	const size = 4_000_000
	r := request(path, "POST")
	r.Params.Add("CONTENT_LENGTH", strconv.Itoa(size))
	r.Body, r.Size = strings.NewReader(strings.Repeat("y", size)), size
	response, err := pool.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, response); len(body) != 4_000_007 || !strings.HasSuffix(body, "x4000000") {
		t.Errorf("%d bytes, %q", len(body), body[max(0, len(body)-20):])
	}
}

// Workers that are retired after every few requests must not cost one.
func TestPHPRecyclesWorkers(t *testing.T) {
	fpm := fpmtest.Start(t, 3, "pm.max_requests = 5")
	pool := newPool(t, fpm, 3)
	path := script(t, `<?php echo 'ok';`)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 60 {
				r := request(path, "POST")
				response, err := pool.Do(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				if body := read(t, response); body != "ok" {
					t.Errorf("%q", body)
				}
			}
		})
	}
	wg.Wait()
}

// A connection is not left without a worker, while others have one and visitors
// without end: neither one of several that come at once nor one that comes as a
// worker retires.
func TestPHPForksForEveryConnection(t *testing.T) {
	const workers, each = 3, 1000
	path := script(t, `<?php echo 'ok';`)
	for round := range 8 {
		retire := round % 2 * 700 // 0: never
		fpm := fpmtest.Start(t, workers, "pm = ondemand", "pm.max_requests = "+strconv.Itoa(retire))
		pool := newPool(t, fpm, workers)
		ctx, end := context.WithTimeout(t.Context(), 30*time.Second)
		var visitors sync.WaitGroup
		var served atomic.Int32
		for range workers {
			visitors.Go(func() {
				for n := 0; ctx.Err() == nil && served.Load() < workers; n++ {
					response, err := pool.Do(ctx, request(path, "POST"))
					if err != nil {
						t.Errorf("request %d of a visitor: %v", n, err)
						return
					}
					_ = read(t, response)
					if n == each {
						served.Add(1)
					}
				}
			})
		}
		visitors.Wait()
		end()
		if t.Failed() {
			return
		}
	}
}

func TestPHPWorkerIsKilled(t *testing.T) {
	fpm := fpmtest.Start(t, 1)
	pool := newPool(t, fpm, 1)
	path := script(t, `<?php echo getmypid(), "\n"; flush(); while (isset($_GET['hang'])) { usleep(1000); }`)
	hang := request(path, "GET")
	hang.Params.Add("QUERY_STRING", "hang=1")
	response, err := pool.Do(t.Context(), hang)
	if err != nil {
		t.Fatal(err)
	}
	piece, err := response.Next()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(piece)))
	if err != nil || pid <= 1 {
		t.Fatal(pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := response.Next(); !errors.Is(err, fastcgi.ErrHungUp) {
		t.Error(err)
	}
	response.Close()
	response, err = pool.Do(t.Context(), request(path, "GET")) // by the next worker
	if err != nil {
		t.Fatal(err)
	}
	next := read(t, response)

	// The worker of a kept connection dies between two requests.
	pid, err = strconv.Atoi(strings.TrimSpace(next))
	if err != nil || pid <= 1 {
		t.Fatal(pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	response, err = pool.Do(t.Context(), request(path, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, response) == next {
		t.Error("the dead worker answered")
	}
}

// A visitor who leaves frees the worker: PHP ends at its next output.
func TestPHPIsAborted(t *testing.T) {
	fpm := fpmtest.Start(t, 1)
	pool := newPool(t, fpm, 1)
	path := script(t, `<?php while (isset($_GET['endless'])) { echo str_repeat('x', 10000); flush(); } echo 'ok';`)
	endless := request(path, "GET")
	endless.Params.Add("QUERY_STRING", "endless=1")
	ctx, cancel := context.WithCancel(t.Context())
	response, err := pool.Do(ctx, endless)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for err == nil {
		_, err = response.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	response, err = pool.Do(ctx, request(path, "GET")) // needs the only worker
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, response); body != "ok" {
		t.Errorf("%q", body)
	}
}

func TestPHPLoops(t *testing.T) {
	fpm := fpmtest.Start(t, 1, "php_admin_value[max_execution_time] = 1", "php_admin_value[display_errors] = 0", "php_admin_value[log_errors] = 1")
	var mu sync.Mutex
	var lines []string
	pool := fastcgi.NewPool(fastcgi.Options{Socket: fpm.Socket, Workers: 1, Stderr: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}})
	t.Cleanup(func() { pool.Close() })
	path := script(t, `<?php error_log('about to loop'); while (true) {}`)
	response, err := pool.Do(t.Context(), request(path, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	if response.Status != 500 {
		t.Errorf("%d", response.Status)
	}
	read(t, response)
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"about to loop", "Maximum execution time"} {
		if !strings.Contains(strings.Join(lines, "\n"), want) {
			t.Errorf("no %q in %q", want, lines)
		}
	}
}
