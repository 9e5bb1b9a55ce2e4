package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
)

// Restoring fills a log folder beside the one it is for: the server writes the
// block files of <dir>.import, without synchronising each commit, and Finish
// synchronises all, verifies them and renames the folder. A power failure before
// that leaves a part that the next Restore goes on with.
type Restoring struct {
	dir, staging string
	reserve      uint64
	lock         *os.File
	engine       *engine
	conn         *nats.Conn
	js           jetstream.JetStream
	kept         *index

	chain  *chain.Checker
	digest digest
	last   uint64
}

// Restore begins to fill the log in options.Dir, which must be missing or empty, or
// goes on with a part that an earlier call has left.
func Restore(ctx context.Context, options Options) (_ *Restoring, err error) {
	options = options.withDefaults()
	dir := options.Dir
	if err := emptyLog(ctx, dir); err != nil {
		return nil, err
	}
	r := &Restoring{dir: dir, staging: dir + ".import", reserve: options.ReserveBytes, chain: chain.NewChecker()}
	if err := os.MkdirAll(r.staging, 0o700); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "cannot restore the log")
	}
	defer func() {
		if err != nil {
			_ = r.Close()
		}
	}()
	if r.lock, err = lockDir(r.staging); err != nil {
		return nil, err
	}
	v, err := verify(ctx, r.staging, false, nil)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || v.torn != "" {
		// A power failure may leave anything of what was not synchronised.
		if err = os.RemoveAll(storeDir(r.staging)); err != nil {
			return nil, problem.Wrap(problem.Unavailable, err, "cannot restore the log")
		}
		v = &verification{index: &index{dir: r.staging}}
	}
	r.kept = v.index
	return r, r.start(ctx, options.Logger)
}

// storeDir is where the server keeps everything.
func storeDir(dir string) string { return filepath.Join(dir, "jetstream") }

// emptyLog refuses a log that holds commits, or that somebody has open.
func emptyLog(ctx context.Context, dir string) error {
	files, err := OpenFiles(ctx, dir, nil)
	if problem.KindOf(err) == problem.NotFound {
		return nil
	}
	var broken *eventlog.BrokenError
	if errors.As(err, &broken) {
		return problem.Wrap(problem.Conflict, broken, "cannot restore the log: there is one already in %s", dir)
	}
	if err != nil {
		return err
	}
	defer files.Close() //nolint:errcheck // it was read only
	if last := files.index.last; last > 0 {
		return problem.New(problem.Conflict, "cannot restore the log: the one in %s is not empty, it ends at position %d", dir, last).
			WithHint("--data names the folder of an empty cell")
	}
	return nil
}

func (r *Restoring) start(ctx context.Context, logger *slog.Logger) error {
	var err error
	if r.engine, err = startServer(serverOptions(r.staging, false), logger); err != nil {
		return err
	}
	w := &wire{}
	w.current.Store(r.engine)
	if r.conn, err = w.connect(); err != nil {
		return err
	}
	failed := func(_ jetstream.JetStream, _ *nats.Msg, err error) { r.engine.fail(err) }
	if r.js, err = jetstream.New(r.conn, jetstream.WithDefaultTimeout(readTimeout),
		jetstream.WithPublishAsyncMaxPending(restorePending), jetstream.WithPublishAsyncErrHandler(failed)); err != nil {
		return err
	}
	_, err = openStream(ctx, r.js, r.kept.last)
	return err
}

// Kept implements [eventlog.Restorer].
func (r *Restoring) Kept(ctx context.Context) iter.Seq2[eventlog.Entry, error] {
	return func(yield func(eventlog.Entry, error) bool) {
		r.kept.entries(ctx, 0, r.kept.last, func(entry eventlog.Entry, err error) bool {
			if err == nil {
				_, _, err = r.take(entry)
			}
			return yield(entry, err)
		})
	}
}

// take follows the log that becomes.
func (r *Restoring) take(entry eventlog.Entry) (previous uint64, name []byte, err error) {
	link, name, err := chain.Read(entry)
	if err != nil {
		return 0, nil, broken(uint64(entry.Position), err.Error())
	}
	if uint64(entry.Position) != r.last+1 {
		return 0, nil, problem.New(problem.Unsupported, "cannot restore position %d after %d: this kind of log has no gaps", entry.Position, r.last)
	}
	before, err := r.chain.Add(link)
	if err != nil {
		return 0, nil, err
	}
	r.last, r.digest = uint64(entry.Position), r.digest.next(link.Hash)
	return uint64(before), name, nil
}

// Put implements [eventlog.Restorer]. The server stores the entry later; an
// error of that comes with a later call.
func (r *Restoring) Put(ctx context.Context, entry eventlog.Entry) error {
	previous, name, err := r.take(entry)
	if err != nil {
		return err
	}
	if r.last%spaceCheckCommits == 1 {
		if err := checkSpace(r.staging, r.reserve); err != nil {
			return cannotRestore(err)
		}
	}
	message := nats.NewMsg(subject(chain.StreamOf(name)))
	message.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(previous, 10)}
	message.Data = append([]byte(nil), entry.Wire...)
	if cause := context.Cause(r.engine.failed); cause != nil {
		return cannotRestore(cause)
	}
	if _, err := r.js.PublishMsgAsync(message, jetstream.WithStallWait(appendTimeout)); err != nil {
		return cannotRestore(err)
	}
	return ctx.Err()
}

func cannotRestore(reason error) error {
	return problem.Wrap(problem.Unavailable, reason, "cannot restore the log").
		WithHint("when the cause is gone, the same command goes on where this one ended")
}

// Finish implements [eventlog.Restorer].
func (r *Restoring) Finish(ctx context.Context) error {
	select {
	case <-r.js.PublishAsyncComplete():
	case <-r.engine.failed.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	if cause := context.Cause(r.engine.failed); cause != nil {
		return cannotRestore(cause)
	}
	r.stop()
	if err := syncTree(storeDir(r.staging)); err != nil {
		return cannotRestore(err)
	}
	if r.last > 0 {
		if err := writeCheckpoint(r.staging, checkpoint{Position: r.last, Digest: r.digest.String()}); err != nil {
			return cannotRestore(err)
		}
	}
	v, err := verify(ctx, r.staging, false, nil)
	if err != nil {
		return err
	}
	if v.index.last != r.last || v.torn != "" {
		return broken(v.index.last+1, fmt.Sprintf("the log that was restored ends here, %d commits were written", r.last))
	}
	if err := emptyLog(ctx, r.dir); err != nil { // still
		return err
	}
	if err := errors.Join(os.RemoveAll(r.dir), os.Rename(r.staging, r.dir), syncPath(filepath.Dir(r.dir))); err != nil {
		return cannotRestore(err)
	}
	return nil
}

// Discard implements [eventlog.Restorer].
func (r *Restoring) Discard() error {
	r.stop()
	return os.RemoveAll(r.staging)
}

func (r *Restoring) stop() {
	if r.conn != nil {
		r.conn.Close()
	}
	if r.engine != nil {
		r.engine.stop()
	}
}

// Close implements [eventlog.Restorer].
func (r *Restoring) Close() error {
	r.stop()
	if r.lock == nil {
		return nil
	}
	return r.lock.Close()
}

// syncTree synchronises every file and folder below dir to disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
