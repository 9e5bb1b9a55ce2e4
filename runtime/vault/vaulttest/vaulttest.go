// Package vaulttest has the conformance suite of vault.Bucket, and what tests of
// vaults need: the key of a certificate authority and a bucket that machines can
// be cut off from.
package vaulttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pantheon/events/problem"
	"pantheon/runtime/vault"
)

// Cell is the id of the cell whose vault tests open.
const Cell = "0123456789abcdef0123456789abcdef"

// CAKey makes the private key of a certificate authority, in PEM.
func CAKey(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Open makes a store of the cell.
func Open(t testing.TB, bucket vault.Bucket, caKey []byte) *vault.Store {
	t.Helper()
	store, err := vault.New(vault.Options{Bucket: bucket, CAKey: caKey, Cell: Cell})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// Link is a bucket as one machine reaches it, or does not.
type Link struct {
	vault.Bucket

	mu  sync.Mutex
	cut context.CancelCauseFunc // nil while there is no watch
	off bool
}

var errCut = problem.New(problem.Unavailable, "this machine is cut off")

// Cut ends what is under way, and refuses the rest.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = true
	if l.cut != nil {
		l.cut(errCut)
	}
}

// Heal lets everything through again.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = false
}

func (l *Link) reach() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off {
		return errCut
	}
	return nil
}

// Get is Bucket's.
func (l *Link) Get(ctx context.Context, key string) (vault.Entry, error) {
	if err := l.reach(); err != nil {
		return vault.Entry{}, err
	}
	return l.Bucket.Get(ctx, key)
}

// Put is Bucket's.
func (l *Link) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if err := l.reach(); err != nil {
		return 0, err
	}
	return l.Bucket.Put(ctx, key, value, expected)
}

// Watch is Bucket's, for one at a time.
func (l *Link) Watch(ctx context.Context, after uint64, each func(vault.Entry) error) error {
	watching, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	l.mu.Lock()
	l.cut = cut
	off := l.off
	l.mu.Unlock()
	if off {
		return errCut
	}
	err := l.Bucket.Watch(watching, after, each)
	if ctx.Err() == nil && watching.Err() != nil {
		return context.Cause(watching)
	}
	return err
}

// Run is the conformance suite; open gives two ways to one empty bucket.
func Run(t *testing.T, open func(t *testing.T) (here, there vault.Bucket)) {
	t.Run("compare and put", func(t *testing.T) { testPut(t, open) })
	t.Run("one winner", func(t *testing.T) { testOneWinner(t, open) })
	t.Run("watch", func(t *testing.T) { testWatch(t, open) })
	t.Run("watch calls the bucket", func(t *testing.T) { testWatchCalls(t, open) })
	t.Run("ends with its context", func(t *testing.T) { testEnds(t, open) })
}

func testPut(t *testing.T, open func(*testing.T) (vault.Bucket, vault.Bucket)) {
	here, there := open(t)
	if entry, err := here.Get(t.Context(), "a"); err != nil || entry.Revision != 0 {
		t.Fatalf("an empty bucket gives revision %d, %v", entry.Revision, err)
	}
	if _, err := here.Put(t.Context(), "a", []byte("x"), 7); problem.KindOf(err) != problem.Conflict {
		t.Errorf("over a revision that never was: %v", err)
	}
	first := put(t, here, "a", "one", 0)
	if entry := get(t, there, "a"); string(entry.Value) != "one" || entry.Revision != first || entry.Key != "a" {
		t.Errorf("got %q at %d, want one at %d", entry.Value, entry.Revision, first)
	}
	second := put(t, there, "a", "two", first)
	other := put(t, here, "b", "other", 0)
	if second <= first || other <= second {
		t.Errorf("revisions %d, %d, %d do not grow", first, second, other)
	}
	for _, stale := range []uint64{0, first, other} {
		if _, err := here.Put(t.Context(), "a", []byte("x"), stale); problem.KindOf(err) != problem.Conflict {
			t.Errorf("over revision %d: %v", stale, err)
		}
	}
	if entry := get(t, here, "a"); string(entry.Value) != "two" || entry.Revision != second {
		t.Errorf("got %q at %d, want two at %d", entry.Value, entry.Revision, second)
	}
}

func put(t *testing.T, bucket vault.Bucket, key, value string, expected uint64) uint64 {
	t.Helper()
	revision, err := bucket.Put(t.Context(), key, []byte(value), expected)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func get(t *testing.T, bucket vault.Bucket, key string) vault.Entry {
	t.Helper()
	entry, err := bucket.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func testOneWinner(t *testing.T, open func(*testing.T) (vault.Bucket, vault.Bucket)) {
	here, there := open(t)
	won := make([]uint64, 8)
	var group sync.WaitGroup
	for i := range won {
		group.Go(func() {
			won[i], _ = []vault.Bucket{here, there}[i%2].Put(t.Context(), "k", fmt.Append(nil, i), 0)
		})
	}
	group.Wait()
	winners := 0
	entry := get(t, here, "k")
	for i, revision := range won {
		if revision > 0 {
			winners++
			if entry.Revision != revision || string(entry.Value) != fmt.Sprint(i) {
				t.Errorf("%d has won at %d, and there is %q at %d", i, revision, entry.Value, entry.Revision)
			}
		}
	}
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
}

var errEnough = errors.New("enough")

// watched gives what a watch gives, until it has given want entries behind the
// mark.
func watched(t *testing.T, bucket vault.Bucket, after uint64, want int, atMark func()) (before, behind []string) {
	t.Helper()
	marked := false
	err := bucket.Watch(t.Context(), after, func(entry vault.Entry) error {
		text := entry.Key + "=" + string(entry.Value)
		switch {
		case entry.Key == "" && marked:
			t.Error("the mark has come twice")
		case entry.Key == "":
			marked = true
			atMark()
		case marked:
			behind = append(behind, text)
		default:
			before = append(before, text)
		}
		if marked && len(behind) >= want {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("the watch has ended with %v", err)
	}
	return before, behind
}

func testWatch(t *testing.T, open func(*testing.T) (vault.Bucket, vault.Bucket)) {
	here, there := open(t)
	if before, _ := watched(t, here, 0, 0, func() {}); len(before) != 0 {
		t.Errorf("an empty bucket gives %v", before)
	}
	one := put(t, here, "a", "1", 0)
	two := put(t, here, "b", "2", 0)
	three := put(t, there, "a", "3", one)
	before, behind := watched(t, here, 0, 2, func() {
		put(t, there, "c", "4", 0)
		put(t, there, "b", "5", two)
	})
	if fmt.Sprint(before) != "[b=2 a=3]" || fmt.Sprint(behind) != "[c=4 b=5]" {
		t.Errorf("before the mark %v, behind it %v", before, behind)
	}
	if before, _ := watched(t, there, three, 0, func() {}); fmt.Sprint(before) != "[c=4 b=5]" {
		t.Errorf("above revision %d: %v", three, before)
	}
	if before, _ := watched(t, there, get(t, here, "b").Revision, 0, func() {}); len(before) != 0 {
		t.Errorf("above the newest: %v", before)
	}
}

func testWatchCalls(t *testing.T, open func(*testing.T) (vault.Bucket, vault.Bucket)) {
	here, _ := open(t)
	put(t, here, "a", "1", 0)
	seen := 0
	err := here.Watch(t.Context(), 0, func(entry vault.Entry) error {
		if entry.Key == "" {
			return nil
		}
		if seen++; seen == 5 {
			return errEnough
		}
		put(t, here, "a", fmt.Sprint(seen), entry.Revision)
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func testEnds(t *testing.T, open func(*testing.T) (vault.Bucket, vault.Bucket)) {
	here, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := here.Watch(ctx, 0, func(vault.Entry) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the watch: %v", err)
	}
	if _, err := here.Put(ctx, "a", []byte("1"), 0); err == nil {
		t.Error("Put after the end of its context")
	}
	if _, err := here.Get(ctx, "a"); err == nil {
		t.Error("Get after the end of its context")
	}
}
