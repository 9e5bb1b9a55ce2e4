package jetstream

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"pantheon/events"
	"pantheon/events/eventlog"
)

// committedPrefix is where the stream's leader publishes every commit once more
// when it is stored, with its position. It is news, not truth: it may get
// lost, and then readers ask for what is missing.
const committedPrefix = "committed."

func committedSubject(stream events.StreamID) string {
	return committedPrefix + string(stream.Kind) + "." + stream.ID
}

// feed keeps the newest commits for the tails of a client, and lets its head
// rise. The first tail starts it.
type feed struct {
	mu      sync.Mutex
	started bool
	sub     *nats.Subscription
	records []record // consecutive
	bytes   int
}

// start subscribes and lets one goroutine look for what got lost.
func (c *Client) startFeed() error {
	f := &c.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.started || c.closing.Err() != nil {
		return nil
	}
	sub, err := c.conn.Subscribe(committedPrefix+">", func(message *nats.Msg) {
		if r, err := recordOf(message); err == nil {
			f.add(r)
			c.head.rise(r.position)
		}
	})
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(feedCommits, feedBytes); err != nil {
		return err
	}
	f.sub, f.started = sub, true
	c.running.Go(c.poll)
	return nil
}

func (f *feed) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sub != nil {
		_ = f.sub.Unsubscribe()
	}
}

// poll asks for the head every pollEvery and after each reconnection.
func (c *Client) poll() {
	again := c.conn.StatusChanged(nats.CONNECTED)
	defer c.conn.RemoveStatusListener(again)
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if info, err := c.info(c.closing); err == nil && movingError(info) == nil {
			c.head.rise(info.State.Last)
		}
		select {
		case <-ticker.C:
		case <-again:
		case <-c.closing.Done():
			return
		}
	}
}

// add keeps a record that follows the last one, or begins anew with it.
func (f *feed) add(r record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.records); n > 0 && r.position != f.records[n-1].position+1 {
		f.records, f.bytes = nil, 0
	}
	f.records = append(f.records, r)
	f.bytes += len(r.message)
	drop := 0
	for f.bytes > feedBytes || len(f.records)-drop > feedCommits {
		f.bytes -= len(f.records[drop].message)
		drop++
	}
	clear(f.records[:drop])
	f.records = f.records[drop:]
}

// after gives the records that follow a position, as far as they are kept.
func (f *feed) after(position, limit uint64) []record {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.records) == 0 || position+1 < f.records[0].position {
		return nil
	}
	at := position + 1 - f.records[0].position
	end := min(uint64(len(f.records)), limit+1-f.records[0].position)
	if at >= end {
		return nil
	}
	return append([]record(nil), f.records[at:end]...)
}

// Tail implements [eventlog.Reader]. It goes on when servers are gone and come
// back.
func (c *Client) Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		t := tailing{client: c, next: uint64(after), yield: yield}
		err := c.usable(ctx)
		if err == nil {
			err = c.startFeed()
		}
		for err == nil {
			err = t.step(ctx)
		}
		if !t.left {
			yield(events.Envelope{}, c.failure(ctx, err, "the log"))
		}
	}
}

// tailing is one tail.
type tailing struct {
	client *Client
	next   uint64 // the last position given
	yield  func(events.Envelope, error) bool
	left   bool
}

var errLeft = errors.New("the reader has left")

// step gives what there is, or waits for more.
func (t *tailing) step(ctx context.Context) error {
	c := t.client
	head, risen, closed := c.head.watch()
	if closed {
		return eventlog.ErrClosed
	}
	if t.next >= head {
		select {
		case <-risen:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	records := c.feed.after(t.next, head)
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		envelope, err := decodeRecord(r)
		if err != nil {
			return err
		}
		if !t.give(envelope) {
			return errLeft
		}
	}
	if len(records) > 0 {
		return nil
	}
	_, left, err := c.upTo(ctx, t.next, head, t.give)
	if left {
		return errLeft
	}
	return c.passing(ctx, err)
}

func (t *tailing) give(envelope events.Envelope) bool {
	t.next = uint64(envelope.Position)
	t.left = !t.yield(envelope, nil)
	return !t.left
}

// passing keeps a reader that waits anyway from ending with what will pass.
func (c *Client) passing(ctx context.Context, err error) error {
	var brk *eventlog.BrokenError
	if err == nil || errors.As(err, &brk) || ctx.Err() != nil || c.closing.Err() != nil {
		return err
	}
	pause := time.NewTimer(retryPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	case <-c.closing.Done():
	}
	return nil
}

// Follow gives the commits of one stream with revisions above after and then
// waits for more, until ctx ends. Only this stream's commits travel to the
// reader. Like Tail it goes on when servers are gone and come back.
func (c *Client) Follow(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		f := following{client: c, stream: stream, tip: events.Tip{Revision: after}, yield: yield}
		err := c.usable(ctx)
		if err == nil {
			err = f.run(ctx)
		}
		if !f.left {
			yield(events.Envelope{}, c.failure(ctx, err, stream.String()))
		}
	}
}

// following is one reader of one stream.
type following struct {
	client *Client
	stream events.StreamID
	tip    events.Tip // the last commit given; with a zero hash not known
	yield  func(events.Envelope, error) bool
	left   bool
}

func (f *following) run(ctx context.Context) error {
	c := f.client
	news := make(chan *nats.Msg, followNews)
	sub, err := c.conn.ChanSubscribe(committedSubject(f.stream), news)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	again := c.conn.StatusChanged(nats.CONNECTED)
	defer c.conn.RemoveStatusListener(again)
	ticker := time.NewTicker(followPollEvery)
	defer ticker.Stop()
	for {
		if err := c.passing(ctx, f.catchUp(ctx)); err != nil || f.left {
			return err
		}
		for waiting := true; waiting; {
			select {
			case message := <-news:
				if waiting, err = f.take(message); err != nil || f.left {
					return err
				}
			case <-ticker.C:
				waiting = false
			case <-again:
				waiting = false
			case <-ctx.Done():
				return ctx.Err()
			case <-c.closing.Done():
				return eventlog.ErrClosed
			}
		}
	}
}

// catchUp asks the leader for what is missing.
func (f *following) catchUp(ctx context.Context) error {
	return f.client.readStream(ctx, f.stream, f.tip.Revision, func(envelope events.Envelope) bool { return f.give(envelope) })
}

func (f *following) give(envelope events.Envelope) bool {
	f.tip = envelope.Tip()
	f.left = !f.yield(envelope, nil)
	return !f.left
}

// take gives a commit that was just published, when it is the next; false when
// something lies between.
func (f *following) take(message *nats.Msg) (goOn bool, err error) {
	r, err := recordOf(message)
	if err != nil {
		return false, nil //nolint:nilerr // no news; the stream tells
	}
	envelope, err := decodeRecord(r)
	if err != nil {
		return false, err
	}
	if envelope.Revision <= f.tip.Revision {
		return true, nil
	}
	if follows(envelope, f.stream, f.tip) != nil {
		return false, nil
	}
	return f.give(envelope), nil
}

// Follow is Client.Follow for the machine that holds the log.
func (l *Log) Follow(ctx context.Context, stream events.StreamID, after events.Revision) iter.Seq2[events.Envelope, error] {
	return func(yield func(events.Envelope, error) bool) {
		position, err := l.Head(ctx)
		if err != nil {
			yield(events.Envelope{}, err)
			return
		}
		for envelope, err := range l.Stream(ctx, stream, after) {
			if !yield(envelope, err) || err != nil {
				return
			}
			after = envelope.Revision
		}
		for envelope, err := range l.Tail(ctx, position) {
			if err == nil && (envelope.Stream != stream || envelope.Revision <= after) {
				continue
			}
			if !yield(envelope, err) {
				return
			}
		}
	}
}
