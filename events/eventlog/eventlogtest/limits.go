package eventlogtest

import "time"

const (
	// waitFor bounds every wait for another goroutine; a slow machine under
	// the race detector needs a fraction of it.
	waitFor = 30 * time.Second
	// raceWriters is the number of writers that fight for one stream.
	raceWriters = 64
	// raceCommits is how many commits the fight ends after.
	raceCommits = 20
	// readerCommits is how many commits concurrent readers must agree on.
	readerCommits = 200
)
