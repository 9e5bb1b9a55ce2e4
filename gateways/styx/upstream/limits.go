package upstream

import "time"

const (
	// UnhealthyFor is how long a failed connection or a 5xx counts against a
	// target: the original platform's 10 minutes.
	UnhealthyFor = 10 * time.Minute
	// MaxUnhealthyTries is "a few unhealthy ones": attempts of one request on
	// targets that failed lately, after all healthy ones have refused it.
	MaxUnhealthyTries = 3
	// MaxTargets bounds the targets of one environment that are looked at; the
	// biggest plan of the original starts at four. 256 fit in 32 bytes of
	// every request.
	MaxTargets = 256
	// MaxRemembered bounds the failures remembered over all targets:
	// shardCount times shardSize. At 10 minutes each it holds several failures
	// a second, and about 200 KiB.
	MaxRemembered = shardCount * shardSize
	// RefreshAfter: a failure that follows a remembered one of the same target
	// sooner than this changes nothing, so a DROP that fails every request
	// costs one copy of a shard in that time and not one a request.
	RefreshAfter = 10 * time.Second

	shardCount = 64
	shardSize  = 64
)
