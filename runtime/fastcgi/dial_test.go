package fastcgi

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A data folder below /home/<name>/<project> made every page of its sites 502
// Routing Failure: a DROP's socket then has a path longer than a socket
// address.
func TestDialsSocketsWithLongPaths(t *testing.T) {
	short := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(short, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	folder := filepath.Join(short, strings.Repeat("long", 50))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, socket := range []string{filepath.Join(short, "s"), filepath.Join(folder, "s")} {
		if err := os.Rename(filepath.Join(short, "s"), socket); err != nil {
			t.Fatal(err)
		}
		conn, err := dialSocket(t.Context(), socket, time.Second)
		if err != nil {
			t.Fatalf("a path of %d bytes: %v", len(socket), err)
		}
		conn.Close()
	}
	if _, err := dialSocket(t.Context(), filepath.Join(folder, "none", "s"), time.Second); err == nil {
		t.Error("connected to what is not there")
	}
}
