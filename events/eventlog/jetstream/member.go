package jetstream

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"pantheon/events/problem"
)

// Member is one of the servers that hold a log together. It owns a folder; the
// log is read and written through a Client, on this machine as on all others.
// A server that fails, or whose disk is full, is stopped and started again when
// the cause is gone; the other members go on.
type Member struct {
	options Options
	lock    *os.File
	wire    *wire
	conn    *nats.Conn
	open    atomic.Bool // clients of other machines may come in
	stop    context.CancelFunc
	running sync.WaitGroup
	once    sync.Once
}

// OpenMember starts a member. It returns when the server runs; whether a
// majority does, Client tells. What the folder holds of the log is checked
// first, and a damaged one is refused: it must not come to lead the others.
func OpenMember(ctx context.Context, options Options) (_ *Member, err error) {
	options = options.withDefaults()
	if options.Cluster == nil {
		return nil, problem.New(problem.Invalid, "cannot start a member of a cluster: which cluster is not said")
	}
	if err := CheckSize(len(options.Cluster.Peers) + 1); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the member's folder")
	}
	m := &Member{options: options, wire: &wire{}}
	defer func() {
		if err != nil {
			m.release()
		}
	}()
	if m.lock, err = lockDir(options.Dir); err != nil {
		return nil, err
	}
	if _, err := verify(ctx, options.Dir, false, nil); err != nil {
		return nil, err
	}
	hurryElections()
	if err := m.start(); err != nil {
		return nil, err
	}
	if m.conn, err = m.wire.connect(); err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.running.Go(func() { m.watch(background) })
	m.running.Go(func() { m.admit(background) })
	return m, nil
}

func (m *Member) start() error {
	options := serverOptions(m.options.Dir, true)
	if err := network(options, m.options.Listen, m.options.Cluster, m.open.Load); err != nil {
		return err
	}
	e, err := startServer(options, m.options.Logger)
	if err != nil {
		return err
	}
	m.wire.current.Store(e)
	if m.options.Listen != nil {
		listen := *m.options.Listen
		listen.Address = e.server.Addr().String()
		m.options.Listen = &listen
	}
	return nil
}

// Address is where clients reach this member, empty when they do not.
func (m *Member) Address() string {
	if m.options.Listen == nil {
		return ""
	}
	return m.options.Listen.Address
}

// Conn is the connection to this member's server; it lives through restarts.
func (m *Member) Conn() *nats.Conn { return m.conn }

// Client opens the log of the cluster, once a majority of the members runs.
// Closing the client leaves the member running.
func (m *Member) Client(ctx context.Context) (*Client, error) {
	return newClient(ctx, m.conn, m.options.Logger)
}

// watch keeps the server running.
func (m *Member) watch(ctx context.Context) {
	ticker := time.NewTicker(healPause)
	defer ticker.Stop()
	for {
		e := m.wire.current.Load()
		var reason error
		select {
		case <-ctx.Done():
			return
		case <-e.failed.Done():
			reason = context.Cause(e.failed)
		case <-ticker.C:
			if reason = checkSpace(m.options.Dir, m.options.ReserveBytes); reason == nil {
				continue
			}
		}
		m.options.Logger.Error("this machine takes no part in the log until the cause is gone", "error", reason)
		m.heal(ctx, e)
	}
}

// heal stops a server and starts it again, as often as needed.
func (m *Member) heal(ctx context.Context, e *engine) {
	e.stop()
	for {
		err := checkSpace(m.options.Dir, m.options.ReserveBytes)
		if err == nil {
			if err = m.start(); err == nil {
				m.options.Logger.Info("this machine takes part in the log again")
				_ = m.conn.ForceReconnect()
				return
			}
			m.options.Logger.Error("cannot start the log's server; trying again", "error", err)
		}
		select {
		case <-time.After(healPause):
		case <-ctx.Done():
			return
		}
	}
}

// admit lets clients in once the log is complete: what is there while it is
// copied is none, and a commit in between would spoil it.
func (m *Member) admit(ctx context.Context) {
	if m.options.Listen == nil {
		return
	}
	for ctx.Err() == nil {
		client, err := newClient(ctx, m.conn, slog.New(slog.DiscardHandler))
		if err != nil {
			continue // newClient has waited
		}
		_ = client.Close()
		m.open.Store(true)
		return
	}
}

// Close stops the server.
func (m *Member) Close() error {
	m.once.Do(func() {
		m.stop()
		m.running.Wait()
		m.release()
	})
	return nil
}

func (m *Member) release() {
	if m.conn != nil {
		m.conn.Close()
	}
	if e := m.wire.current.Load(); e != nil {
		e.stop()
	}
	if m.lock != nil {
		_ = m.lock.Close()
	}
}
