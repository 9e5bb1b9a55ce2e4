package inventory

const (
	// KeptWorkflows of a site that have finished are kept, the newest; running
	// ones always are. A hundred are several screens of any list.
	KeptWorkflows = 100
	// KeptGraves is the number of deleted sites whose workflows are kept, the
	// newest: somebody asks why a site has gone, but not for ever.
	KeptGraves = 10_000
)
