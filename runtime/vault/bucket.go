package vault

import (
	"context"
	"slices"
	"sync"

	"pantheon/events/problem"
)

// Entry is a value of a bucket.
type Entry struct {
	Key      string // of the letters a to z and digits
	Value    []byte // never changed
	Revision uint64 // grows with each write in the bucket; 0 where there is no entry
}

// Bucket holds one value for each key. Errors are problem.Unavailable where
// nothing else is said.
type Bucket interface {
	// Get gives the newest entry, of revision 0 where there is none.
	Get(ctx context.Context, key string) (Entry, error)
	// Put writes over the expected revision, 0 for none, and gives the new one. It
	// gives Conflict where the bucket says that the entry has another, which may
	// be wrong while two writes are under way; after any other error it may or may
	// not have been written. What it replaces is erased as far as the bucket can.
	Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error)
	// Watch calls each for the newest entry of every key with a revision above
	// after, then once with the zero Entry, which says that this was all that had
	// been written when Watch was called, and then with later ones as they come,
	// until ctx ends or each gives an error, and gives either. Entries come by revision; one may come twice, and one that was
	// written over may be left out. each may call the bucket.
	Watch(ctx context.Context, after uint64, each func(Entry) error) error
}

// Memory is a Bucket in memory; its zero value is empty.
type Memory struct {
	mu      sync.Mutex
	newest  uint64
	entries map[string]Entry
	changed chan struct{} // closed with the next write
}

// Get is Bucket's.
func (m *Memory) Get(ctx context.Context, key string) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, problem.Wrap(problem.Unavailable, err, "cannot read the bucket")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[key], nil
}

// Put is Bucket's.
func (m *Memory) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, problem.Wrap(problem.Unavailable, err, "cannot write the bucket")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.entries[key].Revision; found != expected {
		return 0, problem.New(problem.Conflict, "the entry has revision %d and not %d", found, expected)
	}
	if m.entries == nil {
		m.entries = map[string]Entry{}
	}
	m.newest++
	m.entries[key] = Entry{Key: key, Value: slices.Clone(value), Revision: m.newest}
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
	return m.newest, nil
}

// Watch is Bucket's.
func (m *Memory) Watch(ctx context.Context, after uint64, each func(Entry) error) error {
	for first := true; ; first = false {
		found, changed := m.above(after)
		for _, entry := range found {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := each(entry); err != nil {
				return err
			}
			after = entry.Revision
		}
		if first {
			if err := each(Entry{}); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// above gives the entries above a revision and what is closed when there are
// more.
func (m *Memory) above(after uint64) ([]Entry, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Entry
	for _, entry := range m.entries {
		if entry.Revision > after {
			found = append(found, entry)
		}
	}
	slices.SortFunc(found, func(a, b Entry) int { return int(a.Revision) - int(b.Revision) })
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	return found, m.changed
}
