package fastcgi

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// maxAddressBytes is what fits into a socket address of Linux with its closing
// zero (unix(7)).
const maxAddressBytes = 107

// dialSocket connects to a Unix socket at a path of any length: a long one is
// reached through its folder's descriptor.
func dialSocket(ctx context.Context, socket string, timeout time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	if len(socket) <= maxAddressBytes {
		return dialer.DialContext(ctx, "unix", socket)
	}
	folder, err := unix.Open(filepath.Dir(socket), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(folder)
	return dialer.DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(folder)+"/"+filepath.Base(socket))
}
