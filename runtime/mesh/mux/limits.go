package mux

import "time"

// Bounds of a session.
const (
	// MaxStreams that a peer may have open at once: fifty DROPs with eight busy
	// workers and a queue of seventy each.
	MaxStreams = 4096
	// WindowBytes of data may be under way, or unread, in each direction of a
	// stream: 128 MB/s at half a millisecond there and back.
	WindowBytes = 64 << 10
	// MaxHeadBytes of a head: a router's 64 KiB of header, or an application's,
	// with room for what is around them.
	MaxHeadBytes = 160 << 10
	// MaxDataBytes in a frame: what a TLS record holds with the frame's header.
	MaxDataBytes = 16<<10 - headerBytes
	// maxResetBytes of a reset: an error's text and hint.
	maxResetBytes = 2 << 10
	// maxHeadsQueued that nobody has read yet: the interim responses (1xx) of a
	// request and the final one.
	maxHeadsQueued = 4
	// maxPendingBytes wait for the connection before senders wait: two windows
	// of a fast stream beside small ones.
	maxPendingBytes = 128 << 10
	// maxUnsentBytes end the session: only a peer that asks for answers and does
	// not read them comes here.
	maxUnsentBytes = 4 << 20
	// streamBufferBytes a stream begins to receive data with.
	streamBufferBytes = 16 << 10
	// keptBufferBytes: a buffer that has grown beyond is given back.
	keptBufferBytes = 256 << 10
	// readBufferBytes of a connection: four records.
	readBufferBytes = 64 << 10
	// maxIdleWorkers wait for the next stream: a goroutine that has served
	// before has the stack for it.
	maxIdleWorkers = 64

	// calmStreams that came one after the other, most of them: for the next one a
	// second thread would be of no use either.
	calmStreams = 16
	// maxKeptBells of a session, one descriptor each, that nobody waits at; and
	// of those that workers wait at.
	maxKeptBells = 4

	// DefaultTick and SilentTicks: a silent peer is found between 0.8 s and 1 s
	// after its last byte. The pings of an idle line are 5 a second.
	DefaultTick = 200 * time.Millisecond
	SilentTicks = 4

	headerBytes = 8
)
