package styx

import "time"

// Bounds and time-outs. Those with a field in Options are its defaults.
const (
	// DefaultFirstByte is how long one attempt may take to give a status,
	// counted from the request's last byte: the original edge's 59 s.
	DefaultFirstByte = 59 * time.Second
	// DefaultBetweenBytes bounds the silence of a sender, visitor or
	// application, within a body: the original edge's 59 s.
	DefaultBetweenBytes = 59 * time.Second
	// DefaultChain bounds all attempts of a request together, until a status is
	// known: the original's load balancer gives up after 120 s.
	DefaultChain = 120 * time.Second
	// DefaultReadHeader bounds the arrival of a request's head, and the TLS
	// handshake. 10 s is a slow mobile connection with retransmissions.
	DefaultReadHeader = 10 * time.Second
	// DefaultIdle is how long a kept connection may have no request; nginx's
	// own default.
	DefaultIdle = 75 * time.Second
	// DefaultShutdown is how long requests in flight may go on after the
	// server was told to end; then they are cut.
	DefaultShutdown = 30 * time.Second
	// MaxBodyTime bounds the arrival of a body as a whole: 100 MB at 1 Mbit/s
	// take 14 minutes.
	MaxBodyTime = 15 * time.Minute

	// DefaultMaxBodyBytes is the original's upload limit.
	DefaultMaxBodyBytes = 100 << 20
	// DefaultMaxHeaderBytes bounds a request's line and headers: over it, a
	// page with 431; the server below ends a connection at twice as much.
	DefaultMaxHeaderBytes = 64 << 10
	// MaxCookieBytes: above, the Cookie header is dropped and the answer marked
	// with X-Cookies-Dropped, as the original does.
	MaxCookieBytes = 10 << 10
	// MaxResponseHeaderBytes bounds what an application may say in headers: the
	// original accepts 32,512 bytes of surrogate keys alone. Over it, 503
	// Header Overflow.
	MaxResponseHeaderBytes = 64 << 10
	// MaxForwardedBytes bounds the chain of addresses taken from a trusted
	// proxy; a chain of 20 IPv6 addresses has 940 bytes. Of a longer one the
	// end is kept, which is the part that trusted proxies wrote.
	MaxForwardedBytes = 1 << 10
	// MaxHostBytes is the longest DNS name (RFC 1035 §2.3.4) with its root dot.
	MaxHostBytes = 254

	// DefaultMaxConnections bounds open connections. Each may need three file
	// descriptors (visitor, PHP, file) and 20,000 is a common hard limit. Over
	// it nothing is accepted: newcomers wait in the kernel's listen queue,
	// which is bounded by somaxconn (4,096) and then refuses.
	DefaultMaxConnections = 6000
	// DefaultMaxConnectionsPerSource bounds connections from one IPv4 address
	// or IPv6 /64. Trusted proxies are exempt.
	DefaultMaxConnectionsPerSource = 1500
	// DefaultMaxRequests bounds requests in flight: an HTTP/2 connection can
	// hold MaxStreams of them. Over it, 503 at once.
	DefaultMaxRequests = 12000
	// MaxStreams bounds the concurrent requests of an HTTP/2 connection.
	MaxStreams = 128

	// MaxWithheldBytes bounds what is read, and thrown away, of the body of a
	// response that another attempt replaces; then its writer gets an error.
	MaxWithheldBytes = 1 << 20
	// WriteChunkBytes is the most that goes to a visitor under one write
	// deadline: 256 KiB in 59 s is 4.4 KB/s, slower than a 2G telephone.
	WriteChunkBytes = 256 << 10
	// MaxLogBufferBytes bounds the access log's lines that wait for the disk;
	// more are dropped and counted. 16,000 lines of common length.
	MaxLogBufferBytes = 4 << 20
	// MaxLogFieldBytes bounds every field of a log line that a visitor writes.
	MaxLogFieldBytes = 2 << 10

	// copyBytes is the buffer of responses that are copied from a reader. Files
	// that fit in it are copied as well: one read and one write less than
	// sendfile needs around it, measured 5 % of the processor time.
	copyBytes = 32 << 10
	// logInterval is how long a line may wait in memory. A write for each line
	// costs a fifth of the throughput of small responses.
	logInterval = 100 * time.Millisecond
	// deadlineStep is how much time must have passed before a deadline of a
	// connection is moved again: an eighth of the silence it bounds at most.
	deadlineStep = time.Second
	// loadSlots is the number of counters of outstanding requests; DROPs share
	// one where their hashes meet, which only blurs the choice. 16 KiB.
	loadSlots = 4096
	// watchShards divides the list of requests in flight, so that beginning
	// and ending one rarely waits for a lock.
	watchShards = 16
	// cutGrace is how long requests may take to notice that they were cut.
	cutGrace = 5 * time.Second
	// writeMargin is added to the time-out of the chain for the connection's
	// write deadline, so that the page that tells of a time-out gets out.
	writeMargin = 10 * time.Second
)
