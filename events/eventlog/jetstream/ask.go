package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events"
)

// What a client says to the servers, and what it is told. The server's own
// client library chooses by itself whom it asks; here it matters: the stream's
// leader knows every acknowledged commit, a replica may be behind.
const (
	infoSubject   = "$JS.API.STREAM.INFO." + streamName
	getSubject    = "$JS.API.STREAM.MSG.GET." + streamName
	directSubject = "$JS.API.DIRECT.GET." + streamName

	subjectHeader      = "Nats-Subject"
	sequenceHeader     = "Nats-Sequence"
	lastSequenceHeader = "Nats-Last-Sequence"
)

// apiError is how the server says no.
type apiError struct {
	Code        int                 `json:"code"`
	ErrCode     jetstream.ErrorCode `json:"err_code"`
	Description string              `json:"description"`
}

func (e *apiError) Error() string { return e.Description }

func (e *apiError) isConflict() bool {
	return e.ErrCode == wrongLastSequence || e.ErrCode == wrongLastSequenceConstant
}

// publishAck answers a publish.
type publishAck struct {
	Sequence uint64    `json:"seq"`
	Error    *apiError `json:"error"`
}

// streamInfo is the part of the stream's description that matters here.
type streamInfo struct {
	Config struct {
		Replicas int               `json:"num_replicas"`
		Subjects []string          `json:"subjects"`
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
	State struct {
		Messages uint64 `json:"messages"`
		First    uint64 `json:"first_seq"`
		Last     uint64 `json:"last_seq"`
	} `json:"state"`
	Cluster *struct {
		Leader   string `json:"leader"`
		Replicas []struct {
			Name    string `json:"name"`
			Current bool   `json:"current"`
			Offline bool   `json:"offline"`
			Lag     uint64 `json:"lag"`
		} `json:"replicas"`
	} `json:"cluster"`
	Error *apiError `json:"error"`
}

// storedMessage is a message as the leader gives it.
type storedMessage struct {
	Message struct {
		Subject  string `json:"subject"`
		Sequence uint64 `json:"seq"`
		Header   []byte `json:"hdrs"`
		Data     []byte `json:"data"`
	} `json:"message"`
	Error *apiError `json:"error"`
}

func (m *storedMessage) record() record {
	return record{position: m.Message.Sequence, subject: []byte(m.Message.Subject), header: m.Message.Header, message: m.Message.Data}
}

// question is what MSG.GET and DIRECT.GET take.
type question struct {
	Sequence uint64 `json:"seq,omitzero"`
	LastOf   string `json:"last_by_subj,omitzero"`
	NextOf   string `json:"next_by_subj,omitzero"`
	Batch    int    `json:"batch,omitzero"`
	MaxBytes int    `json:"max_bytes,omitzero"`
}

var errNotThere = errors.New("there is no such message")

// errNobody is what a client is told when no server with the stream answers.
var errNobody = errors.New("no server that leads the log answers: there may be no majority of its machines, or an election is under way")

// once makes one request; limit bounds it.
func (c *Client) once(ctx context.Context, limit time.Duration, message *nats.Msg) (*nats.Msg, error) {
	asking, cancel := within(ctx, limit)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	answer, err := c.conn.RequestMsgWithContext(asking, message)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, errNobody
	}
	return answer, err
}

// persist calls one attempt after another until one is final, ctx ends or limit
// is over; an election takes a second or two. After steadyAttempts the time of
// an attempt grows, so that a slow machine gets its answer.
func (c *Client) persist(ctx context.Context, limit time.Duration, attempt func(ctx context.Context, limit time.Duration) (final bool, err error)) error {
	deadline, cancel := within(ctx, limit)
	defer cancel()
	patience := firstPatience
	last := fmt.Errorf("no answer within %v", limit)
	for attempts := 1; ; attempts++ {
		final, err := attempt(deadline, patience)
		if err != nil && err != context.DeadlineExceeded && err != context.Canceled { // in a sentence they say something
			last = err
		}
		switch {
		case final:
			return err
		case c.closing.Err() != nil:
			return errClosing
		case ctx.Err() != nil:
			return ctx.Err()
		case deadline.Err() != nil:
			return last
		}
		if attempts >= steadyAttempts {
			patience = min(2*patience, limit)
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-pause.C:
		case <-deadline.Done():
		case <-c.closing.Done():
		}
		pause.Stop()
	}
}

var errClosing = errors.New("the client is being closed")

// leader asks the stream's leader; decode takes its answer and finds the error
// in it. An error of the server that may pass is asked for again.
func (c *Client) leader(ctx context.Context, subject string, q any, decode func([]byte) (*apiError, error)) error {
	payload, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return c.persist(ctx, clientPatience, func(ctx context.Context, limit time.Duration) (bool, error) {
		message := nats.NewMsg(subject)
		message.Data = payload
		reply, err := c.once(ctx, limit, message)
		if err != nil {
			return false, err
		}
		failure, err := decode(reply.Data)
		switch {
		case err != nil:
			return true, err
		case failure == nil:
			return true, nil
		case failure.ErrCode == noMessageFound:
			return true, errNotThere
		case failure.ErrCode == jetstream.JSErrCodeStreamNotFound:
			return true, failure
		default:
			return false, failure
		}
	})
}

// info gives the stream as its leader knows it.
func (c *Client) info(ctx context.Context) (*streamInfo, error) {
	var info *streamInfo
	err := c.leader(ctx, infoSubject, struct{}{}, func(data []byte) (*apiError, error) {
		info = &streamInfo{} // nothing of an earlier answer stays
		err := json.Unmarshal(data, info)
		return info.Error, err
	})
	return info, err
}

// ask gives one message as the leader knows it.
func (c *Client) ask(ctx context.Context, q question) (record, error) {
	var stored *storedMessage
	err := c.leader(ctx, getSubject, q, func(data []byte) (*apiError, error) {
		stored = &storedMessage{} // nothing of an earlier answer stays
		err := json.Unmarshal(data, stored)
		return stored.Error, err
	})
	if err != nil {
		return record{}, err
	}
	return stored.record(), nil
}

// lastOf gives the newest commit of a stream. A leader that was voted out while
// its process stood still may answer for a moment; what this client has seen
// already it does not take back.
func (c *Client) lastOf(ctx context.Context, stream events.StreamID) (last record, err error) {
	known := c.recent.positionOf(stream)
	err = c.persist(ctx, clientPatience, func(ctx context.Context, _ time.Duration) (bool, error) {
		last, err = c.ask(ctx, question{LastOf: subject(stream)})
		if (err == nil || errors.Is(err, errNotThere)) && last.position < known {
			return false, errOldLeader
		}
		return true, err
	})
	return last, err
}

var errOldLeader = errors.New("a server that leads the log no more has answered")

// noMessageFound is an error code of the server.
const noMessageFound jetstream.ErrorCode = 10037

// direct gives one message from whichever replica answers: what it has does
// not change, what it has not it may get.
func (c *Client) direct(ctx context.Context, q question) (record, error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return record{}, err
	}
	var found record
	err = c.persist(ctx, clientPatience, func(ctx context.Context, limit time.Duration) (bool, error) {
		message := nats.NewMsg(directSubject)
		message.Data = payload
		reply, err := c.once(ctx, limit, message)
		if err != nil {
			return false, err
		}
		switch reply.Header.Get("Status") {
		case "":
			found, err = recordOf(reply)
			return true, err
		case "404":
			return true, errNotThere
		default:
			return true, fmt.Errorf("the server says %s", reply.Header.Get("Description"))
		}
	})
	return found, err
}

// recordOf gives the message that came with direct get, or republished.
func recordOf(message *nats.Msg) (record, error) {
	position, err := strconv.ParseUint(message.Header.Get(sequenceHeader), 10, 64)
	if err != nil || position == 0 {
		return record{}, fmt.Errorf("a message without a position came from the server")
	}
	r := record{position: position, subject: []byte(message.Header.Get(subjectHeader)), message: message.Data}
	if expected := message.Header.Get(jetstream.ExpectedLastSubjSeqHeader); expected != "" {
		r.header = append(append(append(r.header, expectedHeader...), expected...), "\r\n"...)
	}
	return r, nil
}
