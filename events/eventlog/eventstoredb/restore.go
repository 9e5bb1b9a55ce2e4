package eventstoredb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
)

// The types of the events in the register.
const (
	restoredType  = "pantheon-restored"  // the log is in stream <name>-<data> now
	discardedType = "pantheon-discarded" // stream <name>-<data> will never be
)

// register says which of a cell's streams is its log.
type register struct {
	name string
	log  uint64 // number of the log's stream
	used uint64 // the highest number that is taken
	size uint64 // events in it
}

func (r register) stream(number uint64) string { return fmt.Sprintf("%s-%d", r.name, number) }
func (r register) current() string             { return r.stream(r.log) }
func (r register) next() string                { return r.stream(r.used + 1) }

func readRegister(ctx context.Context, server *server, name string) (register, error) {
	r := register{name: name}
	var foreign error
	err := server.read(ctx, readRequest(name, 0, false), pageCommits, func(e event) bool {
		number, err := strconv.ParseUint(string(e.data), 10, 64)
		if err != nil || e.kind != restoredType && e.kind != discardedType {
			foreign = problem.New(problem.Conflict, "cannot use the streams %s of the EventStoreDB as a log: an event of type %.60q is none of ours", name, e.kind)
			return false
		}
		if e.kind == restoredType {
			r.log = number
		}
		r.used, r.size = max(r.used, number), e.revision+1
		return true
	})
	if errors.Is(err, errNoStream) {
		err = nil
	}
	return r, errors.Join(err, foreign)
}

// add registers what became of a stream.
func (r register) add(ctx context.Context, server *server, kind string, number uint64) error {
	return taken(server.append(ctx, r.name, r.size, []event{{kind: kind, data: strconv.AppendUint(nil, number, 10)}}))
}

// taken explains a conflict with another restorer.
func taken(err error) error {
	if errors.Is(err, errConflict) {
		return problem.New(problem.Conflict, "cannot restore into this log: somebody else does that now")
	}
	return err
}

// Restoring fills an empty log.
type Restoring struct {
	server   *server
	register register
	head     events.Position // of what was put
	waiting  []event
	bytes    int
}

var _ eventlog.Restorer = (*Restoring)(nil)

// Restore begins to fill a log, which must be empty; no platform runs on it
// meanwhile. What an earlier one has put that was neither finished nor
// discarded is kept.
func Restore(ctx context.Context, options Options) (*Restoring, error) {
	server, err := connect(options)
	if err != nil {
		return nil, err
	}
	r := &Restoring{server: server}
	if r.register, err = readRegister(ctx, server, options.name()); err == nil {
		err = r.checkEmpty(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, server.close())
	}
	return r, nil
}

func (r *Restoring) checkEmpty(ctx context.Context) error {
	n, _, err := readPage(ctx, r.server, r.register.current(), 0, 1, func(eventlog.Entry) bool { return true })
	if err == nil && n > 0 {
		return problem.New(problem.Conflict, "cannot restore into this log: it holds commits").WithHint("another name of its streams is an empty log: esdb://…?stream=NAME")
	}
	return err
}

// Kept implements [eventlog.Restorer].
func (r *Restoring) Kept(ctx context.Context) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		for entry, err := range readPages(ctx, r.server, r.register.next(), 0) {
			if err == nil {
				r.head = entry.Position
			}
			if (err != nil || entry.Wire != nil) && !yield(entry, err) {
				return
			}
		}
	}
}

// Put implements [eventlog.Restorer]. It sends when there is enough.
func (r *Restoring) Put(ctx context.Context, entry eventlog.Entry) error {
	next := r.head + events.Position(len(r.waiting)) + 1
	if entry.Position < next || entry.Position-next > maxGap {
		return problem.New(problem.Unsupported, "cannot keep position %d in an EventStoreDB: the one before it is %d", entry.Position, next-1)
	}
	for ; next < entry.Position; next++ {
		if err := r.wait(ctx, event{kind: gapType, data: strconv.AppendUint(nil, uint64(next), 10)}); err != nil {
			return err
		}
	}
	return r.wait(ctx, event{kind: commitType, data: bytes.Clone(entry.Wire)})
}

func (r *Restoring) wait(ctx context.Context, e event) error {
	r.waiting, r.bytes = append(r.waiting, e), r.bytes+len(e.data)
	if len(r.waiting) < MaxBatchCommits && r.bytes < maxBatchBytes {
		return nil
	}
	return r.flush(ctx)
}

func (r *Restoring) flush(ctx context.Context) error {
	if len(r.waiting) == 0 {
		return nil
	}
	if err := taken(r.server.append(ctx, r.register.next(), uint64(r.head), r.waiting)); err != nil {
		return err
	}
	r.head += events.Position(len(r.waiting))
	r.waiting, r.bytes = nil, 0
	return nil
}

// Finish implements [eventlog.Restorer].
func (r *Restoring) Finish(ctx context.Context) error {
	if err := errors.Join(r.flush(ctx), r.checkEmpty(ctx)); err != nil {
		return err
	}
	return r.register.add(ctx, r.server, restoredType, r.register.used+1)
}

// Discard implements [eventlog.Restorer].
func (r *Restoring) Discard() error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	r.waiting, r.bytes, r.head = nil, 0, 0
	number := r.register.used + 1
	if err := r.register.add(ctx, r.server, discardedType, number); err != nil {
		return err
	}
	stream := r.register.stream(number)
	r.register.used, r.register.size = number, r.register.size+1
	return r.server.remove(ctx, stream)
}

// Close implements [eventlog.Restorer]. What waits to be sent was not put yet.
func (r *Restoring) Close() error { return r.server.close() }
