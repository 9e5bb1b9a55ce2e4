package http1

import "time"

// Bounds of a connection. Time-outs are in Options.
const (
	// DefaultMaxHeadBytes bounds a request's line and fields together.
	DefaultMaxHeadBytes = 128 << 10
	// MaxRequestLineBytes bounds the request line; RFC 9112 §3 asks for 8,000 at
	// least.
	MaxRequestLineBytes = 32 << 10
	// MaxFields of a head. Browsers send 20; Apache accepts 100.
	MaxFields = 256
	// MaxTrailerBytes and MaxTrailerFields bound what follows the last chunk.
	MaxTrailerBytes  = 4 << 10
	MaxTrailerFields = 32
	// MaxChunkLineBytes bounds the line before a chunk, its extensions included;
	// 16 are for the size.
	MaxChunkLineBytes = 256
	// maxChunkOverheadBytes bounds what the lines of all chunks take beyond a
	// reasonable share of the body: 16 bytes for each chunk and twice its size.
	maxChunkOverheadBytes = 16 << 10

	// readBufferBytes is what an idle connection holds: more than the head of
	// nearly every request.
	readBufferBytes = 4 << 10
	// maxEmptyReads: a connection that gives neither bytes nor an error so often
	// is broken; bufio's figure.
	maxEmptyReads = 100
	// writeBufferBytes is head and body of a response that leave in one write
	// although the handler made them in several. It is lent to a connection
	// while it is busy.
	writeBufferBytes = 16 << 10
	// maxKeptFields: a header map that once held more is not used again, since
	// clearing it would cost every later request.
	maxKeptFields = 64

	// drainBytes of a body that the handler did not read are read and thrown
	// away so that the connection can be kept; over it, it is closed.
	drainBytes = 256 << 10
	// lingerBytes and lingerTime bound what is read, and for how long, from a
	// visitor who still sends when the connection is closed: without it the
	// kernel resets the connection and the visitor may lose the answer.
	lingerBytes = 256 << 10
	lingerTime  = 500 * time.Millisecond

	// LeavePeriod is how often the server looks for requests that last; one that
	// it sees twice is watched for its visitor's leaving.
	LeavePeriod = 500 * time.Millisecond
	// deadlineSlack is by how much idle connections and writes may overstay, so
	// that a busy connection's deadlines need not be moved for each request. An
	// eighth of the time-out at most.
	deadlineSlack = time.Second
)
