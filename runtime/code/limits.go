package code

import "time"

const (
	// MaxRepositoryBytes bounds what an import may fetch. The original
	// discourages repositories above 2 GB; WordPress' upstream with all history
	// has about 0.2 GB.
	MaxRepositoryBytes = 4 << 30
	// MaxTreeEntries bounds the files of a folder import and of a commit's tree.
	// MediaWiki, the largest known, has 24,000.
	MaxTreeEntries = 200_000
	// MaxTreeBytes bounds their content.
	MaxTreeBytes = 4 << 30
	// MaxPathBytes bounds one path inside a tree, like PATH_MAX.
	MaxPathBytes = 4096
	// MaxNotes bounds what an import reports besides its result.
	MaxNotes = 100
	// MaxSettingsBytes bounds pantheon.yml; a long real one has 4 KiB.
	MaxSettingsBytes = 64 << 10
	// MaxProtectedWebPaths is the original's bound.
	MaxProtectedWebPaths = 24
	// MaxLogCommits bounds one answer of Log.
	MaxLogCommits = 1000

	maxTreeDepth      = 1024        // nested folders of a release that was fetched; paths bound it sooner
	maxObjectBytes    = 1 << 20     // of a commit: its message
	maxDecoderBytes   = 256 << 20   // of zstd's window
	maxFolderDepth    = 64          // nested folders, links out of the folder included
	maxLinkBytes      = 4096        // a symbolic link's text, like PATH_MAX
	maxLocationBytes  = 2048        // a URL or path to import from
	maxBranchBytes    = 200         // a branch name of an upstream
	maxOutputBytes    = 64 << 20    // what is read of one git command's output: the tree list of MaxTreeEntries
	maxErrorBytes     = 8 << 10     // of its error output; the first line is used
	maxSettingsDepth  = 8           // nesting of pantheon.yml; the deepest real key is at 4
	blobWriters       = 2           // git processes and writers that make one release's files
	linkTries         = 100         // to link a shared file that others are replacing
	maxUpstreamPacks  = 20          // packs of one upstream before they are made one
	maxWebPathBytes   = 512         // one protected path
	watchInterval     = time.Second // how often a fetch's size is looked at
	gitTimeout        = 2 * time.Minute
	askTimeout        = 30 * time.Second // asking a remote for its branches
	fetchTimeout      = 30 * time.Minute // fetching all history over a slow line
	gitWaitDelay      = 5 * time.Second  // after a kill, for pipes that children keep open
	lowSpeedBytes     = 1000             // an HTTP transfer below this many bytes a second …
	lowSpeedSeconds   = 30               // … for so long is given up
	sshConnectSeconds = 15
)
