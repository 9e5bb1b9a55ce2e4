package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/vault"
)

// SharedOptions are those of a ring whose keys all control machines of a cell
// have. Vault is required.
type SharedOptions struct {
	Vault *vault.Store
	// Destroyed is called after a key went that another control machine has
	// destroyed: what was derived from it has to go too. It may call the ring.
	Destroyed func(events.Owner)
	// Logger gets what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// shared is what a ring of a cell has besides its folder.
type shared struct {
	vault     *vault.Store
	destroyed func(events.Owner)
	logger    *slog.Logger
	now       func() time.Time

	mu   sync.Mutex
	away time.Time      // until when the vault is not asked again
	own  map[string]int // names that this machine is destroying
}

// OpenShared is Open for a control machine of a cell with several.
func OpenShared(dir string, options SharedOptions) (*Ring, error) {
	if options.Vault == nil {
		return nil, problem.New(problem.Internal, "internal error: a shared ring without a vault")
	}
	if options.Destroyed == nil {
		options.Destroyed = func(events.Owner) {}
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := Open(dir)
	if err != nil {
		return nil, err
	}
	r.shared = &shared{vault: options.Vault, destroyed: options.Destroyed, logger: options.Logger, now: time.Now, own: map[string]int{}}
	return r, nil
}

// nameOf gives a key's name in the vault.
func (r *Ring) nameOf(folder, id string) string {
	if folder == r.accounts {
		return accountPrefix + id
	}
	return sitePrefix + id
}

// The names of keys in the vault begin so.
const (
	sitePrefix    = "keys/site/"
	accountPrefix = "keys/account/"
)

// parse is the inverse of nameOf; the vault holds other secrets too.
func (r *Ring) parse(name string) (folder, id string, owner events.Owner, ours bool) {
	if id, ours = strings.CutPrefix(name, sitePrefix); ours {
		folder, owner.Site = r.sites, events.SiteID(id)
	} else if id, ours = strings.CutPrefix(name, accountPrefix); ours {
		folder, owner.Account = r.accounts, events.AccountID(id)
	}
	if _, err := pathOf(folder, id); err != nil {
		return "", "", events.Owner{}, false
	}
	return folder, id, owner, ours
}

// ask gives the vault a question, unless it has just not answered one: who waits
// for a key often holds up others. The next one is asked when awayFor is over,
// or when Run has reached it.
func (s *shared) ask(question func(context.Context) (vault.Secret, error)) (vault.Secret, error) {
	s.mu.Lock()
	away := s.now().Before(s.away)
	s.mu.Unlock()
	if away {
		return vault.Secret{}, problem.Wrap(problem.Unavailable, vault.ErrUnreachable, "cannot reach the cell's vault").
			WithHint("a majority of the control machines must run and reach one another; see 'pantheon host list' on one of them")
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	secret, err := question(ctx)
	s.reached(!errors.Is(err, vault.ErrUnreachable))
	return secret, err
}

func (s *shared) reached(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if yes {
		s.away = time.Time{}
	} else {
		s.away = s.now().Add(awayFor)
	}
}

// destroy puts a tombstone into the vault, and then destroys the key here.
func (s *shared) destroy(name string, here func() error) error {
	s.count(name, 1)
	defer s.count(name, -1)
	_, err := s.ask(func(ctx context.Context) (vault.Secret, error) { return s.vault.Remove(ctx, name) })
	if err != nil {
		return problem.Wrap(problem.KindOf(err), err, "cannot destroy a key on all control machines")
	}
	return here()
}

func (s *shared) count(name string, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own[name] += more; s.own[name] == 0 {
		delete(s.own, name)
	}
}

func (s *shared) isOwn(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own[name] > 0
}

// make makes the cell's key of an id, or takes the one that another machine has
// made, and puts it into the folder. A destroyed one is destroyed here too.
func (r *Ring) make(folder, id string) error {
	var proposed [keyBytes]byte
	if _, err := rand.Read(proposed[:]); err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot make a key")
	}
	found, err := r.shared.ask(func(ctx context.Context) (vault.Secret, error) {
		return r.shared.vault.Create(ctx, r.nameOf(folder, id), proposed[:])
	})
	if err != nil {
		return problem.Wrap(problem.KindOf(err), err, "cannot make key %s", id)
	}
	return r.take(folder, id, found)
}

// look takes what the vault has of an id: another machine may have made it a
// moment ago.
func (r *Ring) look(folder, id string) error {
	found, err := r.shared.ask(func(ctx context.Context) (vault.Secret, error) {
		return r.shared.vault.Get(ctx, r.nameOf(folder, id))
	})
	if err != nil {
		return problem.Wrap(problem.KindOf(err), err, "cannot look for key %s", id)
	}
	return r.take(folder, id, found)
}

// take brings the folder to what the vault has. A key that is there stays, and
// so does a tombstone.
func (r *Ring) take(folder, id string, found vault.Secret) error {
	if found.Live() && len(found.Content()) != keyBytes {
		return problem.New(problem.Denied, "cannot use key %s of the cell's vault: it has %d bytes and must have %d", id, len(found.Content()), keyBytes)
	}
	if found.Removed {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.destroyHere(folder, id)
	}
	path := filepath.Join(folder, id)
	if _, err := r.readHere(path, id); !found.Live() || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return install(folder, path, found.Content()) // against others by rename and tombstone
}

// Contribute puts the folder's keys and tombstones into the vault: the first
// control machine does so before vault.Store.Found, when a cell grows.
func (r *Ring) Contribute(ctx context.Context) error {
	if r.shared == nil {
		return problem.New(problem.Internal, "internal error: this ring shares nothing")
	}
	return vault.Persist(ctx, func() error { return r.pass(ctx, new(uint64), true) })
}

// Reconcile brings folder and vault to the same, both ways: a tombstone on
// either side wins, a key that one side lacks it gets. Two different keys of one
// id stay as they are, and are a Conflict. When it has returned without an
// error, this machine has all keys of the cell.
func (r *Ring) Reconcile(ctx context.Context) error {
	if r.shared != nil {
		if err := r.shared.vault.CheckFounded(ctx); err != nil {
			return err
		}
	}
	return r.Contribute(ctx)
}

// Run keeps the folder the same as the vault until ctx ends. It begins with what
// Reconcile does, and does it again when the vault was away.
func (r *Ring) Run(ctx context.Context) error {
	if r.shared == nil {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for after := uint64(0); ; {
		err := r.shared.vault.CheckFounded(ctx)
		if err == nil {
			err = r.pass(ctx, &after, false)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errRenew):
			continue
		}
		after = 0
		r.shared.logger.Warn("cannot follow the cell's vault; trying again", "error", err)
		pause := time.NewTimer(pauseAfterError)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
}

var (
	errAll   = errors.New("that was all")
	errRenew = errors.New("it is time to watch anew")
)

// pass watches from a revision on. From the beginning it puts what the vault has
// not into it, at the mark; once, it ends there, else with errRenew when
// renewEvery is over.
func (r *Ring) pass(ctx context.Context, after *uint64, once bool) error {
	watching, end := context.WithCancelCause(ctx)
	defer end(nil)
	p := &passing{ring: r, full: *after == 0, newest: *after, seen: map[string]bool{}}
	err := r.shared.vault.Watch(watching, *after, func(found vault.Secret) error {
		if found.Name != "" {
			return p.one(ctx, found)
		}
		if err := p.mark(ctx); err != nil {
			return err
		}
		if once {
			return errAll
		}
		timer := time.AfterFunc(renewEvery, func() { end(errRenew) })
		context.AfterFunc(watching, func() { timer.Stop() })
		return nil
	})
	if !p.full {
		*after = p.newest
	}
	switch {
	case once && errors.Is(err, errAll):
		return p.trouble
	case ctx.Err() == nil && watching.Err() != nil:
		return context.Cause(watching)
	}
	return err
}

// passing is a pass under way.
type passing struct {
	ring    *Ring
	full    bool // from the beginning, and the mark has not come
	newest  uint64
	seen    map[string]bool // of the names in the vault, while full
	waiting []waiting       // while full
	trouble error           // the first that concerns one key alone
}

func (p *passing) one(ctx context.Context, found vault.Secret) error {
	if p.full {
		p.seen[found.Name] = true
	}
	if err := p.note(p.apply(ctx, found)); err != nil {
		return err
	}
	p.newest = max(p.newest, found.Revision)
	return nil
}

func (p *passing) mark(ctx context.Context) error {
	if p.full {
		if err := p.put(ctx); err != nil {
			return err
		}
		if err := p.takeWaiting(); err != nil {
			return err
		}
	}
	p.full, p.seen = false, nil
	p.ring.shared.reached(true)
	return nil
}

// note keeps what is wrong with one key, and gives what stops the pass: the vault
// or the disk is away.
func (p *passing) note(err error) error {
	if err == nil || problem.KindOf(err) == problem.Unavailable {
		return err
	}
	p.ring.shared.logger.Error("a key cannot be shared", "error", err)
	if p.trouble == nil {
		p.trouble = err
	}
	return nil
}

// apply brings the folder to what the vault has of one name, or the vault to
// the folder's tombstone.
func (p *passing) apply(ctx context.Context, found vault.Secret) error {
	r := p.ring
	folder, id, owner, ours := r.parse(found.Name)
	if !ours {
		return nil
	}
	if found.Removed {
		return r.applyRemoved(folder, id, owner, found, p.full)
	}
	path := filepath.Join(folder, id)
	key, err := r.readHere(path, id)
	switch {
	case errors.Is(err, errDestroyed):
		_, err = r.shared.vault.Remove(ctx, found.Name)
		return err
	case errors.Is(err, fs.ErrNotExist) && p.full:
		return p.later(folder, id, found)
	case errors.Is(err, fs.ErrNotExist):
		return r.take(folder, id, found)
	case err != nil:
		return err
	case !bytes.Equal(key.secret[:], found.Content()):
		return problem.New(problem.Conflict, "cannot share key %s: %s holds another than the cell's vault", id, path).
			WithHint("find out which of the two its passwords were made with; to take the cell's, move the file away and start again")
	}
	return nil
}

// waiting is a key that a pass from the beginning has found.
type waiting struct {
	folder, id string
	found      vault.Secret
}

// later takes a key together with others.
func (p *passing) later(folder, id string, found vault.Secret) error {
	p.waiting = append(p.waiting, waiting{folder, id, found})
	if len(p.waiting) < batchKeys {
		return nil
	}
	return p.takeWaiting()
}

// takeWaiting takes keys side by side: the disk makes those that wait for it
// durable in one go.
func (p *passing) takeWaiting() error {
	var group errgroup.Group
	group.SetLimit(installers)
	trouble := make([]error, len(p.waiting))
	for i, one := range p.waiting {
		group.Go(func() error {
			trouble[i] = p.ring.take(one.folder, one.id, one.found)
			return nil
		})
	}
	_ = group.Wait() // the errors are in trouble
	p.waiting = nil
	for _, err := range trouble {
		if err := p.note(err); err != nil {
			return err
		}
	}
	return nil
}

// applyRemoved destroys the folder's key. Nothing is derived from one that never
// was here, so nobody is told when it is one of those that are caught up with.
func (r *Ring) applyRemoved(folder, id string, owner events.Owner, found vault.Secret, full bool) error {
	own := r.shared.isOwn(found.Name) // or was, and there is no key any more
	has := map[string]bool{}
	for _, suffix := range []string{"", tombstoneSuffix} {
		_, err := os.Lstat(filepath.Join(folder, id+suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return problem.Wrap(problem.Unavailable, err, "cannot look for a key")
		}
		has[suffix] = err == nil
	}
	if has[tombstoneSuffix] && !has[""] {
		return nil
	}
	if err := r.take(folder, id, found); err != nil {
		return err
	}
	if (has[""] || !full) && !own {
		r.shared.logger.Info("a key was destroyed by another control machine", "site", owner.Site, "account", owner.Account)
		r.shared.destroyed(owner)
	}
	return nil
}

// put gives the vault the keys and tombstones of the folder that it has not.
func (p *passing) put(ctx context.Context) error {
	r := p.ring
	for _, folder := range []string{r.sites, r.accounts} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "cannot list the keys")
		}
		for _, entry := range entries {
			id, _ := strings.CutSuffix(entry.Name(), tombstoneSuffix)
			name := r.nameOf(folder, id)
			if _, err := pathOf(folder, id); err != nil || p.seen[name] {
				continue
			}
			p.seen[name] = true
			if err := p.note(p.putOne(ctx, folder, id)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *passing) putOne(ctx context.Context, folder, id string) error {
	r := p.ring
	key, err := r.readHere(filepath.Join(folder, id), id)
	switch {
	case errors.Is(err, errDestroyed):
		_, err = r.shared.vault.Remove(ctx, r.nameOf(folder, id))
		return err
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	_, err = r.shared.vault.Put(ctx, r.nameOf(folder, id), key.secret[:], 0)
	if problem.KindOf(err) == problem.Conflict {
		found, err := r.shared.vault.Get(ctx, r.nameOf(folder, id))
		if err != nil {
			return err
		}
		return p.apply(ctx, found)
	}
	return err
}
