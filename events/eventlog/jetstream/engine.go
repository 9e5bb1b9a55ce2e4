package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/problem"
)

// engine is one run of the embedded server. It ends with Close, or with the
// first write error, after which the server takes no writes any more.
type engine struct {
	server *server.Server
	door   *doorkeeper     // nil where it listens to nobody
	failed context.Context // done with the reason as its cause once it has failed
	fail   context.CancelCauseFunc
}

// startEngine starts a server on a verified log, which listens when it is told
// where.
func startEngine(dir string, logger *slog.Logger, listen *Listen) (*engine, error) {
	options := serverOptions(dir, true)
	if err := network(options, listen, nil, func() bool { return true }); err != nil {
		return nil, err
	}
	return startServer(options, logger)
}

// serverOptions are those of a server that synchronises every commit, or leaves
// that to its caller, and listens to nobody.
func serverOptions(dir string, syncAlways bool) *server.Options {
	return &server.Options{
		ServerName: "pantheon", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: dir, SyncAlways: syncAlways,
		JetStreamMaxMemory: maxServerMemoryBytes, JetStreamMaxStore: maxServerStoreBytes,
	}
}

func startServer(options *server.Options, logger *slog.Logger) (*engine, error) {
	failed, fail := context.WithCancelCause(context.Background())
	s, err := server.NewServer(options)
	if err != nil {
		fail(nil)
		return nil, problem.Wrap(problem.Unavailable, err, "cannot start the log's server")
	}
	s.SetLoggerV2(&serverLogger{logger, fail}, false, false, false)
	e := &engine{server: s, failed: failed, fail: fail}
	if e.door, _ = options.CustomClientAuthentication.(*doorkeeper); e.door != nil {
		e.door.server = s
	}
	go s.Start()
	if err := e.ready(); err != nil {
		e.stop()
		return nil, problem.Wrap(problem.Unavailable, err, "cannot start the log's server")
	}
	return e, nil
}

// ready waits until the server takes connections. One that cannot start says
// so in its log only.
func (e *engine) ready() error {
	for waited := time.Duration(0); !e.server.ReadyForConnections(readyPause); waited += readyPause {
		if cause := context.Cause(e.failed); cause != nil {
			return cause
		}
		if waited > startTimeout {
			return fmt.Errorf("not ready after %v", startTimeout)
		}
	}
	if cause := context.Cause(e.failed); cause != nil {
		return cause
	}
	if !e.server.JetStreamEnabled() {
		return errors.New("it started without JetStream")
	}
	return nil
}

// stop ends the server and waits for it.
func (e *engine) stop() {
	e.fail(errStopped)
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

var errStopped = errors.New("the server was stopped")

// wire makes connections to whichever server runs now, so that clients live
// through its restarts.
type wire struct{ current atomic.Pointer[engine] }

// InProcessConn implements nats.InProcessConnProvider.
func (w *wire) InProcessConn() (net.Conn, error) {
	e := w.current.Load()
	if e == nil {
		return nil, errStopped
	}
	return e.server.InProcessConn()
}

// connect opens the client.
func (w *wire) connect() (*nats.Conn, error) { return w.connectAs("") }

func (w *wire) connectAs(user string) (*nats.Conn, error) {
	conn, err := nats.Connect("", nats.UserInfo(user, ""), nats.InProcessServer(w), nats.MaxReconnects(-1), nats.ReconnectWait(healPause/10),
		nats.ReconnectJitter(0, 0), nats.Timeout(readTimeout), nats.Name("pantheon log"), nats.NoEcho())
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot connect to the log's server")
	}
	return conn, nil
}

// streamConfig is the log's stream; see the package comment.
func streamConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subjectPrefix + ">"},
		Storage: jetstream.FileStorage, Replicas: 1, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxConsumers: -1, MaxMsgSize: -1,
		DenyDelete: true, DenyPurge: true, AllowDirect: true, Compression: jetstream.NoCompression,
	}
}

// openStream creates the stream of an empty log, or checks that the server has
// recovered exactly what was verified.
func openStream(ctx context.Context, js jetstream.JetStream, last uint64) (jetstream.Stream, error) {
	if last == 0 {
		stream, err := js.CreateOrUpdateStream(ctx, streamConfig())
		if err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot create the log")
		}
		return stream, nil
	}
	stream, err := js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, broken(1, "the server does not know the stream: its description is missing or damaged")
	}
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the log")
	}
	info := stream.CachedInfo()
	state, config := info.State, info.Config
	switch {
	case state.LastSeq != last:
		return nil, broken(min(state.LastSeq, last)+1, fmt.Sprintf("the server ends at position %d, the files at %d", state.LastSeq, last))
	case state.FirstSeq != 1 || state.Msgs != last || state.NumDeleted != 0:
		return nil, broken(max(state.FirstSeq, 1), fmt.Sprintf("the server holds %d commits from position %d, the files %d", state.Msgs, state.FirstSeq, last))
	case !config.DenyDelete || !config.DenyPurge || config.Storage != jetstream.FileStorage:
		return nil, broken(1, "the stream's description was changed: commits could be deleted")
	}
	return stream, nil
}

// head is the highest position that is known to be acknowledged; it only
// rises.
type head struct {
	mu       sync.Mutex
	position uint64
	risen    chan struct{}
	closed   bool
}

func (h *head) get() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.position
}

// watch gives the position, a channel that is closed when it rises or the log
// is closed, and whether that has happened.
func (h *head) watch() (uint64, <-chan struct{}, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.position, h.risen, h.closed
}

func (h *head) rise(position uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if position > h.position && !h.closed {
		h.position = position
		close(h.risen)
		h.risen = make(chan struct{})
	}
}

func (h *head) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.risen)
	}
}

func positionOf(n uint64) events.Position { return events.Position(n) }

// within bounds a call to the server.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, limit)
}
