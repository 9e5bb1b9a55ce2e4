package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
)

// call is one request on its way: what a handler gets.
type call struct {
	server  *Server
	writer  http.ResponseWriter
	request *http.Request
	id      string // finds the log line
	who     principal
	view    view // one snapshot for the whole request
	moment  moment
	body    []byte
	// command is the id under which the request happens once; empty for reads.
	command events.CommandID
	// What the path names, as far as its access rule has looked it up.
	account     events.AccountID
	site        siteFacts
	environment events.EnvironmentID
	// shown are further sites that the caller may see; see sealed.go.
	shown map[events.SiteID]bool
	// explained counts the DROPs whose placement the policies were asked about.
	explained int
}

// reply is what a handler answers: a status, 200 if zero, and a JSON value.
type reply struct {
	status int
	body   any
	// stream, where set, writes the whole answer itself.
	stream func(http.ResponseWriter) error
}

// ServeHTTP answers one request and writes one line about it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.options.Now()
	setDeadlines(w, start)
	out := &recorder{ResponseWriter: w}
	id := randomHex(8)
	out.Header().Set("X-Request-Id", id)
	out.Header().Set("X-Content-Type-Options", "nosniff")
	out.Header().Set("Cache-Control", "no-store")
	c := &call{server: s, writer: out, request: r, id: id}
	c.view.open = c.open
	_, pattern := s.mux.Handler(r)
	err := s.dispatch(c, pattern)
	if err != nil && out.status == 0 {
		s.writeError(c, err)
	}
	s.note(c, out, pattern, start, err)
}

// dispatch hands the request to its route; an error has not been answered yet
// unless the answer has begun.
func (s *Server) dispatch(c *call, pattern string) error {
	if pattern == "" || path.Clean(c.request.URL.Path) != c.request.URL.Path {
		return s.unrouted(c.request)
	}
	var failed error
	s.mux.ServeHTTP(&matched{c.writer, c, &failed}, c.request)
	return failed
}

// matched carries the call through http.ServeMux, which knows only writers.
type matched struct {
	http.ResponseWriter
	call   *call
	failed *error
}

// handler adapts a route for http.ServeMux.
func (s *Server) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through := w.(*matched) // dispatch is the only caller
		through.call.request = r
		*through.failed = s.serve(through.call, rt)
	})
}

// serve takes the call through identity, access, body and handler.
func (s *Server) serve(c *call, rt route) error {
	c.look()
	var err error
	if c.who, err = s.identify(c.request, c.view); err != nil {
		return err
	}
	if err := c.goBack(rt); err != nil {
		return err
	}
	if err := rt.access.check(c); err != nil {
		return err
	}
	if err := c.readBody(); err != nil {
		return err
	}
	if c.request.Method != http.MethodGet {
		if c.command, err = commandID(c.request, c.who.account, c.body, func() string { return randomHex(16) }); err != nil {
			return err
		}
	}
	answer, err := rt.handle(c)
	if err != nil {
		return err
	}
	if answer.stream != nil {
		return answer.stream(c.writer)
	}
	return c.writeJSON(answer.status, answer.body)
}

func (c *call) readBody() error {
	var err error
	c.body, err = io.ReadAll(http.MaxBytesReader(c.writer, c.request.Body, maxBodyBytes))
	// From here on a slow answer must not look like a client that went away.
	_ = http.NewResponseController(c.writer).SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem.New(problem.Invalid, "cannot take a body of more than %d bytes", maxBodyBytes)
	}
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot read the request's body")
	}
	return nil
}

// decode reads the body as one JSON object into target. Members it does not
// know are an error, so that a misspelt one is not taken for an absent one;
// from Terminus they are let pass, since its newer versions may send more.
func (c *call) decode(target any) error {
	return decodeJSON(c.body, isTerminus(c.request), target)
}

func decodeJSON(text []byte, lenient bool, target any) error {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if !lenient {
		decoder.DisallowUnknownFields()
	}
	if err := decoder.Decode(target); err != nil {
		return problem.New(problem.Invalid, "cannot read the request's JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return problem.New(problem.Invalid, "cannot read the request's JSON: there is more than one value")
	}
	return nil
}

func writeText(w http.ResponseWriter, status int, text []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may be gone: nobody to tell
	return nil
}

func (s *Server) writeError(c *call, err error) {
	terminus := isTerminus(c.request)
	status := statusFor(problem.KindOf(err), terminus)
	if status == http.StatusUnauthorized && !terminus {
		c.writer.Header().Set("WWW-Authenticate", `Bearer realm="pantheon"`)
	}
	_ = c.writeJSON(status, errorBody(err, c.id, terminus))
}

// unrouted says what is wrong with a path or method that is in no route.
func (s *Server) unrouted(r *http.Request) error {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "" {
			return problem.New(problem.Unsupported, "cannot %s this path", r.Method)
		}
	}
	return problem.New(problem.NotFound, "cannot find this path: the API of this version does not have it")
}

// note writes the request's line and its metrics. Query strings stay out: a
// filter may name what its user would rather not have in a log.
func (s *Server) note(c *call, out *recorder, pattern string, start time.Time, err error) {
	took := s.options.Now().Sub(start)
	s.metrics.observe(pattern, out.status, took)
	level, attributes := slog.LevelInfo, []any{
		"id", c.id, "method", c.request.Method, "path", c.request.URL.Path, "status", out.status,
		"took", took, "account", string(c.who.account), "gateway", c.who.gateway, "address", c.who.address,
	}
	if err != nil {
		attributes = append(attributes, "error", err.Error())
		if problem.KindOf(err) == problem.Internal {
			level = slog.LevelError
		}
	}
	s.options.Logger.Log(c.request.Context(), level, "api request", attributes...)
}

// recorder remembers the status that was sent; 0 is none yet.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand.Read never fails (Go 1.24)
	return hex.EncodeToString(b)
}
