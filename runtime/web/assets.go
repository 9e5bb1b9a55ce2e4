package web

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// assets keeps small files of a release in memory, ready to be sent, with
// their compression. A release never changes, so there is nothing to check
// again; an environment whose code is writable has no assets, and the files
// folder is never in it.
type assets struct {
	mu     sync.RWMutex
	known  map[assetKey]*asset
	bytes  int
	closed bool // nothing is kept any more
}

// assetKey is a path as it came and what the visitor accepts: the answer to
// the same question is the same.
type assetKey struct {
	path            string
	gzipped, brotli bool
}

// asset is one representation of a file. Its slices are shared by all answers.
type asset struct {
	modified time.Time
	body     []byte
	header   http.Header
}

func (a *assets) get(key assetKey) *asset {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.known[key]
}

// put keeps an asset; others that chance selects make room for it.
func (a *assets) put(key assetKey, value *asset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	if a.known == nil {
		a.known = make(map[assetKey]*asset)
	}
	if earlier := a.known[key]; earlier != nil {
		a.bytes -= earlier.cost(key)
	}
	a.known[key] = value
	a.bytes += value.cost(key)
	for other, evicted := range a.known {
		if a.bytes <= maxAssetsBytes {
			return
		}
		if other != key {
			delete(a.known, other)
			a.bytes -= evicted.cost(other)
		}
	}
}

// clear forgets everything.
func (a *assets) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.bytes = nil, 0
}

// close is the last clear.
func (a *assets) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.bytes, a.closed = nil, 0, true
}

// cost counts the body, the path and about what the header takes.
func (a *asset) cost(key assetKey) int { return len(a.body) + len(key.path) + assetOverheadBytes }

// load reads an open file into an asset, compressing it where wanted. header
// is that of the answer so far.
func loadAsset(file *os.File, info fs.FileInfo, header http.Header, zip bool) (*asset, error) {
	body := make([]byte, info.Size())
	if _, err := io.ReadFull(file, body); err != nil {
		return nil, err
	}
	tag := entityTag(info.ModTime(), info.Size())
	a := &asset{modified: info.ModTime(), header: header}
	if zip {
		var buffer bytes.Buffer
		to := newGzip(&buffer)
		defer freeGzip(to)
		_, _ = to.Write(body) // into memory
		_ = to.Close()
		body = bytes.Clone(buffer.Bytes())
		header["Content-Encoding"] = codingGzip
		tag = "W/" + tag
	}
	a.body = body
	header["Etag"] = []string{tag}
	header["Accept-Ranges"] = acceptRanges
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	header["Last-Modified"] = []string{info.ModTime().UTC().Format(http.TimeFormat)}
	return a, nil
}

// write answers with the asset.
func (a *asset) write(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, values := range a.header {
		header[name] = values
	}
	if hasCondition(r.Header) {
		http.ServeContent(w, r, "", a.modified, bytes.NewReader(a.body))
		return
	}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(a.body) // an error means that the visitor has left
	}
}
