package lease

import (
	"context"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/lease/terms"
)

// Bucket holds one entry for each host.
type Bucket interface {
	// Get gives a host's entry; a record of revision 0 where there is none.
	Get(ctx context.Context, host events.HostID) (terms.Record, error)
	// Put writes a host's entry over the expected revision, 0 for none, and
	// gives the new one. It gives Conflict where the entry has another; after any
	// other error it may or may not have been written. No revision ever comes
	// twice for a host while the bucket lives.
	Put(ctx context.Context, host events.HostID, entry terms.Entry, expected uint64) (uint64, error)
	// All gives the entries of all hosts. It may be a little behind.
	All(ctx context.Context) ([]terms.Record, error)
}

// Encode gives an entry as the bucket's value.
func Encode(entry terms.Entry) ([]byte, error) { return json.Marshal(entry) }

// Decode reads a value of the bucket.
func Decode(value []byte) (terms.Entry, error) {
	var entry terms.Entry
	if len(value) > maxEntryBytes {
		return entry, problem.New(problem.Unavailable, "cannot read a lease: it has %d bytes", len(value))
	}
	if err := json.Unmarshal(value, &entry); err != nil {
		return entry, problem.Wrap(problem.Unavailable, err, "cannot read a lease")
	}
	if !entry.State.Known() {
		return entry, problem.New(problem.Unavailable, "cannot read a lease: its state is %.20q", entry.State)
	}
	return entry, nil
}

// Memory is a Bucket in memory; its zero value is empty.
type Memory struct {
	mu      sync.Mutex
	newest  uint64
	records map[events.HostID]terms.Record
}

// Get is Bucket's.
func (m *Memory) Get(ctx context.Context, host events.HostID) (terms.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[host], ctx.Err()
}

// Put is Bucket's.
func (m *Memory) Put(ctx context.Context, host events.HostID, entry terms.Entry, expected uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, problem.Wrap(problem.Unavailable, err, "cannot write a lease")
	}
	if found := m.records[host].Revision; found != expected {
		return 0, problem.New(problem.Conflict, "the lease of host %s has revision %d and not %d", host, found, expected)
	}
	if m.records == nil {
		m.records = map[events.HostID]terms.Record{}
	}
	m.newest++
	m.records[host] = terms.Record{Host: host, Revision: m.newest, Entry: entry}
	return m.newest, nil
}

// All is Bucket's.
func (m *Memory) All(ctx context.Context) ([]terms.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]terms.Record, 0, len(m.records))
	for _, record := range m.records {
		all = append(all, record)
	}
	return all, ctx.Err()
}

// Clock is the time since some moment, of a clock that never goes back.
type Clock func() time.Duration

// BootClock is the machine's time since its start, suspension included.
func BootClock() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("lease: the kernel has no CLOCK_BOOTTIME") // Linux has had it since 2.6.39
	}
	return time.Duration(now.Nano())
}
