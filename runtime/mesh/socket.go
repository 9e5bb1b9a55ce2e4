package mesh

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh/mux"
)

// Conn is a connection to a service on another machine: bytes both ways.
type Conn struct{ stream *mux.Stream }

// Read and Write move bytes; one goroutine each at a time.
func (c *Conn) Read(p []byte) (int, error)  { return c.stream.Read(p) }
func (c *Conn) Write(p []byte) (int, error) { return c.stream.Write(p) }

// CloseWrite tells the service that nothing more comes.
func (c *Conn) CloseWrite() error { return c.stream.CloseWrite() }

// Close ends the connection.
func (c *Conn) Close() error {
	c.stream.Reset(nil)
	return nil
}

// Socket connects to a binding's service on its host. ctx bounds the
// connecting alone.
func (m *Mesh) Socket(ctx context.Context, host events.HostID, request SocketRequest) (*Conn, error) {
	return m.openConn(ctx, host, verbSocket, request)
}

// openConn opens a stream of a verb whose answer are bytes.
func (m *Mesh) openConn(ctx context.Context, host events.HostID, what verb, request any) (*Conn, error) {
	content, err := json.Marshal(request)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "cannot ask machine %s", host)
	}
	stream, err := m.openStream(ctx, host, append([]byte{byte(what)}, content...), nil, false)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { stream.Reset(context.Cause(ctx)) })
	defer stop()
	if _, err := stream.ReadHead(); err != nil {
		stream.Reset(nil)
		return nil, err
	}
	return &Conn{stream}, nil
}

// CutSockets ends the connections of other machines to services here that
// stale says are of the past. Call it when placements have changed: what
// Sockets refuses now may be open still.
func (m *Mesh) CutSockets(stale func(host events.HostID, request SocketRequest) bool) (cut int) {
	return m.sockets.cut(stale)
}

func (m *Mesh) handleSocket(peer identity.Host, stream *mux.Stream, head []byte) error {
	asked, err := message[SocketRequest](head)
	if err != nil {
		return err
	}
	if m.options.Sockets == nil {
		return problem.New(problem.Unsupported, "cannot connect to the service: no services run on machine %s", m.self)
	}
	guest, leave, err := m.sockets.enter(peer.ID, asked, stream)
	if err != nil {
		return err
	}
	defer leave()
	service, err := m.connect(stream.Context(), guest)
	if err != nil {
		return err
	}
	defer service.Close()
	if err := stream.Send([]byte("{}"), nil, true, false); err != nil {
		return err
	}
	return join(stream, service)
}

func (m *Mesh) connect(ctx context.Context, guest *guest[SocketRequest]) (net.Conn, error) {
	asked := guest.request
	_, bindingErr := events.ParseDropID(string(asked.Binding)) // the same shape
	_, dropErr := events.ParseDropID(string(asked.Drop))
	if err := errors.Join(bindingErr, dropErr); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot connect to the service")
	}
	var path string
	if err := m.sockets.allow(guest, func() (err error) {
		path, err = m.options.Sockets.Socket(ctx, guest.host, asked)
		return err
	}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, socketDialTimeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot connect to the service")
	}
	return conn, nil
}

// join copies both ways until both are done, or one fails.
func join(stream *mux.Stream, service net.Conn) error {
	stop := context.AfterFunc(stream.Context(), func() { service.Close() })
	defer stop()
	var there sync.WaitGroup
	there.Go(func() {
		if _, err := io.Copy(service, stream); err != nil {
			service.Close()
			return
		}
		if half, ok := service.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite() // the other half may go on; an error shows there
		}
	})
	_, err := io.Copy(stream, service)
	if err == nil {
		err = stream.CloseWrite()
	}
	if err != nil {
		stream.Reset(problem.Wrap(problem.Unavailable, err, "the connection to the service was lost"))
	}
	there.Wait()
	return nil
}
