// Package vault holds small secrets that all control machines of a cell share,
// so that none of them dies with one machine: the keys of sites and accounts
// (package keys uses the Store), and the files of secrets below a folder (the
// Mirror).
//
// Things enter through Store.Create, Put and Remove, through files that a Mirror
// finds changed, and through the bucket, which other control machines write.
// State is in the bucket, one entry a secret, and of a Mirror in its folder.
//
// # What a bucket reveals
//
// A bucket's files, and a machine that may read the bucket, hold no name and no
// secret. A value is sealed with AES-256-GCM, padded, and bound to its key; the
// key is a MAC of the name. Both keys are derived (HKDF-SHA256, the cell's id as
// salt) from the private key of the cell's certificate authority, which control
// machines alone have. What can be seen is how many secrets there are, their
// size in steps of 256 bytes, and when each was written. Whoever may write the
// bucket without that key can make secrets unavailable, and can bring back an
// older value of a secret that he has kept; he can make none up. So let control
// machines alone write it.
//
// # What removing guarantees
//
// Removing writes a tombstone, which stays; a Mirror's file may be made again
// over it. When Remove has returned, a majority of the machines has the tombstone
// durably, and the vault does not give the secret any more. Copies in the folders
// of machines go when these hear of it: at once where they run, at their start or
// when they reach the vault again where not. Of the old value the package
// natsbucket erases what it can: see there. What is left of it anywhere is sealed,
// and opens with the key of the certificate authority alone.
//
// # Founding
//
// A cell that grows has its secrets on one machine. Until that one has put them
// in and called Store.Found, Create refuses: another machine would make a second
// key for a site that has one.
//
//	first machine: Ring.Contribute, Mirror.Contribute ──▶ Store.Found
//	every control machine, at its start: Mirror.Reconcile, Ring.Reconcile ──▶ both Run
package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"pantheon/events/problem"
)

// Two keys of the bucket that are no MACs.
const (
	sealKey    = "seal"    // written by who comes first: tells the bucket's life, and that the cell's key is the right one
	foundedKey = "founded" // written by Found
)

// Options of a Store. All but Logger are required.
type Options struct {
	Bucket Bucket
	// CAKey is the private key of the cell's CA in PEM: identity.Authority.Key.
	CAKey []byte
	// Cell is the cell's id.
	Cell string
	// Logger gets what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Store is the vault. Its methods may be called concurrently; they wait for
// opTimeout at most, and give problem.Unavailable, with ErrUnreachable, when no
// majority of the control machines can be reached, and problem.Denied when the
// bucket belongs to another certificate authority.
type Store struct {
	bucket  Bucket
	sealer  *sealer
	cell    string
	logger  *slog.Logger
	life    atomic.Pointer[string] // of the bucket, once it is known to be of this CA
	founded atomic.Bool
}

// New makes a Store; it touches nothing.
func New(options Options) (*Store, error) {
	if options.Bucket == nil {
		return nil, problem.New(problem.Internal, "internal error: a vault without a bucket")
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := newSealer(options.CAKey, options.Cell)
	if err != nil {
		return nil, err
	}
	return &Store{bucket: options.Bucket, sealer: s, cell: options.Cell, logger: options.Logger}, nil
}

// Secret is a secret, or what is left of one: with revision 0 there never was
// one, and one that was removed has no content. It prints as the word "secret".
type Secret struct {
	Name     string
	Revision uint64
	Removed  bool
	content  []byte
}

// Content gives the secret itself; it must not be changed.
func (s Secret) Content() []byte { return s.content }

// Live says whether there is a secret.
func (s Secret) Live() bool { return s.Revision > 0 && !s.Removed }

const masked = "secret"

// String gives nothing away; so do the other printers.
func (Secret) String() string { return masked }

// GoString is String for %#v.
func (Secret) GoString() string { return masked }

// Format is String for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// LogValue is String for log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// Get gives a secret, of revision 0 where there never was one.
func (s *Store) Get(ctx context.Context, name string) (Secret, error) {
	ctx, cancel, err := s.begin(ctx, name)
	if err != nil {
		return Secret{}, err
	}
	defer cancel()
	return s.get(ctx, name)
}

// Create gives the cell's secret of this name: the one that is there, else the
// content, which then is it for all. One that was removed is given as such. It
// is refused as Unavailable until the vault is founded.
func (s *Store) Create(ctx context.Context, name string, content []byte) (Secret, error) {
	if err := s.CheckFounded(ctx); err != nil {
		return Secret{}, err
	}
	made, winner, err := s.put(ctx, name, content, 0)
	if problem.KindOf(err) != problem.Conflict {
		return made, err
	}
	if made, err = s.unseal(winner); err != nil {
		return Secret{}, unusable(err)
	}
	return made, nil
}

// Put writes a secret over the expected revision, that of a removed one or 0
// too. It gives Conflict where it has another.
func (s *Store) Put(ctx context.Context, name string, content []byte, expected uint64) (Secret, error) {
	made, _, err := s.put(ctx, name, content, expected)
	return made, err
}

// put also gives the entry that it conflicts with.
func (s *Store) put(ctx context.Context, name string, content []byte, expected uint64) (Secret, Entry, error) {
	if len(content) > MaxContentBytes {
		return Secret{}, Entry{}, problem.New(problem.Invalid, "cannot keep a secret of %d bytes: it may have %d", len(content), MaxContentBytes)
	}
	ctx, cancel, err := s.begin(ctx, name)
	if err != nil {
		return Secret{}, Entry{}, err
	}
	defer cancel()
	key := s.sealer.keyOf(name)
	entry, err := s.write(ctx, key, s.sealer.seal(key, kindSecret, name, content), expected)
	if err != nil {
		return Secret{}, entry, err
	}
	return Secret{Name: name, Revision: entry.Revision, content: bytes.Clone(content)}, entry, nil
}

// Remove puts a tombstone in a secret's place, also where there never was one.
// It is idempotent.
func (s *Store) Remove(ctx context.Context, name string) (Secret, error) {
	ctx, cancel, err := s.begin(ctx, name)
	if err != nil {
		return Secret{}, err
	}
	defer cancel()
	key := s.sealer.keyOf(name)
	for range removeAttempts {
		found, err := s.bucketGet(ctx, key)
		if err != nil {
			return Secret{}, err
		}
		// What cannot be opened can be removed all the same.
		if old, err := s.unseal(found); err == nil && old.Removed {
			return old, nil
		}
		written, err := s.write(ctx, key, s.sealer.seal(key, kindTombstone, name, nil), found.Revision)
		if err == nil {
			return Secret{Name: name, Revision: written.Revision, Removed: true}, nil
		}
		if problem.KindOf(err) != problem.Conflict {
			return Secret{}, err
		}
	}
	return Secret{}, problem.New(problem.Busy, "cannot remove a secret: others write it all the time")
}

// Watch is Bucket.Watch of secrets: each gets the newest of every name, removed
// ones too, then the zero Secret, then what comes. What cannot be opened is
// logged and left out. each may call the store.
func (s *Store) Watch(ctx context.Context, after uint64, each func(Secret) error) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	var own error // of each
	err := s.bucket.Watch(ctx, after, func(entry Entry) error {
		if entry.Key == sealKey || entry.Key == foundedKey {
			return nil
		}
		var secret Secret
		if entry.Key != "" {
			var err error
			if secret, err = s.unseal(entry); err != nil {
				s.logger.Error("an entry of the cell's vault cannot be used", "entry", entry.Key, "revision", entry.Revision, "error", err)
				return nil
			}
		}
		own = each(secret)
		return own
	})
	if own == nil && ctx.Err() == nil && problem.KindOf(err) == problem.Unavailable {
		return unreachable(err)
	}
	return err
}

// Found opens the vault for Create, once what the cell had before is in it. It
// is idempotent.
func (s *Store) Found(ctx context.Context) error {
	ctx, cancel, err := s.begin(ctx, foundedKey)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = s.write(ctx, foundedKey, s.sealer.seal(foundedKey, kindSecret, foundedKey, nil), 0)
	if problem.KindOf(err) == problem.Conflict {
		return nil
	}
	return err
}

// Founded says whether Found was called on any machine of the cell.
func (s *Store) Founded(ctx context.Context) (bool, error) {
	if s.founded.Load() {
		return true, nil
	}
	ctx, cancel, err := s.begin(ctx, foundedKey)
	if err != nil {
		return false, err
	}
	defer cancel()
	entry, err := s.bucketGet(ctx, foundedKey)
	if err != nil || entry.Revision == 0 {
		return false, err
	}
	if _, _, _, err := s.sealer.open(foundedKey, entry.Value); err != nil {
		return false, s.foreign(err)
	}
	s.founded.Store(true)
	return true, nil
}

// CheckFounded is Unavailable where the vault is not founded.
func (s *Store) CheckFounded(ctx context.Context) error {
	founded, err := s.Founded(ctx)
	if err != nil || founded {
		return err
	}
	return problem.New(problem.Unavailable, "cannot use the cell's vault: the first control machine has not put its own secrets into it").
		WithHint("it does so when the cell grows: pantheon cluster grow, on that machine; then the same command works")
}

// begin bounds an operation, and makes sure that the bucket is of this CA.
func (s *Store) begin(ctx context.Context, name string) (context.Context, context.CancelFunc, error) {
	if name == "" || len(name) > maxNameBytes {
		return nil, nil, problem.New(problem.Invalid, "cannot use a secret: its name has %d bytes, and must have 1 to %d", len(name), maxNameBytes)
	}
	bounded, cancel := context.WithTimeout(ctx, opTimeout)
	if err := s.check(bounded); err != nil {
		cancel()
		return nil, nil, err
	}
	return bounded, cancel, nil
}

// check reads what the first machine has sealed, or is the first.
func (s *Store) check(ctx context.Context) error {
	if s.life.Load() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	entry, err := s.bucketGet(ctx, sealKey)
	if err != nil {
		return err
	}
	if entry.Revision == 0 {
		entry, err = s.write(ctx, sealKey, s.sealer.seal(sealKey, kindSecret, sealKey, []byte(rand.Text())), 0)
		if err != nil && problem.KindOf(err) != problem.Conflict {
			return err
		}
	}
	_, _, content, err := s.sealer.open(sealKey, entry.Value)
	if err != nil {
		return s.foreign(err)
	}
	life := string(content)
	s.life.Store(&life)
	return nil
}

func (s *Store) foreign(reason error) error {
	return problem.Wrap(problem.Denied, reason, "cannot open the vault of cell %s with the certificate authority of this machine", s.cell).
		WithHint("compare <data>/cell/ca/ca.pem with that of another control machine; a machine of another cell has to leave that cell first")
}

func (s *Store) get(ctx context.Context, name string) (Secret, error) {
	key := s.sealer.keyOf(name)
	entry, err := s.bucketGet(ctx, key)
	if err != nil {
		return Secret{}, err
	}
	if entry.Revision == 0 {
		return Secret{Name: name}, nil
	}
	secret, err := s.unseal(entry)
	if err != nil {
		return Secret{}, unusable(err)
	}
	return secret, nil
}

func unusable(reason error) error {
	return problem.Wrap(problem.Denied, reason, "cannot use an entry of the cell's vault")
}

func (s *Store) unseal(entry Entry) (Secret, error) {
	if entry.Revision == 0 {
		return Secret{}, nil
	}
	kind, name, content, err := s.sealer.open(entry.Key, entry.Value)
	if err != nil {
		return Secret{}, err
	}
	if s.sealer.keyOf(name) != entry.Key {
		return Secret{}, errors.New("it is in another's place")
	}
	if kind == kindTombstone {
		return Secret{Name: name, Revision: entry.Revision, Removed: true}, nil
	}
	return Secret{Name: name, Revision: entry.Revision, content: content}, nil
}

// persist makes attempts until one is final or ctx ends, and then gives
// Unavailable.
func persist(ctx context.Context, attempt func(ctx context.Context) (final bool, err error)) error {
	for {
		limited, cancel := context.WithTimeout(ctx, attemptTimeout)
		final, err := attempt(limited)
		cancel()
		if final {
			return err
		}
		pause := time.NewTimer(retryPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return unreachable(err)
		}
	}
}

// Persist calls do again, passAttempts times in all, while it gives
// ErrUnreachable: a watch from the beginning may meet an election.
func Persist(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if !errors.Is(err, ErrUnreachable) || attempt == passAttempts || ctx.Err() != nil {
			return err
		}
	}
}

// ErrUnreachable is in the chain of errors that mean: no majority of the control
// machines can be reached.
var ErrUnreachable = errors.New("no majority of the control machines has answered")

func unreachable(err error) error {
	return problem.Wrap(problem.Unavailable, fmt.Errorf("%w: %w", ErrUnreachable, err), "cannot reach the cell's vault").
		WithHint("a majority of the control machines must run and reach one another; see 'pantheon host list' on one of them")
}

func (s *Store) bucketGet(ctx context.Context, key string) (entry Entry, err error) {
	err = persist(ctx, func(ctx context.Context) (bool, error) {
		var err error
		entry, err = s.bucket.Get(ctx, key)
		return err == nil, err
	})
	entry.Key = key
	return entry, err
}

// write puts a value over the expected revision. An attempt without an answer is
// made again; a conflict is looked at, for it may be with an attempt of this
// write, or with a write that came to nothing. With Conflict it gives the entry
// that is there.
func (s *Store) write(ctx context.Context, key string, value []byte, expected uint64) (written Entry, err error) {
	written = Entry{Key: key, Value: value}
	err = persist(ctx, func(ctx context.Context) (bool, error) {
		revision, err := s.bucket.Put(ctx, key, value, expected)
		if err == nil {
			written.Revision = revision
			return true, nil
		}
		if problem.KindOf(err) != problem.Conflict {
			return false, err
		}
		found, failed := s.bucket.Get(ctx, key)
		switch {
		case failed != nil:
			return false, failed
		case found.Revision <= expected: // or a leader has answered that leads no more
			return false, err
		}
		written = found
		if bytes.Equal(found.Value, value) { // sealed with a nonce of its own
			return true, nil
		}
		return true, problem.New(problem.Conflict, "cannot write a secret: another machine has written it meanwhile")
	})
	return written, err
}
