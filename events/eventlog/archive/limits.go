package archive

import "pantheon/events"

const (
	// frameCommits and frameBytes bound a frame, which ends with the commit that
	// reaches one of them. About 2,000 usual commits fill one; a larger frame
	// packs no better, and what an interrupted export loses is one frame.
	frameCommits = 4096
	frameBytes   = 1 << 20
	// maxPlainBytes bounds a frame's content: a commit over frameBytes, and up to
	// 28 bytes beside each commit.
	maxPlainBytes = frameBytes + events.MaxCommitBytes + frameCommits*28
	// maxPackedBytes bounds it packed: what cannot be packed grows a little.
	maxPackedBytes = maxPlainBytes + 64<<10
	// workers pack or unpack frames at once, one frame of 2 MiB each and one
	// waiting.
	workers = 4
	// maxWindowBytes is the memory that unpacking may ask for; frames are packed
	// in one piece.
	maxWindowBytes = 8 << 20
)
