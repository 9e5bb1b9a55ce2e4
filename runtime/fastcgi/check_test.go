package fastcgi

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestCheckKeepsARequestFromPHP: it is asked when a worker is free, nothing is
// sent if it says no, and the worker is free again.
func TestCheckKeepsARequestFromPHP(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := NewPool(Options{Socket: socket, Workers: 1})
	for range 2 {
		no := errors.New("not any more")
		var params Params
		if _, err := p.Do(t.Context(), &Request{Params: &params, Check: func() error { return no }}); !errors.Is(err, no) || !errors.Is(err, ErrRefused) || !Unsent(err) {
			t.Errorf("the request ended with %v", err)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("PHP got %d bytes: %v", n, err)
		}
		conn.Close()
	}
}
