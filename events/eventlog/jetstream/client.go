package jetstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// DialOptions say where a log's servers are.
type DialOptions struct {
	// Addresses of the servers, host:port; one that answers is enough.
	Addresses []string
	// TLS holds this machine's certificate and the authority that vouches for
	// the servers. Required.
	TLS *tls.Config
	// Name of this client in the servers' eyes: the host id.
	Name string
	// Guest is a client that may append nothing and make no buckets: see Rights.
	Guest bool
	// Logger gets what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Client is a log that other machines hold; make one with Dial or
// Member.Client. Everything in it comes from a connection that finds another
// server by itself when its own is gone.
type Client struct {
	conn    *nats.Conn
	ownConn bool
	guest   bool // see DialOptions
	js      jetstream.JetStream
	logger  *slog.Logger
	head    *head
	recent  recentTips
	feed    feed

	patience time.Duration // of one append

	closing context.Context // done with Close
	close   context.CancelFunc
	running sync.WaitGroup
	appends sync.RWMutex // held for reading by every append; Close takes it
	closed  bool         // under appends
}

var (
	_ eventlog.Log         = (*Client)(nil)
	_ eventlog.RangeReader = (*Client)(nil)
	_ eventlog.EntryReader = (*Client)(nil)
)

// Dial connects to a log and waits, until ctx ends or dialTimeout is over,
// that it answers.
func Dial(ctx context.Context, options DialOptions) (*Client, error) {
	if len(options.Addresses) == 0 || options.TLS == nil {
		return nil, problem.New(problem.Invalid, "cannot connect to the log: addresses and a certificate are needed")
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	var urls []string
	for _, address := range options.Addresses {
		urls = append(urls, "tls://"+address)
	}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.Secure(options.TLS.Clone()), nats.Name(options.Name),
		nats.Timeout(connectTimeout), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(retryPause), nats.ReconnectJitter(retryPause, retryPause), nats.ReconnectBufSize(-1),
		nats.PingInterval(clientPing), nats.MaxPingsOutstanding(2), nats.NoEcho(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			options.Logger.Debug("the connection to the log", "error", err)
		}))
	if err != nil {
		return nil, notConnected(err)
	}
	client, err := newClient(ctx, conn, options.Logger)
	if err != nil {
		conn.Close()
		return nil, err
	}
	client.ownConn, client.guest = true, options.Guest
	return client, nil
}

func notConnected(err error) error {
	return problem.Wrap(problem.Unavailable, err, "cannot connect to the log").
		WithHint("a majority of the control machines must run; see 'pantheon host list' on one of them")
}

// newClient makes a client on a connection, once the log answers.
func newClient(ctx context.Context, conn *nats.Conn, logger *slog.Logger) (*Client, error) {
	c := bareClient(conn, logger)
	var err error
	if c.js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(readTimeout)); err != nil {
		return nil, notConnected(err)
	}
	err = c.persist(ctx, dialTimeout, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		info, err := c.info(asking)
		if err == nil {
			err = movingError(info)
		}
		if err != nil {
			if last := conn.LastError(); last != nil && !conn.IsConnected() {
				err = last
			}
			return false, err
		}
		c.head.rise(info.State.Last)
		return true, nil
	})
	if err != nil {
		c.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, notConnected(err)
	}
	return c, nil
}

// bareClient asks nothing.
func bareClient(conn *nats.Conn, logger *slog.Logger) *Client {
	c := &Client{conn: conn, logger: logger, head: &head{risen: make(chan struct{})}, patience: clientPatience}
	c.closing, c.close = context.WithCancel(context.Background())
	return c
}

// Close waits for appends under way and ends every reader.
func (c *Client) Close() error {
	c.appends.Lock()
	if c.closed {
		c.appends.Unlock()
		return nil
	}
	c.closed = true
	c.appends.Unlock()
	c.head.close()
	c.close()
	c.feed.stop()
	c.running.Wait()
	if c.ownConn {
		c.conn.Close()
	}
	return nil
}

// Conn is the connection to the servers, for requests between the nodes of a
// cell.
func (c *Client) Conn() *nats.Conn { return c.conn }

// Bucket opens a key-value bucket beside the log, with as many replicas as the
// log has, and makes it when it is missing.
func (c *Client) Bucket(ctx context.Context, config jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	if c.guest {
		bucket, err := c.js.KeyValue(ctx, config.Bucket)
		if err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot open bucket %s", config.Bucket)
		}
		return bucket, nil
	}
	var err error
	if config.Replicas, err = c.replicas(ctx); err != nil {
		return nil, err
	}
	return openBucket(ctx, c.js, config)
}

// replicas gives how many the log has now: it may have grown since Dial.
func (c *Client) replicas(ctx context.Context) (int, error) {
	info, err := c.info(ctx)
	if err == nil {
		err = movingError(info)
	}
	if err != nil {
		return 0, problem.Wrap(problem.Unavailable, err, "cannot ask how many replicas the log has")
	}
	return info.Config.Replicas, nil
}

// ObjectStore opens a bucket of large objects beside the log, as Bucket does.
func (c *Client) ObjectStore(ctx context.Context, config jetstream.ObjectStoreConfig) (jetstream.ObjectStore, error) {
	if c.guest {
		store, err := c.js.ObjectStore(ctx, config.Bucket)
		if err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot open bucket %s", config.Bucket)
		}
		return store, nil
	}
	var err error
	if config.Replicas, err = c.replicas(ctx); err != nil {
		return nil, err
	}
	return openObjects(ctx, c.js, config)
}

// Append implements [eventlog.Appender]. An attempt whose answer is lost is
// made again: the tip that it names lets it be written once at most, and the
// commit behind the tip tells whether it was.
func (c *Client) Append(ctx context.Context, tip events.Tip, commit events.Commit) (events.Tip, error) {
	c.appends.RLock()
	defer c.appends.RUnlock()
	if c.closed {
		return events.Tip{}, eventlog.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return events.Tip{}, err
	}
	if c.guest {
		return events.Tip{}, problem.New(problem.Denied, "cannot append to the log: this machine may read it alone").
			WithHint("a control machine decides")
	}
	data, hash, err := events.Encode(commit, tip)
	if err != nil {
		return events.Tip{}, err
	}
	if err := c.checkTip(ctx, tip, commit.Stream); err != nil {
		return events.Tip{}, err
	}
	p := publishing{client: c, id: rand.Text(), subject: subject(commit.Stream), after: uint64(tip.Position), data: data}
	if err := c.persist(ctx, c.patience, p.attempt); err != nil {
		if ctx.Err() != nil {
			return events.Tip{}, ctx.Err()
		}
		if errors.Is(err, eventlog.ErrConflict) {
			return events.Tip{}, err
		}
		return events.Tip{}, refused(err)
	}
	next := events.Tip{Revision: tip.Revision + 1, Position: positionOf(p.position), Hash: hash}
	c.recent.put(commit.Stream, next)
	c.head.rise(p.position)
	return next, nil
}

func refused(reason error) error {
	hint := "a majority of the control machines must run and reach one another; when they do, the same command works again"
	if errors.Is(reason, errMoving) {
		hint = "it takes as long as copying the log; then the same command works again"
	}
	return problem.Wrap(problem.Unavailable, reason, "cannot append to the log").WithHint("%s", hint)
}

// publishing is one commit on its way.
type publishing struct {
	client   *Client
	id       string // of this append, stored with the commit
	subject  string
	after    uint64 // position of the commit it was decided on
	data     []byte
	attempts int
	position uint64 // where it was written
}

func (p *publishing) attempt(ctx context.Context, limit time.Duration) (final bool, err error) {
	p.attempts++
	message := nats.NewMsg(p.subject)
	message.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(p.after, 10)}
	message.Header[appendHeader] = []string{p.id}
	message.Data = p.data
	reply, err := p.client.once(ctx, limit, message)
	if errors.Is(err, errNobody) {
		// Nobody takes commits: an election, no majority, or the log is moving.
		if p.attempts > 1 {
			err = p.client.whyNobody(ctx)
		}
		return errors.Is(err, errMoving), err
	}
	if err != nil {
		return false, fmt.Errorf("no majority of the machines that hold the log has confirmed it: %w", err)
	}
	var ack publishAck
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return false, err
	}
	if ack.Error == nil {
		p.position = ack.Sequence
		return true, nil
	}
	if ack.Error.isConflict() {
		return p.settle(ctx)
	}
	return false, ack.Error
}

// appendHeader tells an append's own commit from one that is equal to it in
// every byte. It is no part of the commit.
const appendHeader = "Pantheon-Append"

// settle finds out what follows the tip: this commit, written by an attempt
// whose answer was lost, or that was refused by one server which led once and
// taken by the one that does; another one, which is a conflict; or nothing yet:
// the server refuses two commits of one stream that are both on their way to the
// other members, and the first of them may still be lost.
func (p *publishing) settle(ctx context.Context) (final bool, err error) {
	next, err := p.client.ask(ctx, question{Sequence: p.after + 1, NextOf: p.subject})
	switch {
	case errors.Is(err, errNotThere):
		return false, errBusyStream // the tip exists, checkTip has seen to that
	case err != nil:
		return false, err
	case bytes.Contains(next.header, []byte(appendHeader+": "+p.id+"\r\n")):
		p.position = next.position
		return true, nil
	}
	p.client.head.rise(next.position)
	return true, eventlog.ErrConflict
}

var errBusyStream = errors.New("a commit of the stream is on its way, and no majority of the machines that hold the log has confirmed it")

// whyNobody asks why nobody takes commits.
func (c *Client) whyNobody(ctx context.Context) error {
	var info streamInfo
	reply, err := c.once(ctx, firstPatience, nats.NewMsg(infoSubject))
	if err == nil && json.Unmarshal(reply.Data, &info) == nil && info.Error == nil {
		if err := movingError(&info); err != nil {
			return err
		}
	}
	return errNobody
}

// checkTip refuses a tip that is no commit of the stream; see Log.checkTip.
func (c *Client) checkTip(ctx context.Context, tip events.Tip, stream events.StreamID) error {
	if tip == (events.Tip{}) || c.recent.holds(stream, tip) {
		return nil
	}
	if tip.Position == 0 {
		return eventlog.ErrConflict
	}
	r, err := c.direct(ctx, question{Sequence: uint64(tip.Position)})
	if errors.Is(err, errNotThere) {
		r, err = c.ask(ctx, question{Sequence: uint64(tip.Position)})
	}
	switch {
	case errors.Is(err, errNotThere):
		return eventlog.ErrConflict
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return refused(err)
	}
	link, err := scanRecord(r, false)
	if err != nil {
		return broken(uint64(tip.Position), err.Error())
	}
	if !r.isOf(stream) || link.Hash != tip.Hash || link.Revision != tip.Revision {
		return eventlog.ErrConflict
	}
	c.recent.put(stream, tip)
	return nil
}
