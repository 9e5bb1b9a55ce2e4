package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pantheon/gateways/styx/http1"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// A visitor who leaves while his request lasts.
func TestLeaving(t *testing.T) {
	for _, c := range []struct {
		name, before, send string
		left               bool // it counts as leaving
	}{
		{"after a request", get, "", true},
		{"after a body", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "", true},
		{"with a request behind", get, get, false},
	} {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, early %v", c.name, early), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var noticed []time.Duration
					dial, _, end := virtually(http1.Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						io.Copy(io.Discard, r.Body)
						began := time.Now()
						select {
						case <-r.Context().Done():
							noticed = append(noticed, time.Since(began))
						case <-time.After(time.Minute):
						}
					})})
					conn, _ := dial()
					io.WriteString(conn, c.before)
					if !early {
						time.Sleep(10 * time.Second) // virtual
					}
					go func() { io.WriteString(conn, c.send); conn.Close() }()
					time.Sleep(3 * time.Minute) // virtual
					end()
					want := 2 * http1.LeavePeriod
					if !early {
						want = 10 * time.Second
					}
					if c.left != (len(noticed) > 0 && noticed[0] <= want) {
						t.Errorf("noticed after %v", noticed)
					}
				})
			})
		}
	}
}

// Requests that arrive while another one is answered, and is being watched,
// are answered in order.
func TestPipelinedBehindALongRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, _, end := virtually(http1.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(10 * time.Second) // virtual
			}
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s", r.URL.Path, body)
		})})
		conn, reader := dial()
		io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(5 * time.Second) // virtual
		var sending sync.WaitGroup
		sending.Go(func() {
			for i := range 3 {
				fmt.Fprintf(conn, "PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n%05000d", i, i)
			}
		})
		for _, want := range []string{"/slow ", fmt.Sprintf("/0 %05000d", 0), fmt.Sprintf("/1 %05000d", 1), fmt.Sprintf("/2 %05000d", 2)} {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); string(body) != want || err != nil {
				t.Errorf("%.20q %v, want %.20q", body, err, want)
			}
		}
		sending.Wait()
		conn.Close()
		end()
	})
}

func TestTimeouts(t *testing.T) {
	const head, idle = 10 * time.Second, 75 * time.Second
	for _, c := range []struct {
		name string
		send []string // with 8 s between
		want time.Duration
	}{
		{"nothing", nil, head},
		{"half a head", []string{"GET / HT"}, head},
		{"a dripping head", []string{"GET / HTTP/1.1\r\n", "A: b\r\n", "C: d\r\n"}, head},
		{"idle", []string{get}, idle},
		{"idle after several", []string{get, get, get}, 16*time.Second + idle},
		{"half a head after a request", []string{get + "GET"}, head},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, _, end := virtually(http1.Options{ReadHeader: head, Idle: idle, Write: time.Minute,
					Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
				conn, reader := dial()
				began := time.Now()
				go func() {
					for _, text := range c.send {
						io.WriteString(conn, text)
						time.Sleep(8 * time.Second) // virtual
					}
				}()
				io.Copy(io.Discard, reader)
				if took := time.Since(began); took < c.want || took > c.want+time.Second {
					t.Errorf("the connection ended after %v, want %v", took, c.want)
				}
				conn.Close()
				time.Sleep(time.Minute) // virtual: the sender ends
				end()
			})
		})
	}
}

// A write deadline holds for a visitor who does not read, on the first request
// and on a later one.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan time.Duration, 1)
		dial, _, end := virtually(http1.Options{Write: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/big" {
				began := time.Now()
				if _, err := io.WriteString(w, long); err != nil {
					failed <- time.Since(began)
				}
			}
		})})
		conn, reader := dial()
		for range 3 {
			say(t, conn, reader, get)
			time.Sleep(50 * time.Second) // virtual
		}
		io.WriteString(conn, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
		if took := <-failed; took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("after %v", took)
		}
		conn.Close()
		end()
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, server, end := virtually(http1.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(20 * time.Second) // virtual
			}
			io.WriteString(w, "done")
		})})
		idle, idleReader := dial()
		say(t, idle, idleReader, get)
		busy, busyReader := dial()
		io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		fresh, freshReader := dial()
		synctest.Wait()
		began := time.Now()
		over := make(chan error, 1)
		go func() { over <- server.Shutdown(context.Background()) }()
		if _, err := idleReader.ReadByte(); err != io.EOF || time.Since(began) != 0 {
			t.Errorf("an idle connection ends with %v after %v", err, time.Since(began))
		}
		if response, body := say(t, fresh, freshReader, get); body != "done" || !response.Close {
			t.Errorf("a new connection gets %q, closed %v", body, response.Close)
		}
		response, err := http.ReadResponse(busyReader, nil)
		if err != nil || !response.Close {
			t.Fatalf("a busy connection gets %v %v", response, err)
		}
		io.Copy(io.Discard, busyReader)
		if err := <-over; err != nil || time.Since(began) != 20*time.Second {
			t.Errorf("shut down after %v: %v", time.Since(began), err)
		}
		end()
	})
}

func TestShutdownThatLastsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, server, end := virtually(http1.Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })})
		conn, _ := dial()
		io.WriteString(conn, get)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		server.Close()
		end()
	})
}

func TestHijack(t *testing.T) {
	address := ours(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := w.Write(nil); err != http.ErrHijacked {
			t.Error(err)
		}
		for {
			line, err := buffered.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s", strings.ToUpper(line))
		}
	})
	conn, reader := visit(t, address)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly\n")
	if line, err := reader.ReadString('\n'); line != "EARLY\n" || err != nil {
		t.Fatalf("%q %v", line, err)
	}
	io.WriteString(conn, "late\n")
	if line, err := reader.ReadString('\n'); line != "LATE\n" || err != nil {
		t.Fatalf("%q %v", line, err)
	}
}

// A hijack while the visitor's leaving is watched for.
func TestHijackLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial, _, end := virtually(http1.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(10 * time.Second) // virtual
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			line, _ := buffered.ReadString('\n')
			io.WriteString(conn, line)
		})})
		conn, reader := dial()
		io.WriteString(conn, get)
		time.Sleep(5 * time.Second) // virtual
		io.WriteString(conn, "ab")
		time.Sleep(20 * time.Second) // virtual
		io.WriteString(conn, "cd\n")
		if line, err := reader.ReadString('\n'); line != "abcd\n" || err != nil {
			t.Errorf("%q %v", line, err)
		}
		end()
	})
}

func TestContinue(t *testing.T) {
	for path, want := range map[string]string{
		"/read":   "HTTP/1.1 100 Continue\r\n\r\n",
		"/unread": "HTTP/1.1 200 OK\r\n",
	} {
		address := ours(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/read" {
				io.Copy(w, r.Body)
			}
		})
		conn, reader := visit(t, address)
		io.WriteString(conn, "PUT "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
		got := make([]byte, len(want))
		if _, err := io.ReadFull(reader, got); err != nil || string(got) != want {
			t.Fatalf("%s: %q %v", path, got, err)
		}
		if path == "/read" {
			if _, body := say(t, conn, reader, "abc"); body != "abc" {
				t.Errorf("%q", body)
			}
		} else if rest, _ := io.ReadAll(reader); !bytes.Contains(rest, []byte("Connection: close\r\n")) {
			t.Errorf("%q", rest)
		}
	}
}

// What is asked and what is answered go side by side.
func TestFullDuplex(t *testing.T) {
	address := ours(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, strings.ToUpper(line))
			control.Flush()
		}
	})
	conn, reader := visit(t, address)
	io.WriteString(conn, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n")
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(response.Body)
	for _, c := range []string{"A\n", "B\n"} {
		if line, err := in.ReadString('\n'); line != c || err != nil {
			t.Fatalf("%q %v", line, err)
		}
		if c == "A\n" {
			io.WriteString(conn, "2\r\nb\n\r\n0\r\n\r\n")
		}
	}
	if rest, err := io.ReadAll(in); len(rest) != 0 || err != nil {
		t.Fatalf("%q %v", rest, err)
	}
	if _, body := say(t, conn, reader, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nc\n"); body != "C\n" {
		t.Errorf("the connection is of no more use: %q", body)
	}
}

// Files come whole, whatever the framing and the range.
func TestFiles(t *testing.T) {
	content := []byte(strings.Repeat(long, 5))
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	address := ours(t, func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		switch r.URL.Path {
		case "/content":
			http.ServeContent(w, r, "x.txt", time.Time{}, f)
		case "/chunked":
			io.Copy(w, f)
		case "/length":
			w.Header()["Content-Type"] = []string{"text/plain"}
			w.Header()["Content-Length"] = []string{fmt.Sprint(len(content))}
			io.Copy(w, f)
		case "/toolong":
			w.Header()["Content-Length"] = []string{fmt.Sprint(len(content) - 1)}
			if _, err := io.Copy(w, f); err != http.ErrContentLength {
				t.Error(err)
			}
		case "/part":
			w.Header()["Content-Length"] = []string{"100000"}
			n, err := io.CopyN(w, f, 50000)
			m, err2 := io.CopyN(w, f, 50000)
			if n != 50000 || m != 50000 || err != nil || err2 != nil {
				t.Error(n, m, err, err2)
			}
		}
	})
	conn, reader := visit(t, address)
	for path, want := range map[string][]byte{"/content": content, "/chunked": content, "/length": content, "/part": content[:100000]} {
		for _, method := range []string{"GET", "HEAD"} {
			_, body := say(t, conn, reader, method+" "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
			if method == "GET" && body != string(want) || method == "HEAD" && body != "" {
				t.Errorf("%s %s: %d bytes", method, path, len(body))
			}
		}
	}
	if _, body := say(t, conn, reader, "GET /content HTTP/1.1\r\nHost: a\r\nRange: bytes=7-300000\r\n\r\n"); body != string(content[7:300001]) {
		t.Errorf("range: %d bytes", len(body))
	}
	if _, body := say(t, conn, reader, "GET /toolong HTTP/1.1\r\nHost: a\r\n\r\n"); body != string(content[:len(content)-1]) {
		t.Errorf("a file longer than said: %d bytes", len(body))
	}
	if text := all(t, address, "GET /chunked HTTP/1.0\r\n\r\n"); !strings.HasSuffix(text, string(content)) {
		t.Errorf("HTTP/1.0: %d bytes", len(text))
	}
}

// counting counts what goes out.
type counting struct {
	net.Conn
	writes *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) { c.writes.Add(1); return c.Conn.Write(p) }

type countingListener struct {
	net.Listener
	writes atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return counting{conn, &l.writes}, nil
}

// Head and body leave in one write.
func TestOneWrite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countingListener{Listener: l}
	server := http1.New(http1.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/length":
			w.Header()["Content-Length"] = []string{"10240"}
			fallthrough
		case "/many":
			for range 10 {
				io.WriteString(w, long[:1024])
			}
		}
	})})
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(counted) }()
	defer func() { server.Close(); <-done }()
	conn, reader := visit(t, l.Addr().String())
	for i, path := range []string{"/length", "/many", "/nothing"} {
		response, body := say(t, conn, reader, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if int(response.ContentLength) != len(body) || counted.writes.Load() != int64(i+1) {
			t.Errorf("%s: length %d, %d bytes, %d writes", path, response.ContentLength, len(body), counted.writes.Load())
		}
	}
}

// A refusal reaches a visitor who still sends.
func TestRefusalIsRead(t *testing.T) {
	address := ours(t, func(http.ResponseWriter, *http.Request) { t.Error("called") })
	for _, c := range []struct{ send, want string }{
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n" + long, "HTTP/1.1 400 "},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat(long, 2) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400 "},
		{"hello\r\n", "HTTP/1.1 400 "},
	} {
		if got := all(t, address, c.send); !strings.HasPrefix(got, c.want) || !strings.Contains(got, "\r\nConnection: close\r\n") {
			t.Errorf("%.40q: %.100q", c.send, got)
		}
	}
}

// An interim response does not wait for the final one.
func TestInterimAtOnce(t *testing.T) {
	seen := make(chan struct{})
	address := ours(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		<-seen
	})
	conn, reader := visit(t, address)
	response, _ := say(t, conn, reader, get)
	if response.StatusCode != http.StatusEarlyHints || response.Header.Get("Link") == "" {
		t.Errorf("%v", response)
	}
	close(seen)
	if response, err := http.ReadResponse(reader, nil); err != nil || response.StatusCode != 200 {
		t.Error(response, err)
	}
}

// A length that is none is left out; 1xx and 101 have no body.
func TestOddResponses(t *testing.T) {
	address := ours(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/badlength":
			w.Header().Set("Content-Length", "many")
			io.WriteString(w, "12345")
		case "/switch":
			w.Header().Set("Upgrade", "x")
			w.WriteHeader(101)
		case "/panic":
			panic("for a test")
		case "/invalid":
			w.WriteHeader(42)
		}
	})
	for path, want := range map[string][2]string{
		"/badlength": {"HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 5\r\n"},
		"/switch":    {"HTTP/1.1 101 Switching Protocols\r\n", "Upgrade: x\r\n"},
		"/panic":     {},
		"/invalid":   {},
	} {
		got := all(t, address, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, want[0]) || !strings.Contains(got, want[1]) || want[0] == "" && got != "" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// The context is over when the handler has returned, also for whoever asks
// first then, and its values are there.
func TestContextAfterwards(t *testing.T) {
	contexts := make(chan context.Context, 2)
	address := ours(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Context().Err() != nil {
			t.Error("over before its time")
		}
		if r.Header.Get("X-Derive") != "" {
			r.Context().Done()
		}
		contexts <- r.Context()
	})
	conn, reader := visit(t, address)
	for _, head := range []string{"", "X-Derive: 1\r\n"} {
		say(t, conn, reader, "GET / HTTP/1.1\r\nHost: a\r\n"+head+"\r\n")
		ctx := <-contexts
		<-ctx.Done()
		if ctx.Err() != context.Canceled {
			t.Error(ctx.Err())
		}
	}
}

// HTTP/2's preface is handed over with all that follows it.
func TestHandover(t *testing.T) {
	handed := make(chan net.Conn, 1)
	address := listen(t, http1.New(http1.Options{Handler: http.NotFoundHandler(), Handover: func(c net.Conn) { handed <- c }}))
	conn, reader := visit(t, address)
	const text = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04"
	io.WriteString(conn, text)
	theirs := <-handed
	defer theirs.Close()
	got := make([]byte, len(text)+1)
	io.WriteString(conn, "!")
	if _, err := io.ReadFull(theirs, got); err != nil || string(got) != text+"!" {
		t.Errorf("%q %v", got, err)
	}
	io.WriteString(theirs, "x")
	if b, err := reader.ReadByte(); b != 'x' || err != nil {
		t.Error(b, err)
	}
	// Behind another request it is no preface.
	conn, reader = visit(t, address)
	say(t, conn, reader, get)
	if response, _ := say(t, conn, reader, "PRI * HTTP/2.0\r\n\r\n"); response.StatusCode != 505 && response.StatusCode != 400 {
		t.Error(response.Status)
	}
}

// A body may be read by a goroutine that outlives its handler, and gets an
// error then.
func TestBodyAfterwards(t *testing.T) {
	bodies := make(chan io.ReadCloser, 1)
	address := ours(t, func(_ http.ResponseWriter, r *http.Request) { bodies <- r.Body })
	conn, reader := visit(t, address)
	say(t, conn, reader, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	body := <-bodies
	say(t, conn, reader, get) // the connection is at its next request, so the first one's handler is done with
	if n, err := body.Read(make([]byte, 3)); n != 0 || err != http.ErrBodyReadAfterClose {
		t.Error(n, err)
	}
}

// No request has a goroutine of its own, however many connections there are.
func TestConcurrent(t *testing.T) {
	address := ours(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	var visitors sync.WaitGroup
	for v := range 8 {
		conn, reader := visit(t, address)
		visitors.Go(func() {
			for i := range 100 {
				text := strings.Repeat(fmt.Sprint(v, i, " "), 1+i*10)
				_, body := say(t, conn, reader, fmt.Sprintf("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(text), text))
				if body != text {
					t.Errorf("%.50q is not %.50q", body, text)
					return
				}
			}
		})
	}
	visitors.Wait()
}
