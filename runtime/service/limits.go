package service

import "time"

const (
	// maxLogBytes is the size at which a server's log is put aside, as
	// "<name>.1", when the server is started: two generations, so at most twice
	// this and what one run writes.
	maxLogBytes = 8 << 20
	// maxIdentityBytes bounds the file of an identity; a real one has about 100.
	maxIdentityBytes = 4 << 10
	// maxStatBytes bounds /proc/<pid>/stat; the longest possible line has about
	// 1 KiB.
	maxStatBytes = 4 << 10
	// killWait is how long a process may take to end after SIGKILL. Only one
	// that hangs in the kernel (a dead disk) takes longer than milliseconds.
	killWait = 5 * time.Second
)
