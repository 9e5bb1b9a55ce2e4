package fastcgi

import "time"

// Bounds of a pool and of one exchange.
const (
	// MaxQueued requests wait for a worker of one DROP; the original platform's
	// queue in front of PHP.
	MaxQueued = 100
	// KeepIdle is how long an unused connection is kept. Longer keeps a worker
	// from being retired by php-fpm and eats into request_terminate_timeout.
	KeepIdle = 5 * time.Second
	// freshIdle is how long a connection may be unused and need no check before
	// a safe request. Under load that spares a system call in ten; workers
	// retire after thousands of requests, so a second try is rare.
	freshIdle = 50 * time.Millisecond
	// urgeFirst and urgeLast are between two looks whether a worker has begun to
	// read from a new connection. A worker is forked in 3 ms.
	urgeFirst = 5 * time.Millisecond
	urgeLast  = time.Second
	// maxEarly is how much sooner than said a wait for the first byte may end; it
	// is a hundredth of short ones.
	maxEarly = time.Second
	// MaxHeaderBytes bounds the header of a response. A Surrogate-Key alone may
	// have 32,512 bytes on the original platform.
	MaxHeaderBytes = 64 << 10
	// MaxHeaderLines bounds the fields of a response, so that 64 KiB of header
	// cannot become megabytes of map.
	MaxHeaderLines = 512
	// MaxParamsBytes bounds the encoded parameters of a request. net/http
	// accepts a header of 1 MiB; php-fpm needs memory for each in every worker.
	MaxParamsBytes = 256 << 10
	// MaxStderrBytes of one response reach the Stderr callback; the rest is
	// counted and dropped.
	MaxStderrBytes = 64 << 10
	// MaxStderrLineBytes cuts a line of stderr; php-fpm's own log_limit cuts at
	// 1 KiB by default.
	MaxStderrLineBytes = 4 << 10
	// inlineBodyBytes is the size up to which a body is sent in the same write
	// as the parameters. Well under the 208 KiB that Linux gives a socket
	// buffer, so that this write does not wait for a reader.
	inlineBodyBytes = 64 << 10
	// readBufferBytes is what one read from php-fpm can bring: a php-fpm output
	// buffer of 8 KiB with room for scripts that write larger pieces.
	readBufferBytes = 32 << 10
	// maxContentBytes of one record (specification §3.3).
	maxContentBytes = 65535
	// stdinChunkBytes is the content of one record of a large body. A multiple
	// of a page, under maxContentBytes.
	stdinChunkBytes = 32 << 10
)

// Timeouts bound one exchange; a zero field means its default.
type Timeouts struct {
	// Dial bounds connecting; default 5 s. A Unix socket answers at once or its
	// backlog is full.
	Dial time.Duration
	// Queue bounds waiting for a free worker; default 60 s, the time after
	// which the original platform's edge gives up.
	Queue time.Duration
	// FirstByte bounds waiting for the response to begin; default 900 s.
	FirstByte time.Duration
	// BetweenBytes bounds each pause of the response; default 900 s.
	BetweenBytes time.Duration
	// Total bounds the exchange from sending to the last byte; default 900 s,
	// the original platform's FastCGI read time.
	Total time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&t.Dial, 5*time.Second)
	set(&t.Queue, 60*time.Second)
	set(&t.FirstByte, 900*time.Second)
	set(&t.BetweenBytes, 900*time.Second)
	set(&t.Total, 900*time.Second)
	return t
}
