package drop

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
)

// get runs one request by FastCGI: a client for tests only, one request a
// connection, small answers. It gives the body.
func (x *fixture) get(ctx context.Context, script string, more ...string) (string, error) {
	conn, err := x.runner.Dial(ctx)
	if err != nil {
		return "", err
	}
	return requestOn(conn, x.docroot+"/"+script, script, more...)
}

// requestOn uses up a connection.
func requestOn(conn net.Conn, file, script string, more ...string) (string, error) {
	defer conn.Close()
	pairs := append([]string{"SCRIPT_FILENAME", file, "SCRIPT_NAME", "/" + script, "REQUEST_URI", "/" + script, "REQUEST_METHOD", "GET",
		"SERVER_PROTOCOL", "HTTP/1.1", "SERVER_NAME", "localhost", "SERVER_PORT", "80", "HTTP_HOST", "localhost", "REMOTE_ADDR", "127.0.0.1"}, more...)
	var params []byte
	for i := 0; i < len(pairs); i += 2 {
		params = append(params, byte(len(pairs[i])), byte(len(pairs[i+1])))
		params = append(append(params, pairs[i]...), pairs[i+1]...)
	}
	record := func(kind byte, b []byte) []byte {
		return append([]byte{1, kind, 0, 1, byte(len(b) >> 8), byte(len(b)), 0, 0}, b...)
	}
	request := record(1, []byte{0, 1, 0, 0, 0, 0, 0, 0})
	request = append(request, record(4, params)...)
	request = append(append(request, record(4, nil)...), record(5, nil)...)
	if _, err := conn.Write(request); err != nil {
		return "", err
	}
	var out, errs strings.Builder
	header := make([]byte, 8)
	for {
		if _, err := io.ReadFull(conn, header); err != nil {
			return "", fmt.Errorf("answer broke off after %q: %w", out.String(), err)
		}
		body := make([]byte, int(binary.BigEndian.Uint16(header[4:]))+int(header[6]))
		if _, err := io.ReadFull(conn, body); err != nil {
			return "", err
		}
		body = body[:len(body)-int(header[6])]
		switch header[1] {
		case 6:
			out.Write(body)
		case 7:
			errs.Write(body)
		case 3:
			_, text, _ := strings.Cut(out.String(), "\r\n\r\n")
			if errs.Len() > 0 {
				text += "\nstderr: " + errs.String()
			}
			return text, nil
		}
	}
}
