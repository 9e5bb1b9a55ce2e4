package keys

import (
	"context"
	"errors"
	"sync"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// Fetch asks for the key of a site whose keeper is another host. That host
// gives it to those that hold a DROP or a binding of the site, and NotFound for
// a site that was forgotten.
type Fetch func(ctx context.Context, site events.SiteID) (Key, error)

// Borrower gives the keys of sites to a host that does not keep them all. A
// borrowed key stays in memory, for borrowedFor at most, and is never written:
// destroying it where it is kept forgets the site everywhere.
type Borrower struct {
	ring  *Ring
	fetch Fetch
	now   func() time.Time

	mu       sync.Mutex
	borrowed map[events.SiteID]borrowed
}

type borrowed struct {
	key   Key
	until time.Time
}

// NewBorrower gives the ring's keys, and fetches those that it has not.
func NewBorrower(ring *Ring, fetch Fetch) *Borrower {
	return &Borrower{ring: ring, fetch: fetch, now: time.Now, borrowed: map[events.SiteID]borrowed{}}
}

// Site gives a site's key. It makes none: two hosts would make two.
func (b *Borrower) Site(id events.SiteID) (Key, error) {
	key, err := b.ring.FindSite(id)
	if problem.KindOf(err) != problem.NotFound || errors.Is(err, errDestroyed) {
		return key, err
	}
	if key, known := b.known(id); known {
		return key, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	key, err = b.fetch(ctx, id)
	if err != nil {
		return Key{}, problem.Wrap(problem.KindOf(err), err, "cannot have the key of site %s", id)
	}
	b.keep(id, key)
	return key, nil
}

// Forget drops the key of a site that has been forgotten.
func (b *Borrower) Forget(id events.SiteID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.borrowed, id)
}

func (b *Borrower) known(id events.SiteID) (Key, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one, known := b.borrowed[id]
	return one.key, known && b.now().Before(one.until)
}

func (b *Borrower) keep(id events.SiteID, key Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.borrowed) >= maxBorrowed {
		clear(b.borrowed) // those in use come back one by one
	}
	b.borrowed[id] = borrowed{key, b.now().Add(borrowedFor)}
}

// Lend gives a key's bytes to send to a host that may have it, over a
// connection that nobody else reads. They are the caller's to wipe.
func (k Key) Lend() []byte {
	if k.secret == nil {
		return nil
	}
	return append([]byte(nil), k.secret[:]...)
}

// Borrowed is the key that Lend gave on another host.
func Borrowed(secret []byte) (Key, error) {
	if len(secret) != keyBytes {
		return Key{}, problem.New(problem.Invalid, "cannot use a key of %d bytes: it must have %d", len(secret), keyBytes)
	}
	own := [keyBytes]byte(secret)
	return Key{secret: &own}, nil
}
