package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

// Options of a log.
type Options struct {
	// Dir is the log's folder, made when it is missing. One process at a time
	// can have it open. Required.
	Dir string
	// ReserveBytes of free space stay untouched: below that, appends are
	// refused. Default: 64 MiB.
	ReserveBytes uint64
	// Logger gets what an operator should know, the server's warnings and
	// errors among it. Default: nothing is logged.
	Logger *slog.Logger
	// Listen lets other machines read and append. Default: the server listens to
	// nobody.
	Listen *Listen
	// See is given the link of every commit while Open verifies the log, in order;
	// an error of it ends the opening. Default: nobody looks.
	See func(chain.Link) error
	// Cluster is for OpenMember alone.
	Cluster *Cluster
}

func (o Options) withDefaults() Options {
	if o.ReserveBytes == 0 {
		o.ReserveBytes = defaultReserveBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Log is an open log; make one with Open.
type Log struct {
	dir     string
	reserve uint64
	logger  *slog.Logger
	listen  *Listen // nil for a log that only this process writes
	lock    *os.File
	index   *index
	head    *head
	wire    *wire
	conn    *nats.Conn
	js      jetstream.JetStream
	stream  jetstream.Stream
	healer  healer
	point   *checkpointer
	recent  recentTips

	stop    context.CancelFunc // of the background goroutines
	running sync.WaitGroup
	appends sync.RWMutex // held for reading by every append; Close takes it
	closed  bool         // under appends
}

var _ eventlog.Log = (*Log)(nil)

// Open verifies a log and opens it; a missing one is created. Besides problems
// it gives an *eventlog.BrokenError when the log is not what was written.
func Open(ctx context.Context, options Options) (_ *Log, err error) {
	options = options.withDefaults()
	if options.Cluster != nil {
		return nil, problem.New(problem.Invalid, "cannot open the log: the log of a cluster is opened by its members")
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open the log")
	}
	if err := notMoved(options.Dir); err != nil {
		return nil, err
	}
	l := &Log{
		dir: options.Dir, reserve: options.ReserveBytes, logger: options.Logger, listen: options.Listen,
		wire: &wire{},
	}
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	if l.lock, err = lockDir(options.Dir); err != nil {
		return nil, err
	}
	v, err := verify(ctx, options.Dir, false, options.See)
	if err != nil {
		return nil, err
	}
	if v.torn != "" {
		l.logger.Warn("the log ends with an incomplete commit that was never acknowledged; it is dropped",
			"position", v.index.last+1, "reason", v.torn)
		// The server's summary may count the commit; without it the server reads
		// the files.
		if err := os.Remove(summaryPath(options.Dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot repair the end of the log")
		}
	}
	l.index = v.index
	l.head = &head{position: v.index.last, risen: make(chan struct{})}
	if err := l.start(ctx, v.index.last); err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.point = &checkpointer{log: l, at: v.index.last, digest: v.digest, saved: v.point.Position}
	l.running.Go(func() { l.point.run(background) })
	return l, nil
}

// start runs the server on a log that ends at last.
func (l *Log) start(ctx context.Context, last uint64) error {
	e, err := startEngine(l.dir, l.logger, l.listen)
	if err != nil {
		return err
	}
	l.wire.current.Store(e)
	if l.conn, err = l.wire.connect(); err != nil {
		return err
	}
	if l.js, err = jetstream.New(l.conn, jetstream.WithDefaultTimeout(readTimeout)); err != nil {
		return err
	}
	if l.stream, err = openStream(ctx, l.js, last); err != nil || l.listen == nil {
		return err
	}
	return l.hear(ctx, e)
}

// release gives up whatever is held; Open calls it half-way, Close at the end.
func (l *Log) release() {
	if l.conn != nil {
		l.conn.Close()
	}
	if e := l.wire.current.Load(); e != nil {
		e.stop()
	}
	if l.lock != nil {
		_ = l.lock.Close()
	}
}

// Close waits for appends under way, ends every reader that waits, writes the
// checkpoint and stops the server.
func (l *Log) Close() error {
	l.appends.Lock()
	if l.closed {
		l.appends.Unlock()
		return nil
	}
	l.closed = true
	l.appends.Unlock()
	l.head.close()
	l.stop()
	l.healer.stop()
	l.running.Wait()
	err := l.point.save()
	l.release()
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the log's checkpoint")
	}
	return nil
}

// Conn is the connection to the embedded server, for requests between the
// nodes of a cell. It lives through restarts of the server and is closed by
// Close.
func (l *Log) Conn() *nats.Conn { return l.conn }

// Bucket opens a key-value bucket on the embedded server and makes it when it
// is missing, for leases and whatever else is no history.
func (l *Log) Bucket(ctx context.Context, config jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	return openBucket(ctx, l.js, config)
}

// ObjectStore opens a bucket of large objects on the embedded server and makes
// it when it is missing.
func (l *Log) ObjectStore(ctx context.Context, config jetstream.ObjectStoreConfig) (jetstream.ObjectStore, error) {
	return openObjects(ctx, l.js, config)
}

func openBucket(ctx context.Context, js jetstream.JetStream, config jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	bucket, err := js.CreateOrUpdateKeyValue(ctx, config)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open bucket %s", config.Bucket)
	}
	return bucket, nil
}

func openObjects(ctx context.Context, js jetstream.JetStream, config jetstream.ObjectStoreConfig) (jetstream.ObjectStore, error) {
	store, err := js.CreateOrUpdateObjectStore(ctx, config)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot open bucket %s", config.Bucket)
	}
	return store, nil
}

// Append implements [eventlog.Appender].
func (l *Log) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	l.appends.RLock()
	defer l.appends.RUnlock()
	if l.closed {
		return events.Tip{}, eventlog.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return events.Tip{}, err
	}
	data, hash, err := events.Encode(commit, tip)
	if err != nil {
		return events.Tip{}, err
	}
	if err := l.checkTip(tip, commit.Stream); err != nil {
		return events.Tip{}, err
	}
	if err := l.writable(); err != nil {
		return events.Tip{}, err
	}
	position, err := l.publish(ctx, subject(commit.Stream), tip.Position, data)
	if err != nil {
		return events.Tip{}, err
	}
	next := events.Tip{Revision: tip.Revision + 1, Position: positionOf(position), Hash: hash}
	l.recent.put(commit.Stream, next)
	l.head.rise(position)
	return next, nil
}

// checkTip refuses a tip that is no commit of the stream: written after it,
// the chain would be broken for ever. Whether it is the newest one, the server
// decides.
func (l *Log) checkTip(tip events.Tip, stream events.StreamID) error {
	if tip == (events.Tip{}) || l.recent.holds(stream, tip) {
		return nil
	}
	if uint64(tip.Position) > l.head.get() || tip.Position == 0 {
		return eventlog.ErrConflict
	}
	r, _, err := l.index.read(uint64(tip.Position), nil)
	if err != nil {
		return err
	}
	c, err := scanRecord(r, false)
	if err != nil {
		return broken(uint64(tip.Position), err.Error())
	}
	if !r.isOf(stream) || c.Hash != tip.Hash || c.Revision != tip.Revision {
		return eventlog.ErrConflict
	}
	return nil
}

// writable refuses early what the server would fail at.
func (l *Log) writable() error {
	if reason := l.healer.reason(); reason != "" {
		return unavailable(errors.New(reason))
	}
	if err := l.space(); err != nil {
		return unavailable(err)
	}
	return nil
}

// space refuses when less than the reserve is free.
func (l *Log) space() error { return checkSpace(l.dir, l.reserve) }

func checkSpace(dir string, reserve uint64) error {
	free, err := freeBytes(dir)
	if err == nil && free < reserve {
		err = fmt.Errorf("the disk of %s is full: %d MiB are free, %d MiB must stay so", dir, free>>20, reserve>>20)
	}
	return err
}

func unavailable(reason error) error {
	return problem.Wrap(problem.Unavailable, reason, "cannot append to the log").
		WithHint("make room on the disk of the data folder, or see the log of pantheon for the reason")
}

// publish sends one commit and gives its position.
func (l *Log) publish(ctx context.Context, subject string, last events.Position, data []byte) (uint64, error) {
	e := l.wire.current.Load()
	sending, cancel := within(ctx, appendTimeout)
	defer cancel()
	defer context.AfterFunc(e.failed, cancel)()
	message := nats.NewMsg(subject)
	message.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(uint64(last), 10)}
	message.Data = data
	ack, err := l.js.PublishMsg(sending, message, jetstream.WithRetryAttempts(0))
	if err == nil {
		return ack.Sequence, nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == wrongLastSequence || api.ErrorCode == wrongLastSequenceConstant) {
		return 0, eventlog.ErrConflict
	}
	if ctx.Err() != nil {
		l.heal(e, nil) // the commit may be there: find the head again
		return 0, ctx.Err()
	}
	if cause := context.Cause(e.failed); cause != nil {
		err = cause
	} else if sending.Err() != nil {
		err = fmt.Errorf("no answer within %v", appendTimeout)
	}
	l.heal(e, err)
	return 0, unavailable(err)
}

// Error codes of the server (server/errors.json).
const (
	wrongLastSequence         jetstream.ErrorCode = 10071
	wrongLastSequenceConstant jetstream.ErrorCode = 10164
)
