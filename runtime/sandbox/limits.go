package sandbox

import "time"

// Bounds of a sandbox.
const (
	// MaxFiles bounds the files handed to a command, standard ones included.
	MaxFiles = 16
	// MaxBinds bounds the binds of one root; a DROP has about twenty.
	MaxBinds = 64
	// MaxNameBytes bounds a sandbox's name, which becomes a cgroup folder.
	MaxNameBytes = 128
	// DefaultOpenFiles is RLIMIT_NOFILE where the command names none: what
	// php-fpm with eight workers and a CMS that scans folders comes close to
	// is 200.
	DefaultOpenFiles = 4096
	// sharedMemoryBytes bounds /dev/shm; it is charged to the cgroup as well.
	sharedMemoryBytes = 64 << 20
	// firstSpawnFile is the lowest descriptor used for files on their way to a
	// child: above every target, so that no dup2 overwrites one still needed.
	firstSpawnFile = 64
	// removeTimeout bounds how long the processes of a killed cgroup may take
	// to go; a process in an uninterruptible disk wait takes the longest.
	removeTimeout = 10 * time.Second
	// sharesPerCore makes the weight of all sandboxes together, against what
	// else runs on the machine, that of one busy thread for each core. With the
	// kernel's default they would together weigh as much as a single thread
	// outside; with much more, looping sites would starve the agent.
	sharesPerCore = 1024
	// cpuPeriod is the window over which the processor quota is counted, the
	// kernel's default.
	cpuPeriod = 100 * time.Millisecond
)
