package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"pantheon/runtime/fastcgi"
)

// php hands a request to PHP. See Serve for what an error means.
func (s *Server) php(w http.ResponseWriter, r *http.Request, t target) error {
	body, err := s.spool(r)
	if err != nil {
		if errors.Is(err, ErrTooLarge) || errors.Is(err, errVisitor) {
			w.Header()["Connection"] = []string{"close"} // the rest of the body is of no use
			_, p := PageFor(err)
			p.Write(w, s.id(w))
			return nil
		}
		return err
	}
	if s.admitted.Add(1) > int64(max(s.options.Spec.Settings.Workers, 1)+fastcgi.MaxQueued) {
		err = fastcgi.ErrQueueFull
	} else {
		err = s.exchange(w, r, t, body)
	}
	s.admitted.Add(-1)
	if err == nil || body == nil {
		_ = body.Close()
		return err
	}
	body.at = 0
	r.Body = body
	context.AfterFunc(r.Context(), func() { _ = body.Close() })
	return err
}

func (s *Server) wake(ctx context.Context) (done func(), err error) {
	if s.options.Wake == nil {
		return func() {}, nil
	}
	done, err = s.options.Wake(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWake, err)
	}
	return done, nil
}

// exchange wakes PHP, sends the request and passes the response on.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request, t target, body *body) error {
	ctx := r.Context()
	done, err := s.wake(ctx)
	if err != nil {
		return err
	}
	defer done()
	state := ""
	if s.options.DatabaseState != nil {
		state = s.options.DatabaseState(ctx)
	}
	b := s.buffers.Get().(*buffers)
	defer s.buffers.Put(b)
	s.params(&b.params, r, t, body, state)
	request := fastcgi.Request{Params: &b.params, Safe: isSafe(r.Method), Check: s.options.Check}
	if body != nil {
		request.Body, request.Size = body, body.size
	}
	response, err := s.pool.Do(ctx, &request)
	if err != nil {
		return err
	}
	defer response.Close()
	var whole bool
	b.body, whole = response.Rest(b.body[:0], wholeResponseBytes, wholeWithin)
	s.passHeader(w, r, response)
	if !hasBody(r.Method, response.Status) {
		return s.passNoBody(w, response)
	}
	if whole {
		return s.passWhole(w, r, response.Status, b.body)
	}
	return s.passStream(w, r, response)
}

// isSafe: RFC 9110 §9.2.1.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}

func hasBody(method string, status int) bool {
	return method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified
}

// withheld are fields of PHP's header that are not PHP's to set or not the
// visitor's to see: those of the connection, those by which the platform names
// itself, and orders to a web server, whose values are paths of this machine.
var withheld = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Transfer-Encoding": true, "Upgrade": true, "Trailer": true, "Te": true,
	"Proxy-Connection": true,
	"X-Pantheon-Site":  true, "X-Pantheon-Environment": true, "X-Pantheon-Endpoint": true, "X-Pantheon-Phpreq": true,
	"X-Pantheon-Styx-Hostname": true, "X-Styx-Req-Id": true, "X-Styx-Version": true,
	"X-Sendfile": true, "X-Lighttpd-Send-File": true,
}

// accelPrefix begins orders to nginx, which it swallows whether it obeys them
// or not.
const accelPrefix = "X-Accel-"

// surrogate fields are for the edge; a visitor sees them when debugging.
var surrogate = map[string]bool{"Surrogate-Key": true, "Surrogate-Key-Raw": true, "Surrogate-Control": true}

var yes = []string{"yes"}

func (s *Server) passHeader(w http.ResponseWriter, r *http.Request, response *fastcgi.Response) {
	header := w.Header()
	debug := first(r.Header["Pantheon-Debug"]) == "1"
	for name, values := range response.Header {
		if withheld[name] || strings.HasPrefix(name, accelPrefix) || !debug && surrogate[name] {
			continue
		}
		header[name] = values
	}
	if keys := response.Header["Surrogate-Key"]; debug && keys != nil && header["Surrogate-Key-Raw"] == nil {
		header["Surrogate-Key-Raw"] = keys
	}
	header["X-Pantheon-Phpreq"] = yes
	if cookiesDropped(r) {
		header["X-Cookies-Dropped"] = []string{"1"}
	}
	if length := header["Content-Length"]; length != nil {
		if _, err := strconv.ParseUint(length[0], 10, 63); err != nil || len(length) > 1 {
			delete(header, "Content-Length")
		}
	}
	if header["Content-Type"] == nil {
		header["Content-Type"] = nil // present without a value: net/http does not guess
	}
}

// passNoBody answers without a body and lets the script run to its end.
func (s *Server) passNoBody(w http.ResponseWriter, response *fastcgi.Response) error {
	if response.Status == http.StatusNoContent {
		delete(w.Header(), "Content-Length")
	}
	w.WriteHeader(response.Status)
	for {
		if _, err := response.Next(); err != nil {
			return nil // the visitor has all there is
		}
	}
}

// wantsGzip decides for the response of PHP and writes it into the header. size
// is -1 where it is not known.
func wantsGzip(r *http.Request, status int, header http.Header, size int) bool {
	if status != http.StatusOK && status != http.StatusForbidden && status != http.StatusNotFound {
		return false
	}
	if header["Content-Encoding"] != nil || size >= 0 && size < minGzipBytes || !compressible(first(header["Content-Type"])) {
		return false
	}
	header["Vary"] = append(header["Vary"], "Accept-Encoding")
	if gzipped, _ := accepted(r.Header["Accept-Encoding"]); !gzipped {
		return false
	}
	header["Content-Encoding"] = codingGzip
	delete(header, "Content-Length")
	delete(header, "Accept-Ranges")
	if tag := first(header["Etag"]); tag != "" && tag[0] == '"' {
		header["Etag"] = []string{"W/" + tag}
	}
	return true
}

// passWhole answers with a body that is here already; its worker is free.
func (s *Server) passWhole(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	header := w.Header()
	if wantsGzip(r, status, header, len(body)) {
		w.WriteHeader(status)
		to := newGzip(w)
		defer freeGzip(to)
		_, _ = to.Write(body)
		_ = to.Close() // errors mean that the visitor has left
		return nil
	}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
	return nil
}

// passStream answers while PHP still writes. A second goroutine takes from PHP
// as fast as it comes, so that a slow visitor does not hold the worker.
func (s *Server) passStream(w http.ResponseWriter, r *http.Request, response *fastcgi.Response) error {
	size := -1
	if length, err := strconv.Atoi(first(w.Header()["Content-Length"])); err == nil {
		size = length
	}
	zip := wantsGzip(r, response.Status, w.Header(), size)
	w.WriteHeader(response.Status)
	flow := newFlow(s.options.SpoolDir)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		flow.fill(response)
	}()
	defer func() {
		response.Abort()
		flow.close()
		<-ended
	}()
	if err := flow.copyTo(w, zip); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// copyTo writes what flows to the visitor, and flushes whenever nothing more
// is here: PHP has flushed, or is busy.
func (f *flow) copyTo(w http.ResponseWriter, zip bool) error {
	var to io.Writer = w
	flush := http.NewResponseController(w).Flush
	if zip {
		g := newGzip(w)
		defer freeGzip(g)
		to = g
		outer := flush
		flush = func() error { return errors.Join(g.Flush(), outer()) }
		defer func() { _ = g.Close() }()
	}
	for {
		piece, more, err := f.take()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := to.Write(piece); err != nil {
			return err
		}
		if more {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
}
