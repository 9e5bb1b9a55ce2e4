package web

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"pantheon/events/problem/page"
)

var (
	varyEncoding    = []string{"Accept-Encoding"}
	acceptRanges    = []string{"bytes"}
	anyOrigin       = []string{"*"}
	codingGzip      = []string{"gzip"}
	codingBrotli    = []string{"br"}
	cacheForYear    = []string{assetMaxAge}
	cacheRevalidate = []string{"no-cache"}
)

// assetKeyOf says under which key the answer to a request may be kept.
func (s *Server) assetKeyOf(r *http.Request) (key assetKey, ok bool) {
	p := r.URL.Path
	if !s.immutable || r.Method != http.MethodGet && r.Method != http.MethodHead || s.rules.mounted(p) {
		return assetKey{}, false
	}
	key = assetKey{path: p}
	if typeOf(p).compress {
		key.gzipped, key.brotli = accepted(r.Header["Accept-Encoding"])
		key.gzipped = key.gzipped && r.Header["Range"] == nil
	}
	return key, true
}

// static answers with an open file, which it closes.
func (s *Server) static(w http.ResponseWriter, r *http.Request, roots *roots, t target) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		t.file.Close()
		w.Header()["Allow"] = []string{"GET, HEAD"}
		page.MethodNotAllowed.Write(w, s.id(w))
		return
	}
	header := make(http.Header, 10)
	file, info, zip := s.represent(header, r, roots, t)
	defer file.Close()
	key, keep := s.assetKeyOf(r)
	if keep && info.Size() <= maxAssetBytes {
		a, err := loadAsset(file, info, header, zip)
		if err != nil {
			page.ServiceUnavailable.Write(w, s.id(w))
			return
		}
		s.assets.put(key, a)
		a.write(w, r)
		return
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	s.sendFile(w, r, file, info, zip)
}

// represent chooses the representation of a file and writes its header. zip
// says that it is to be compressed now.
func (s *Server) represent(header http.Header, r *http.Request, roots *roots, t target) (file *os.File, info fs.FileInfo, zip bool) {
	known := typeOf(t.path)
	header["Content-Type"] = known.header
	if known.font {
		header["Access-Control-Allow-Origin"] = anyOrigin
	}
	if known.asset || s.rules.mounted(t.path) {
		header["Cache-Control"] = s.assetCache
	}
	if !known.compress {
		return t.file, t.info, false
	}
	header["Vary"] = varyEncoding
	gzipped, brotli := accepted(r.Header["Accept-Encoding"])
	gzipped = gzipped && r.Header["Range"] == nil // ranges are of the file as it is
	if f, i, coding := s.sibling(roots, t.path, gzipped, brotli); f != nil {
		t.file.Close()
		header["Content-Encoding"] = coding
		return f, i, false
	}
	return t.file, t.info, gzipped && t.info.Size() >= minGzipBytes && t.info.Size() <= maxGzipBytes
}

// sendFile answers from the file itself.
func (s *Server) sendFile(w http.ResponseWriter, r *http.Request, file *os.File, info fs.FileInfo, zip bool) {
	header := w.Header()
	modified := info.ModTime()
	tag := entityTag(modified, info.Size())
	if zip {
		header["Content-Encoding"] = codingGzip
		header["Etag"] = []string{"W/" + tag}
		http.ServeContent(w, r, "", modified, &gzippedFile{file: file, header: header})
		return
	}
	header["Etag"] = []string{tag}
	if hasCondition(r.Header) {
		header["Content-Length"] = []string{strconv.FormatInt(info.Size(), 10)}
		http.ServeContent(w, r, "", modified, file)
		return
	}
	s.plain(w, r, file, info)
}

// plain answers a request without conditions with the whole file. net/http
// sends it with sendfile(2).
func (s *Server) plain(w http.ResponseWriter, r *http.Request, file *os.File, info fs.FileInfo) {
	header := w.Header()
	header["Accept-Ranges"] = acceptRanges
	header["Content-Length"] = []string{strconv.FormatInt(info.Size(), 10)}
	header["Last-Modified"] = []string{info.ModTime().UTC().Format(http.TimeFormat)}
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.CopyN(w, file, info.Size()) // a short file makes net/http close the connection
}

// sibling opens what was compressed beforehand: style.css.br, style.css.gz.
func (s *Server) sibling(roots *roots, p string, gzipped, brotli bool) (*os.File, fs.FileInfo, []string) {
	for _, try := range []struct {
		wanted bool
		suffix string
		coding []string
	}{{brotli, ".br", codingBrotli}, {gzipped, ".gz", codingGzip}} {
		if !try.wanted {
			continue
		}
		f, info, err := s.docroot.openFile(roots, p+try.suffix)
		if err != nil {
			continue
		}
		if info.Mode().IsRegular() {
			return f, info, try.coding
		}
		f.Close()
	}
	return nil, nil, nil
}

// entityTag is a strong validator: what a file is, by its time and its size.
func entityTag(modified time.Time, size int64) string {
	b := make([]byte, 0, 40)
	b = append(b, '"')
	b = strconv.AppendInt(b, modified.UnixNano(), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, size, 36)
	return string(append(b, '"'))
}

func hasCondition(h http.Header) bool {
	return h["Range"] != nil || h["If-None-Match"] != nil || h["If-Modified-Since"] != nil ||
		h["If-Match"] != nil || h["If-Unmodified-Since"] != nil || h["If-Range"] != nil
}

// gzippedFile is a file that is compressed when http.ServeContent first asks
// for its size, which is after it has looked at the conditions.
type gzippedFile struct {
	file    *os.File
	header  http.Header
	content *bytes.Reader
}

func (g *gzippedFile) compress() error {
	if g.content != nil {
		return nil
	}
	var buffer bytes.Buffer
	to := newGzip(&buffer)
	defer freeGzip(to)
	if _, err := io.CopyN(to, g.file, maxGzipBytes); err != nil && err != io.EOF {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	g.content = bytes.NewReader(buffer.Bytes())
	g.header["Content-Length"] = []string{strconv.Itoa(buffer.Len())}
	return nil
}

func (g *gzippedFile) Seek(offset int64, whence int) (int64, error) {
	if err := g.compress(); err != nil {
		return 0, err
	}
	return g.content.Seek(offset, whence)
}

func (g *gzippedFile) Read(b []byte) (int, error) {
	if err := g.compress(); err != nil {
		return 0, err
	}
	return g.content.Read(b)
}
