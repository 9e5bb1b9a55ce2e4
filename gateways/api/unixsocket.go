package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPathBytes is what fits into a socket address of Linux with its
// closing zero (unix(7)).
const maxSocketPathBytes = 107

// ListenUnix listens on a Unix socket at a path of any length, in place of one
// that nobody listens on any more. Only the platform's own user and root can
// connect.
func ListenUnix(path string) (net.Listener, error) {
	if conn, err := DialUnix(context.Background(), path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot listen on %s: %w", path, unix.EADDRINUSE)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	short, release, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer release()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	// The short path does not outlive this function; the file is removed by the
	// next ListenUnix.
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("cannot protect %s: %w", path, err)
	}
	return listener, nil
}

// DialUnix connects to a Unix socket at a path of any length.
func DialUnix(ctx context.Context, path string) (net.Conn, error) {
	short, release, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer release()
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "unix", short)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", path, errors.Unwrap(err))
	}
	return conn, nil
}

// shortPath gives a name of the same place that fits a socket address: a long
// one goes by a handle on its folder.
func shortPath(path string) (short string, release func(), err error) {
	if len(path) <= maxSocketPathBytes {
		return path, func() {}, nil
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)), func() { _ = folder.Close() }, nil
}
