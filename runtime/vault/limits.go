package vault

import "time"

const (
	// MaxContentBytes bounds one secret: a certificate chain with its key fits,
	// and what is no secret does not.
	MaxContentBytes = 64 << 10
	// maxNameBytes bounds a secret's name: the longest zone's key file.
	maxNameBytes = 512
	// padBytes: sealed values have a multiple of this length, so that a key, a
	// password and a tombstone look the same.
	padBytes = 256
	// MaxValueBytes bounds a value of the bucket: a secret, its name and what
	// sealing adds.
	MaxValueBytes = MaxContentBytes + maxNameBytes + 2*padBytes
	// opTimeout bounds one operation whose context has no earlier end. The
	// election of a leader takes one to two seconds.
	opTimeout = 5 * time.Second
	// attemptTimeout bounds one attempt of it: an answer takes milliseconds.
	attemptTimeout = time.Second
	// retryPause lies between two attempts.
	retryPause = 50 * time.Millisecond
	// passAttempts at going through the whole vault: each waits for seconds itself.
	passAttempts = 3
	// removeAttempts bounds removing a secret against others that write it.
	removeAttempts = 16
)

// Of a Mirror.
const (
	// MaxFiles is how many files a Mirror keeps the same: a thousand TSIG keys
	// and those of some hundred zones.
	MaxFiles = 4096
	// maxDepth is how many folders and a name a file's name may have.
	maxDepth = 4
	// scanEvery is how often a Mirror looks for what was changed on its machine.
	scanEvery = 5 * time.Second
	// renewEvery is how often a Mirror begins to watch anew, from where it was: a
	// watch that has died in silence is noticed by then.
	renewEvery = time.Minute
	// pauseAfterError lies between two attempts to watch.
	pauseAfterError = time.Second
	// maxStateBytes bounds the file with what a Mirror knows: 200 bytes for each
	// of MaxFiles, and long names.
	maxStateBytes = 4 << 20
)
