package fastcgi_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"pantheon/runtime/fastcgi"
	"pantheon/runtime/fastcgi/fpmtest"
)

func script(tb testing.TB, code string) string {
	tb.Helper()
	dir := tb.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755) // php-fpm runs as nobody
	}
	path := filepath.Join(dir, "index.php")
	if err := os.WriteFile(path, []byte(code), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

func request(path, method string) *fastcgi.Request {
	params := new(fastcgi.Params)
	params.Add("SCRIPT_FILENAME", path)
	params.Add("SCRIPT_NAME", "/"+filepath.Base(path))
	params.Add("REQUEST_METHOD", method)
	params.Add("REQUEST_URI", "/")
	params.Add("SERVER_PROTOCOL", "HTTP/1.1")
	return &fastcgi.Request{Params: params, Safe: method == "GET"}
}

func read(tb testing.TB, r *fastcgi.Response) string {
	tb.Helper()
	defer r.Close()
	var all []byte
	for {
		piece, err := r.Next()
		all = append(all, piece...)
		if err == io.EOF {
			return string(all)
		}
		if err != nil {
			tb.Fatalf("after %d bytes: %v", len(all), err)
		}
	}
}

func BenchmarkHello(b *testing.B) {
	fpm := fpmtest.Start(b, 4)
	path := script(b, "<?php echo 'Hello, world';")
	pool := fastcgi.NewPool(fastcgi.Options{Socket: fpm.Socket, Workers: 4})
	defer pool.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := request(path, "GET")
		var body []byte
		for pb.Next() {
			response, err := pool.Do(b.Context(), r)
			if err != nil {
				b.Fatal(err)
			}
			var whole bool
			if body, whole = response.Rest(body[:0], 1<<20, 0); !whole || string(body) != "Hello, world" {
				b.Fatalf("%q", body)
			}
			response.Close()
		}
	})
}
