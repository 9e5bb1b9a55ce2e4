package web

import "time"

// Bounds of one DROP's web server.
const (
	// MaxBodyBytes of a request: the original platform's upload limit.
	MaxBodyBytes = 100 << 20
	// spoolMemoryBytes of a body, and of a response that the visitor takes
	// slower than PHP makes it, stay in memory; the rest goes to a file.
	spoolMemoryBytes = 64 << 10
	// MaxSpoolBytes bounds all files of bodies of one DROP together, so that
	// slow uploads cannot fill the disk: twenty of the largest.
	MaxSpoolBytes = 20 * MaxBodyBytes
	// maxResponseSpoolBytes bounds the file of one response; beyond it PHP waits
	// for its visitor. nginx's fastcgi_max_temp_file_size.
	maxResponseSpoolBytes = 1 << 30
	// MaxURIBytes is nginx's default for a request line.
	MaxURIBytes = 8 << 10
	// MaxCookieBytes: more than this of cookies is dropped as a whole.
	MaxCookieBytes = 10 << 10
	// MaxProtectedPaths of protected_web_paths are in force; the rest is not.
	MaxProtectedPaths = 24
	// minGzipBytes: below it the gzip frame eats the gain.
	minGzipBytes = 512
	// maxGzipBytes bounds what is compressed for one static answer: such an
	// answer lies in memory as a whole.
	maxGzipBytes = 1 << 20
	// wholeResponseBytes: a PHP response up to this size frees its worker before
	// it is written to the visitor. No more than the read buffer of a connection
	// can be here at once.
	wholeResponseBytes = 32 << 10
	// wholeWithin is how long the rest of such a response is waited for: PHP
	// writes 8 KiB at a time, and its end some microseconds after the last. A
	// visitor sees nothing of it; a page that is made piece by piece begins so
	// much later.
	wholeWithin = 2 * time.Millisecond
	// maxAssetBytes: a file of a release up to this size may be kept in memory.
	maxAssetBytes = 64 << 10
	// maxAssetsBytes is what one DROP's release may take of the agent's memory,
	// and only between its first request and its next rest.
	maxAssetsBytes = 2 << 20
	// maxScripts of one DROP's release are known to be there without looking:
	// applications have a front controller and a few more that visitors ask for.
	maxScripts = 256
	// assetOverheadBytes is about what the header of an asset takes.
	assetOverheadBytes = 1 << 10
	// assetMaxAge of static files on test and live: the original platform's year.
	assetMaxAge = "max-age=31622400"
	// closeWait is how long Close waits for requests in flight.
	closeWait = 10 * time.Second
)
