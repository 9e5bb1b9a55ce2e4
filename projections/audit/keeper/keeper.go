package keeper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"pantheon/events"
	"pantheon/events/eventlog"
	"pantheon/events/problem"
	"pantheon/projections/audit"
)

// Log is what a Keeper follows.
type Log interface {
	eventlog.EntryReader
	Tail(ctx context.Context, after events.Position) iter.Seq2[events.Envelope, error]
}

// Options of a Keeper.
type Options struct {
	// Log is required by Open.
	Log Log
	// Dir holds the leaves and heads, made when it is missing. Required.
	Dir string
	// Key is the file of the private key, made when it is missing. Required.
	Key string
	// Interval is how old a commit gets before it is signed. Default:
	// DefaultInterval.
	Interval time.Duration
	// Now is the wall clock. Default: time.Now.
	Now func() time.Time
	// Logger is told when the leaves had to be made again. Default:
	// slog.Default().
	Logger *slog.Logger
}

// Keeper keeps the tree of one log.
type Keeper struct {
	options  Options
	signer   note.Signer
	verifier note.Verifier
	public   string

	mu     sync.Mutex
	state  audit.State
	leaves leafFile
	heads  []audit.SignedHead
	lines  int // of the file of heads
}

func (k *Keeper) leavesPath() string { return filepath.Join(k.options.Dir, "leaves") }
func (k *Keeper) headsPath() string  { return filepath.Join(k.options.Dir, "heads") }

// loadHeads reads the heads and checks that they are signed with the key.
func (k *Keeper) loadHeads() error {
	all, err := ReadHeads(k.options.Dir)
	if err != nil {
		return err
	}
	k.heads, k.lines = thin(all), len(all)
	for _, head := range k.heads {
		if _, err := audit.OpenHead(head.Note, k.verifier); err != nil {
			return problem.Wrap(problem.Conflict, err, "cannot trust the signed head of %d commits in %s", head.Size, k.headsPath()).
				WithHint("restore keys/audit and the folder audit together from a copy; without one, move audit away: what was signed before is then no longer compared")
		}
	}
	return k.rewriteHeads()
}

// rewriteHeads takes out of the file what was thinned out, and a line that a
// crash left incomplete: the next one must not be written behind it.
func (k *Keeper) rewriteHeads() error {
	var data []byte
	for _, head := range k.heads {
		data = append(data, headLine(head.Note)...)
	}
	if info, err := os.Stat(k.headsPath()); err == nil && info.Size() == int64(len(data)) || errors.Is(err, fs.ErrNotExist) && len(data) == 0 {
		return nil
	}
	k.lines = len(k.heads)
	if err := replaceFile(k.headsPath(), 0o600, data); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write the signed heads")
	}
	return nil
}

// Run follows the log and signs the tree at every interval, until ctx ends. It
// gives ctx's error, or the log's.
func (k *Keeper) Run(ctx context.Context) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- k.follow(following) }()
	ticker := time.NewTicker(k.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := k.Sign(); err != nil {
				stop()
				<-ended
				return err
			}
		case err := <-ended:
			return err
		}
	}
}

// follow is the only one that adds leaves while it runs.
func (k *Keeper) follow(ctx context.Context) error {
	k.mu.Lock()
	after := k.state.Last()
	k.mu.Unlock()
	for envelope, err := range k.options.Log.Tail(ctx, after) {
		if err != nil {
			return err
		}
		k.mu.Lock()
		k.state = k.state.Apply(envelope)
		err := k.leaves.add(audit.Leaf{Position: envelope.Position, Commit: envelope.Hash})
		k.mu.Unlock()
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot write the leaves of the audit tree")
		}
	}
	return errors.New("the log has ended")
}

// Close takes what Run has not seen of the log, signs the tree and closes the
// files. The log must still be open, and Run have ended.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := readLeaves(context.Background(), k.options.Log, k.state.Last(), func(leaf audit.Leaf) error {
		k.state = k.state.Add(leaf)
		return k.leaves.add(leaf)
	})
	if err == nil {
		err = k.sign()
	}
	return errors.Join(err, k.leaves.out.Flush(), k.leaves.file.Close())
}

// Sign signs the tree if it has grown.
func (k *Keeper) Sign() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sign()
}

func (k *Keeper) sign() error {
	if n := len(k.heads); k.state.Size() == 0 || n > 0 && k.heads[n-1].Size == k.state.Size() {
		return nil
	}
	head := k.state.HeadAt(k.options.Now())
	signed, err := head.Sign(k.signer)
	if err != nil {
		return fmt.Errorf("cannot sign a head: %w", err)
	}
	if err := k.appendHead(signed); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot write a signed head")
	}
	k.lines++
	k.heads = thin(append(k.heads, audit.SignedHead{Head: head, Note: signed}))
	if k.lines > 2*maxHeads {
		return k.rewriteHeads()
	}
	return nil
}

// appendHead makes a head durable before anybody hears of it: one that was
// published and then forgotten could be contradicted.
func (k *Keeper) appendHead(signed string) error {
	file, err := os.OpenFile(k.headsPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(headLine(signed))
	return errors.Join(err, file.Sync(), file.Close())
}

// Key gives the public key.
func (k *Keeper) Key() string { return k.public }

// Head gives the newest signed head; a problem.NotFound while there is none.
func (k *Keeper) Head(ctx context.Context) (audit.SignedHead, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.heads) == 0 {
		if err := k.sign(); err != nil {
			return audit.SignedHead{}, err
		}
	}
	if len(k.heads) == 0 {
		return audit.SignedHead{}, problem.New(problem.NotFound, "cannot show a head: nothing has happened yet")
	}
	return k.heads[len(k.heads)-1], ctx.Err()
}

// snapshot gives the tree and its newest head, which covers a position if the
// tree does, and makes all leaves readable.
func (k *Keeper) snapshot(position events.Position) (audit.State, audit.SignedHead, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.heads) == 0 || k.heads[len(k.heads)-1].Position < position && position <= k.state.Last() {
		if err := k.sign(); err != nil {
			return audit.State{}, audit.SignedHead{}, err
		}
	}
	if len(k.heads) == 0 || k.heads[len(k.heads)-1].Position < position {
		return audit.State{}, audit.SignedHead{}, notThere(position)
	}
	return k.state, k.heads[len(k.heads)-1], k.leaves.out.Flush()
}

func notThere(position events.Position) error {
	return problem.New(problem.NotFound, "cannot prove position %d: no commit stands there", position).WithHint("pantheon events tail")
}

// Prove gives the proof that the commit at a position is in the log, for a
// head that is signed when there is none yet that covers it.
func (k *Keeper) Prove(ctx context.Context, position events.Position) (audit.Proof, error) {
	state, head, err := k.snapshot(position)
	if err != nil {
		return audit.Proof{}, err
	}
	index, err := k.find(position, head.Size)
	if err != nil {
		return audit.Proof{}, err
	}
	proof, err := state.Prove(index, head.Size, head.Note, k.leaves.read)
	if err == nil {
		err = ctx.Err()
	}
	return proof, err
}

// find gives the index of a position among the first size leaves.
func (k *Keeper) find(position events.Position, size int64) (int64, error) {
	var failed error
	at := func(i int64) events.Position {
		leaf, err := k.leaves.read(i, 1)
		if err != nil {
			failed = err
			return 0
		}
		return leaf[0].Position
	}
	index := int64(sort.Search(int(size), func(i int) bool { return at(int64(i)) >= position }))
	if failed == nil && (index == size || at(index) != position) {
		failed = notThere(position)
	}
	return index, failed
}

// ProveConsistency gives the proof that the tree of from commits is the
// beginning of the tree of to commits, of which a head was signed; 0 is the
// newest.
func (k *Keeper) ProveConsistency(ctx context.Context, from, to int64) (audit.Consistency, error) {
	state, head, err := k.snapshot(0)
	if err != nil {
		return audit.Consistency{}, err
	}
	if to != 0 {
		if head, err = k.headOf(to); err != nil {
			return audit.Consistency{}, err
		}
	}
	if from < 1 || from > head.Size {
		return audit.Consistency{}, problem.New(problem.Invalid, "cannot prove growth from %d to %d commits", from, head.Size).
			WithHint("the first number is the smaller one, and at least 1")
	}
	growth, err := state.ProveConsistency(from, head.Size, head.Note, k.leaves.read)
	if err == nil {
		err = ctx.Err()
	}
	return growth, err
}

func (k *Keeper) headOf(size int64) (audit.SignedHead, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var nearest int64
	for _, head := range k.heads {
		if head.Size == size {
			return head, nil
		}
		if nearest == 0 || abs(head.Size-size) < abs(nearest-size) {
			nearest = head.Size
		}
	}
	return audit.SignedHead{}, problem.New(problem.NotFound, "cannot prove growth to %d commits: no head was signed then, or it was thinned out", size).
		WithHint("the nearest has %d; without a second number, the newest is taken", nearest)
}

func abs(n int64) int64 { return max(n, -n) }

// Signed gives the heads of a log that ends at last, and the public key; see
// archive.Signed. What no head covers yet is signed now, if the tree holds it.
func (k *Keeper) Signed(last events.Position) (heads []string, key string) {
	k.mu.Lock()
	if n := len(k.heads); last > 0 && (n == 0 || k.heads[n-1].Position < last) {
		if err := k.sign(); err != nil {
			k.options.Logger.Warn("a head could not be signed", "error", err)
		}
	}
	all := k.heads // thin makes a new slice, append writes behind it
	k.mu.Unlock()
	return SignedOf(all, k.public)(last)
}

// SignedOf gives Signed for heads from a file.
func SignedOf(all []audit.SignedHead, key string) func(last events.Position) ([]string, string) {
	return func(last events.Position) (heads []string, _ string) {
		for _, head := range all {
			if head.Position <= last {
				heads = append(heads, head.Note)
			}
		}
		return heads, strings.TrimSpace(key)
	}
}
