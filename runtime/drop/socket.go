package drop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A unix socket's address has room for 107 bytes, and a DROP's folder may lie
// deeper: the address goes through the folder's descriptor.

func throughFolder(socket string, use func(address string) error) error {
	dir, err := unix.Open(filepath.Dir(socket), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(socket), Err: err}
	}
	defer unix.Close(dir)
	return use("/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(socket))
}

// listen binds a socket in the place of what is there.
func listen(socket string) (listener *net.UnixListener, err error) {
	err = throughFolder(socket, func(address string) error {
		if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", socket, err)
	}
	listener.SetUnlinkOnClose(false)
	return listener, nil
}

// Listen binds a socket in the place of what is there, however long its path.
func Listen(socket string) (*net.UnixListener, error) { return listen(socket) }

// Dial connects to the socket of a DROP, however long its path.
func Dial(ctx context.Context, socket string) (conn net.Conn, err error) {
	err = throughFolder(socket, func(address string) error {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", socket, err)
	}
	return conn, nil
}

// ping asks php-fpm for its pong and waits for the first byte of it.
func ping(ctx context.Context, socket string) error {
	conn, err := Dial(ctx, socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write(pingRequest()); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// pingRequest is one whole request of FastCGI 1.0: begin (section 5.1),
// parameters (3.4), and the empty records that end parameters and input.
func pingRequest() []byte {
	const begin, parameters, input, responder = 1, 4, 5, 1
	record := func(kind byte, content []byte) []byte {
		header := []byte{1, kind, 0, 1, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(header[4:], uint16(len(content)))
		return append(header, content...)
	}
	var pairs []byte
	for _, pair := range [][2]string{
		{"SCRIPT_NAME", pingPath}, {"SCRIPT_FILENAME", pingPath}, {"REQUEST_METHOD", "GET"}, {"SERVER_PROTOCOL", "HTTP/1.1"},
	} {
		pairs = append(pairs, byte(len(pair[0])), byte(len(pair[1])))
		pairs = append(append(pairs, pair[0]...), pair[1]...)
	}
	request := record(begin, []byte{0, responder, 0, 0, 0, 0, 0, 0})
	request = append(request, record(parameters, pairs)...)
	return append(append(request, record(parameters, nil)...), record(input, nil)...)
}
