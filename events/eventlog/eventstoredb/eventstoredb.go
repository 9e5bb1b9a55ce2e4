package eventstoredb

import (
	"context"
	"errors"
	"sync"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

// Options say which log.
type Options struct {
	// URL is the server's connection string, as its documentation has it:
	// esdb://user:password@host:2113?tls=true. It is a secret.
	URL string
	// Name of the cell's streams on the server; DefaultName where empty.
	Name string
}

// DefaultName of a cell's streams.
const DefaultName = "pantheon"

// Log is an open log. Its methods may be called concurrently.
type Log struct {
	server *server
	stream string

	ctx      context.Context // ends with the log
	cancel   context.CancelFunc
	running  sync.WaitGroup
	requests chan *request

	mu      sync.Mutex
	head    events.Position
	tips    map[chain.Key]events.Tip
	where   map[chain.Key][]events.Position // in order
	recent  []events.Envelope               // the newest, in order
	changed chan struct{}                   // closed and replaced with each advance
	broken  error                           // for good
}

var (
	_ eventlog.Log         = (*Log)(nil)
	_ eventlog.EntryReader = (*Log)(nil)
	_ eventlog.RangeReader = (*Log)(nil)
)

// Open reads the whole log once and checks it; a broken one is refused with an
// *eventlog.BrokenError.
func Open(ctx context.Context, options Options) (*Log, error) {
	server, err := connect(options)
	if err != nil {
		return nil, err
	}
	l := &Log{
		server: server, requests: make(chan *request, maxQueued),
		tips: map[chain.Key]events.Tip{}, where: map[chain.Key][]events.Position{}, changed: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	register, err := readRegister(ctx, server, options.name())
	if err == nil {
		l.stream = register.current()
		err = l.load(ctx)
	}
	if err != nil {
		l.cancel()
		return nil, errors.Join(err, server.close())
	}
	l.running.Go(l.follow)
	l.running.Go(l.write)
	return l, nil
}

func (o Options) name() string {
	if o.Name == "" {
		return DefaultName
	}
	return o.Name
}

// load reads what is there.
func (l *Log) load(ctx context.Context) error {
	for entry, err := range readPages(ctx, l.server, l.stream, 0) {
		if err == nil {
			err = l.advance(entry)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// advance takes the commit behind the head; one that is known is passed over.
func (l *Log) advance(entry eventlog.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil || entry.Position <= l.head {
		return l.broken
	}
	if err := l.take(entry); err != nil {
		l.broken = err
		return err
	}
	l.tell()
	return nil
}

// take is advance with the lock held and nobody told.
func (l *Log) take(entry eventlog.Entry) error {
	if entry.Position != l.head+1 {
		return &eventlog.BrokenError{Position: l.head + 1, Reason: "the server does not have it: the stream was truncated, or is another one"}
	}
	if entry.Wire == nil { // a gap of the log that was restored
		l.head = entry.Position
		return nil
	}
	envelope, err := events.Decode(entry.Wire)
	link, name, linkErr := chain.Read(entry)
	if linkErr != nil {
		return &eventlog.BrokenError{Position: entry.Position, Reason: linkErr.Error()}
	}
	switch before := l.tips[link.Stream]; {
	case link.Revision != before.Revision+1:
		return &eventlog.BrokenError{Position: entry.Position, Stream: chain.StreamOf(name), Reason: "it does not follow the commit before it in its stream: a commit is missing or was put in"}
	case link.Previous != before.Hash:
		return &eventlog.BrokenError{Position: entry.Position, Stream: chain.StreamOf(name), Reason: "it does not follow the commit before it in its stream: one of the two was changed"}
	}
	l.head = entry.Position
	l.tips[link.Stream] = events.Tip{Revision: link.Revision, Position: entry.Position, Hash: link.Hash}
	l.where[link.Stream] = append(l.where[link.Stream], entry.Position)
	if err != nil { // a newer version's: readers are told when they meet it
		l.recent = nil
		return nil
	}
	envelope.Position = entry.Position
	if len(l.recent) >= 2*recentCommits {
		l.recent = append([]events.Envelope(nil), l.recent[recentCommits:]...)
	}
	l.recent = append(l.recent, envelope)
	return nil
}

// tell wakes who waits for commits; the lock is held.
func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// state gives the head and what is closed when it moves, or why there is none.
func (l *Log) state() (events.Position, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return 0, nil, eventlog.ErrClosed
	}
	return l.head, l.changed, l.broken
}

// Close ends every Tail and refuses what comes after.
func (l *Log) Close() error {
	l.cancel()
	l.running.Wait()
	return l.server.close()
}

// failed says what could not be done. What the caller's context says goes
// before, and that the log was closed before that.
func (l *Log) failed(ctx context.Context, err error, doing string) error {
	var broken *eventlog.BrokenError
	switch {
	case l.ctx.Err() != nil:
		return eventlog.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &broken):
		return err
	}
	return problem.Wrap(problem.Unavailable, err, "cannot %s", doing)
}
