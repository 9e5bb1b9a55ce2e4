package jetstream

import (
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"pantheon/events"
)

// recentTips remembers what was appended lately, so that an actor which goes
// on from its own commit needs no look into the files. Streams share slots: a
// slot that another one has taken is only a look that is not saved.
type recentTips [recentSlots]atomic.Pointer[recentTip]

type recentTip struct {
	stream events.StreamID
	tip    events.Tip
}

func (r *recentTips) slot(stream events.StreamID) *atomic.Pointer[recentTip] {
	return &r[xxh3.HashString(stream.ID)%recentSlots]
}

func (r *recentTips) put(stream events.StreamID, tip events.Tip) {
	r.slot(stream).Store(&recentTip{stream, tip})
}

func (r *recentTips) holds(stream events.StreamID, tip events.Tip) bool {
	known := r.slot(stream).Load()
	return known != nil && known.stream == stream && known.tip == tip
}

// positionOf gives the newest position that is remembered of a stream, 0 for
// none.
func (r *recentTips) positionOf(stream events.StreamID) uint64 {
	if known := r.slot(stream).Load(); known != nil && known.stream == stream {
		return uint64(known.tip.Position)
	}
	return 0
}
