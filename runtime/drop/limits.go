package drop

import (
	"time"

	"pantheon/events"
)

const (
	// exitGrace is what a process whose connection broke off has left to end,
	// so that its exit status can be the reason.
	exitGrace = time.Second
	// MaxCommands bounds the commands that run beside php-fpm in one DROP.
	MaxCommands = 8
	// MaxReasonBytes bounds the words of a failure.
	MaxReasonBytes = events.MaxReasonBytes
	// MaxLogBytes is the size from which a log is set aside as "<name>.1" at
	// the next start; one old log is kept.
	MaxLogBytes = 16 << 20
	// MaxIdentityBytes bounds the file that Adopt reads.
	MaxIdentityBytes = 4 << 10

	// DefaultWorkers and DefaultMemoryMiB where the settings name none: the
	// original's sandbox plan.
	DefaultWorkers   = 4
	DefaultMemoryMiB = 512
	// MaxWorkers bounds php-fpm's children whatever the settings say.
	MaxWorkers = 64
	// cpuShares weighs one DROP against others, as the original's did.
	cpuShares = 250
	// basePIDs and workerPIDs bound processes: a shell pipeline or an image
	// converter with threads for each worker.
	basePIDs, workerPIDs = 64, 32

	// requestSeconds is max_execution_time; php-fpm ends a worker
	// requestGrace after it, because PHP counts only processor time.
	requestSeconds = 120
	requestGrace   = 10
	// workerRequests is after how many requests a worker is replaced, against
	// leaks in extensions. A replacement costs some 8 ms, which at 2,000 and a
	// small page was a twelfth of a processor; the cgroup bounds what leaks.
	workerRequests = 10_000
	// workerIdle is after how long an idle worker ends.
	workerIdle = 30 * time.Second

	// WarmTimeout, WarmFiles and WarmFileBytes bound the filling of the opcode
	// cache at preparation: WordPress without its administration is 900 files.
	WarmTimeout   = 30 * time.Second
	WarmFiles     = 3000
	WarmFileBytes = 1 << 20
)
