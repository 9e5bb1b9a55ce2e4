package upstream

import (
	"time"

	"pantheon/events"
)

// Memory is what is remembered of failures. The zero value remembers nothing.
// It is a value: Failed returns another one and shares what did not change.
type Memory struct {
	shards [shardCount]*shard
	count  int
}

// shard holds at most shardSize failures, the oldest first. It is never
// changed after it was made.
type shard struct {
	failures []failure
}

type failure struct {
	drop events.DropID
	at   int64 // Unix nanoseconds
}

// Failed remembers a failed connection or a 5xx of drop at now.
func (m Memory) Failed(drop events.DropID, now time.Time) Memory {
	at := now.UnixNano()
	slot := &m.shards[shardOf(drop)]
	var old []failure
	if *slot != nil {
		old = (*slot).failures
	}
	if last, found := find(old, drop); found && at-last < int64(RefreshAfter) {
		return m
	}
	kept := make([]failure, 0, min(len(old)+1, shardSize))
	for _, f := range old {
		if f.drop != drop && at-f.at < int64(UnhealthyFor) {
			kept = append(kept, f)
		}
	}
	if len(kept) == shardSize {
		kept = append(kept[:0], kept[1:]...)
	}
	kept = append(kept, failure{drop, at})
	m.count += len(kept) - len(old)
	*slot = &shard{kept}
	return m
}

// Healthy says whether drop has not failed within UnhealthyFor before now.
func (m *Memory) Healthy(drop events.DropID, now time.Time) bool {
	if m.count == 0 {
		return true
	}
	s := m.shards[shardOf(drop)]
	if s == nil {
		return true
	}
	at, found := find(s.failures, drop)
	return !found || now.UnixNano()-at >= int64(UnhealthyFor)
}

// Stale says whether Failed would change the Memory: a caller that shares one
// asks before it copies.
func (m *Memory) Stale(drop events.DropID, now time.Time) bool {
	s := m.shards[shardOf(drop)]
	if s == nil {
		return true
	}
	at, found := find(s.failures, drop)
	return !found || now.UnixNano()-at >= int64(RefreshAfter)
}

// Len is the number of failures held, also of those that no longer count.
func (m *Memory) Len() int { return m.count }

func find(failures []failure, drop events.DropID) (at int64, found bool) {
	for i := range failures {
		if failures[i].drop == drop {
			return failures[i].at, true
		}
	}
	return 0, false
}

func shardOf(drop events.DropID) uint32 { return Hash(drop) % shardCount }

// Hash is FNV-1a over the identifier: the same in every run, so that a
// simulation is repeatable.
func Hash(drop events.DropID) uint32 {
	h := uint32(2166136261)
	for i := range len(drop) {
		h = (h ^ uint32(drop[i])) * 16777619
	}
	return h
}
