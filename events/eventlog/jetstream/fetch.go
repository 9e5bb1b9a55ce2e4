package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// fetch asks for a batch of messages. What comes before an error is given
// without it; nothing at all with errNotThere is the end of what the server
// that answered has.
func (c *Client) fetch(ctx context.Context, q question) (records []record, err error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	inbox := c.conn.NewRespInbox()
	answers, err := c.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer answers.Unsubscribe() //nolint:errcheck // the connection is gone, and with it the subscription
	if err := answers.SetPendingLimits(2*fetchCommits, -1); err != nil {
		return nil, err
	}
	if err := c.conn.PublishMsg(&nats.Msg{Subject: directSubject, Reply: inbox, Data: payload}); err != nil {
		return nil, err
	}
	for {
		message, err := answers.NextMsgWithContext(ctx)
		if err == nil && message.Header.Get("Status") == "503" {
			err = errNobody
		}
		if err != nil && len(records) > 0 {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		switch message.Header.Get("Status") {
		case "":
			r, err := recordOf(message)
			if err != nil {
				return nil, err
			}
			records = append(records, r)
		case "204":
			return records, nil
		case "404":
			return nil, errNotThere
		default:
			return nil, fmt.Errorf("the server says %s", message.Header.Get("Description"))
		}
	}
}

// fetchFrom gives at least one of the messages from position next up to limit,
// which are known to be there; a server that lacks them is asked again, and so
// are the others.
func (c *Client) fetchFrom(ctx context.Context, next, limit uint64) ([]record, error) {
	q := question{Sequence: next, Batch: int(min(fetchCommits, limit-next+1)), MaxBytes: fetchBytes}
	var records []record
	err := c.persist(ctx, clientPatience, func(ctx context.Context, limit time.Duration) (bool, error) {
		asking, cancel := within(ctx, limit)
		defer cancel()
		defer context.AfterFunc(c.closing, cancel)()
		var err error
		records, err = c.fetch(asking, q)
		return len(records) > 0, err
	})
	if err != nil {
		return nil, err
	}
	for i, r := range records {
		if r.position != next+uint64(i) {
			return nil, broken(next+uint64(i), fmt.Sprintf("position %d stands in its place", r.position))
		}
	}
	return records, nil
}

// fetched is one batch on its way to a reader.
type fetched struct {
	records   []record
	envelopes []events.Envelope
	err       error         // after the envelopes
	done      chan struct{} // closed when envelopes and err are set
}

func (f *fetched) decode() {
	defer close(f.done)
	for _, r := range f.records {
		envelope, err := decodeRecord(r)
		if err != nil {
			f.err = err
			return
		}
		f.envelopes = append(f.envelopes, envelope)
	}
}

// fetchAll reads ahead: it sends the batches after a position up to limit, in
// order, and closes the channel behind the last or the first error. Its
// capacity bounds memory and decoders.
func (c *Client) fetchAll(ctx context.Context, after, limit uint64, decode bool, batches chan<- *fetched) {
	defer close(batches)
	for after < limit {
		records, err := c.fetchFrom(ctx, after+1, limit)
		f := &fetched{records: records, err: err, done: make(chan struct{})}
		if decode && err == nil {
			go f.decode()
		} else {
			close(f.done)
		}
		select {
		case batches <- f:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		after = records[len(records)-1].position
	}
}

// failure gives a reader's error its kind.
func (c *Client) failure(ctx context.Context, err error, what string) error {
	var brk *eventlog.BrokenError
	var newer *events.NewerError
	switch {
	case err == nil:
		return nil
	case c.closing.Err() != nil:
		return eventlog.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &brk), errors.As(err, &newer):
		return err
	}
	return problem.Wrap(problem.Unavailable, err, "cannot read %s", what).
		WithHint("a majority of the control machines must run and reach one another")
}
