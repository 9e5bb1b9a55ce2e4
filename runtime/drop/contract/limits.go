package contract

const (
	// MaxSpoolBytes bounds the file of edge purges; the prepend has the same
	// figure. A line of 100 keys takes about 2 KB.
	MaxSpoolBytes = 1 << 20
	// MaxPurgeItems bounds the keys, paths and URLs of one page; more become a
	// purge of everything. The prepend has the same figure.
	MaxPurgeItems = 5000
)
