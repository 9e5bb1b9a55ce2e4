package machine

import "time"

const (
	// FirstRetry and MaxRetry bound the delay after failed starts and failed
	// preparations; it doubles from one to the other.
	FirstRetry = time.Second
	MaxRetry   = time.Minute
	// StartTimeout bounds a start up to the answer to the first ping: two
	// hundred times what it takes on an idle machine.
	StartTimeout = 10 * time.Second
	// StopGrace is what requests have left to end when php-fpm is told to
	// stop; then it is killed.
	StopGrace = 30 * time.Second
	// MaxWaiting bounds the requests that wait for one start.
	MaxWaiting = 512
)
