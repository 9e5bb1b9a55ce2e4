package keeper

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/mod/sumdb/note"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/eventlog/chain"
	"pantheon/events/problem"
	"pantheon/projections/audit"
)

// Open checks the log against what was signed of it, and the leaves against
// the log; see the package comment. What is appended meanwhile, Run takes.
func Open(ctx context.Context, options Options) (*Keeper, error) {
	o, err := Begin(options)
	if err != nil {
		return nil, err
	}
	if err := readLeaves(ctx, options.Log, 0, o.check.Add); err != nil {
		return nil, errors.Join(o.keeper.explain(err), o.Close())
	}
	return o.Finish(ctx, options.Log)
}

// Opening is a keeper on its way: it is shown every commit of the log by whoever
// reads them all anyway.
type Opening struct {
	keeper *Keeper
	leaves *os.File // as they were left
	known  *leafReader
	check  *Check
}

// Begin is the first half of Open, for a log that is yet to be opened: See is
// given the link of every commit, in order (it is jetstream.Options.See), and
// Finish is called before anything is appended; or else Close.
func Begin(options Options) (_ *Opening, err error) {
	if options.Interval == 0 {
		options.Interval = DefaultInterval
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	k := &Keeper{options: options}
	if k.signer, k.public, err = loadKey(options.Key); err != nil {
		return nil, err
	}
	if k.verifier, err = note.NewVerifier(k.public); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, cannotOpen(err)
	}
	if err := k.loadHeads(); err != nil {
		return nil, err
	}
	o := &Opening{keeper: k}
	if o.leaves, err = os.OpenFile(k.leavesPath(), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, cannotOpen(err)
	}
	heads := make([]audit.Head, len(k.heads))
	for i, head := range k.heads {
		heads[i] = head.Head
	}
	o.known = newLeafReader(o.leaves)
	o.check = NewCheck(heads, o.known.next)
	return o, nil
}

func cannotOpen(err error) error {
	return problem.Wrap(problem.Unavailable, err, "cannot open the audit tree")
}

// See takes the next commit; a problem.Conflict around an *eventlog.BrokenError
// where the log is not the one that was signed.
func (o *Opening) See(link chain.Link) error {
	return o.keeper.explain(o.check.Add(audit.Leaf{Position: link.Position, Commit: link.Hash}))
}

// Close gives up an opening that is not finished.
func (o *Opening) Close() error { return o.leaves.Close() }

// Finish is the second half of Open: log is the one whose commits were seen.
func (o *Opening) Finish(ctx context.Context, log Log) (*Keeper, error) {
	defer func() { _ = o.Close() }() // what was left was read
	k := o.keeper
	k.options.Log = log
	if err := o.fold(ctx); err != nil {
		return nil, err
	}
	var err error
	k.leaves.file, err = os.OpenFile(k.leavesPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = k.leaves.file.Seek(k.state.Size()*audit.LeafBytes, io.SeekStart)
	}
	if err != nil {
		return nil, cannotOpen(err)
	}
	k.leaves.out = bufio.NewWriterSize(k.leaves.file, leafBuffer*audit.LeafBytes)
	return k, nil
}

// fold takes the tree of all that was seen, and mends the leaves.
func (o *Opening) fold(ctx context.Context) (err error) {
	k := o.keeper
	if k.state, err = o.check.Finish(); err != nil {
		return k.explain(err)
	}
	right := min(o.known.n, k.state.Size())
	if o.check.differs != nil {
		right = o.check.differs.index
	}
	info, err := o.leaves.Stat()
	if err != nil {
		return cannotOpen(err)
	}
	if right == k.state.Size() && info.Size() == right*audit.LeafBytes {
		return nil
	}
	if info.Size() > right*audit.LeafBytes || o.check.differs != nil {
		k.options.Logger.Warn("the leaves of the audit tree are made again from the log, whose signed heads are right", "from", right, "file", k.leavesPath())
	}
	return k.mend(ctx, o.leaves, right)
}

// explain makes a broken log a refusal to start.
func (k *Keeper) explain(err error) error {
	var broken *eventlog.BrokenError
	if !errors.As(err, &broken) {
		return err
	}
	return problem.Wrap(problem.Conflict, broken, "the log is not the one that was signed").
		WithHint("keep the data folder as it is, and restore the log from a copy: pantheon log export and import")
}

// errEnough ends a reading of leaves.
var errEnough = errors.New("enough")

// mend writes the leaves from an index on again.
func (k *Keeper) mend(ctx context.Context, old *os.File, from int64) error {
	f := leafFile{file: old}
	after := events.Position(0)
	err := old.Truncate(from * audit.LeafBytes)
	if err == nil && from > 0 {
		var last []audit.Leaf
		if last, err = f.read(from-1, 1); err == nil {
			after = last[0].Position
		}
	}
	if err == nil {
		_, err = old.Seek(from*audit.LeafBytes, io.SeekStart)
	}
	if err == nil {
		f.out = bufio.NewWriterSize(old, leafBuffer*audit.LeafBytes)
		left := k.state.Size() - from // others may append meanwhile
		err = readLeaves(ctx, k.options.Log, after, func(leaf audit.Leaf) error {
			if left == 0 {
				return errEnough
			}
			left--
			return f.add(leaf)
		})
		if err == nil || errors.Is(err, errEnough) {
			err = f.out.Flush()
		}
	}
	if err != nil && ctx.Err() == nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the leaves of the audit tree")
	}
	return err
}
