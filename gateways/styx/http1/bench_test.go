package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"

	"pantheon/gateways/styx/http1"
)

// BenchmarkServer compares the server with net/http's: the same handler, over
// kept connections of the loopback. cpu-ns/op is the processor time of client
// and server together, which a busy machine changes less than the wall's.
func BenchmarkServer(b *testing.B) {
	large, small := bytes.Repeat([]byte("0123456789abcdef"), 640), []byte("hello, world")
	for _, c := range []struct {
		name string
		body []byte
	}{{"10K", large}, {"tiny", small}} {
		length := []string{fmt.Sprint(len(c.body))}
		kind := []string{"text/plain"}
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Content-Type"], h["Content-Length"] = kind, length
			_, _ = w.Write(c.body)
		})
		b.Run(c.name+"/nethttp", func(b *testing.B) {
			hammer(b, listen(b, &http.Server{Handler: handler}), len(c.body))
		})
		b.Run(c.name+"/http1", func(b *testing.B) {
			hammer(b, listen(b, http1.New(http1.Options{Handler: handler})), len(c.body))
		})
	}
}

func processorTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// hammer sends requests over kept connections, with a client that allocates
// nothing itself.
func hammer(b *testing.B, address string, size int) {
	request := []byte("GET /style.css?v=1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nCookie: a=b\r\n\r\n")
	b.SetParallelism(4)
	b.ReportAllocs()
	before := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		reader := bufio.NewReaderSize(conn, 32<<10)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			for {
				line, err := reader.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := reader.Discard(size); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkParse is the cost of a browser's head.
func BenchmarkParse(b *testing.B) {
	head := []byte("GET /wp-content/themes/a/style.css?ver=6.4 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/css,*/*;q=0.1\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n" +
		"Referer: http://www.example.com/\r\nCookie: a=b; c=d\r\nSec-Fetch-Dest: style\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\n\r\n")
	b.Run("nethttp", func(b *testing.B) {
		reader := bytes.NewReader(head)
		buffered := bufio.NewReader(reader)
		b.ReportAllocs()
		for b.Loop() {
			reader.Reset(head)
			buffered.Reset(reader)
			if _, err := http.ReadRequest(buffered); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("http1", func(b *testing.B) {
		b.ReportAllocs()
		parse := http1.ParseForBenchmark()
		for b.Loop() {
			if !parse(head) {
				b.Fatal("refused")
			}
		}
	})
}
