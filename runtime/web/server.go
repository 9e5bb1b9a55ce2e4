package web

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"sync"
	"sync/atomic"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/events/problem/page"
	"pantheon/runtime/fastcgi"
)

// Options of the web server of one DROP.
type Options struct {
	Spec events.DropSpec
	// CodeDir is the release on this host, FilesDir the environment's files
	// ("" for none), SpoolDir where bodies above 64 KiB are stored while they
	// arrive ("" for the system's folder).
	CodeDir, FilesDir, SpoolDir string
	// ScriptRoot is what PHP sees for CodeDir; default CodeDir itself.
	ScriptRoot string
	// Socket is php-fpm's Unix socket.
	Socket string
	// Endpoint is told to visitors in X-Pantheon-Endpoint; "" for nothing.
	Endpoint string
	// Wake makes sure that php-fpm runs before a request is sent to it; the
	// function it returns ends the use. Static files never call it. Nil where
	// php-fpm always runs.
	Wake func(ctx context.Context) (done func(), err error)
	// Check is asked before PHP gets a request, after all waiting; with an error
	// PHP does not get it. Nil says yes.
	Check func() error
	// DatabaseState says "empty" or "ok" for PANTHEON_DATABASE_STATE; nil or ""
	// for no such parameter.
	DatabaseState func(ctx context.Context) string
	// Stderr receives the lines that PHP writes to standard error; it must not
	// wait.
	Stderr func(line string)
	// PingPath is php-fpm's ping.path; with "" Ping only wakes.
	PingPath string
	// Timeouts of an exchange with php-fpm; zero fields for the defaults.
	Timeouts fastcgi.Timeouts
}

// Server serves one DROP.
type Server struct {
	options    Options
	rules      rules
	docroot    docroot
	scriptRoot string // of the document root
	pool       *fastcgi.Pool
	fixed      [][2]string // parameters that are the same for every request
	assetCache []string
	immutable  bool // the code folder is a release
	assets     assets
	scripts    scripts
	identity   [][2]string // response headers that are the same for every request

	admitted atomic.Int64 // requests that wait for PHP or are with it
	spooled  atomic.Int64 // bytes of bodies in files
	buffers  sync.Pool    // *buffers
}

// buffers of one request to PHP.
type buffers struct {
	params fastcgi.Params
	body   []byte
}

// New checks the options. It opens nothing.
func New(o Options) (*Server, error) {
	if o.CodeDir == "" || o.Socket == "" {
		return nil, problem.New(problem.Internal, "cannot serve the DROP: its code folder or its socket is not given")
	}
	if o.ScriptRoot == "" {
		o.ScriptRoot = o.CodeDir
	}
	s := &Server{options: o, rules: newRules(o.Spec), scriptRoot: path.Clean(o.ScriptRoot)}
	if o.Spec.Settings.WebDocroot {
		s.scriptRoot = path.Join(s.scriptRoot, "web")
	}
	s.docroot = docroot{codeDir: o.CodeDir, filesDir: o.FilesDir, web: o.Spec.Settings.WebDocroot, rules: &s.rules}
	s.pool = fastcgi.NewPool(fastcgi.Options{
		Socket: o.Socket, Workers: o.Spec.Settings.Workers, Stderr: o.Stderr, Timeouts: o.Timeouts,
	})
	s.buffers.New = func() any { return new(buffers) }
	s.immutable = o.Spec.Settings.Connection == events.ConnectionGit
	environment := o.Spec.Environment
	s.fixed = [][2]string{
		{"GATEWAY_INTERFACE", "CGI/1.1"}, {"SERVER_SOFTWARE", serverSoftware}, {"REDIRECT_STATUS", "200"},
		{"DOCUMENT_ROOT", s.scriptRoot},
		{"PANTHEON_ENVIRONMENT", string(environment.Name())}, {"PANTHEON_SITE", string(environment.Site())},
	}
	s.assetCache = cacheRevalidate
	if name := environment.Name(); name == "test" || name == "live" {
		s.assetCache = cacheForYear
	}
	s.identity = [][2]string{{"X-Pantheon-Site", string(environment.Site())}, {"X-Pantheon-Environment", string(environment.Name())}}
	if o.Endpoint != "" {
		s.identity = append(s.identity, [2]string{"X-Pantheon-Endpoint", o.Endpoint})
	}
	return s, nil
}

// ServeHTTP serves the request and answers with the page of an error.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.Serve(w, r); err != nil {
		_, p := PageFor(err)
		p.Write(w, s.id(w))
	}
}

// id is what the router has called this request.
func (s *Server) id(w http.ResponseWriter) string { return w.Header().Get("X-Styx-Req-Id") }

// Serve serves the request. An error means that nothing was written and that
// the body can be read from its start again: the caller tries another DROP or
// writes the page that PageFor gives. Serve panics with http.ErrAbortHandler
// where a response breaks off half-way.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request) error {
	header := w.Header()
	for _, pair := range s.identity {
		header[pair[0]] = []string{pair[1]}
	}
	if len(r.RequestURI) > MaxURIBytes {
		page.URITooLong.Write(w, s.id(w))
		return nil
	}
	if key, ok := s.assetKeyOf(r); ok {
		if a := s.assets.get(key); a != nil {
			a.write(w, r)
			return nil
		}
	}
	p, folder, ok := cleanPath(r.URL.Path)
	if !ok {
		page.BadRequest.Write(w, s.id(w))
		return nil
	}
	if r.Method == http.MethodTrace || r.Method == http.MethodConnect {
		page.MethodNotAllowed.Write(w, s.id(w))
		return nil
	}
	roots, err := s.docroot.use()
	if errors.Is(err, fs.ErrNotExist) && problem.KindOf(err) == problem.Internal {
		page.NoSite.Write(w, s.id(w))
		return nil
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot open the code of the environment")
	}
	defer s.docroot.end(roots)
	t, err := s.find(roots, p, folder, r.URL)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot look the path up")
	}
	return s.answer(w, r, roots, t)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, roots *roots, t target) error {
	switch t.kind {
	case kindFile:
		s.static(w, r, roots, t)
	case kindScript:
		return s.php(w, r, t)
	case kindRedirect:
		w.Header()["Location"] = []string{t.query}
		w.WriteHeader(http.StatusMovedPermanently)
	case kindPage, kindNone:
		t.page.Write(w, s.id(w))
	}
	return nil
}

// Ping wakes the DROP and, where PingPath is given, asks php-fpm for a sign of
// life.
func (s *Server) Ping(ctx context.Context) error {
	done, err := s.wake(ctx)
	if err != nil {
		return err
	}
	defer done()
	if s.options.PingPath == "" {
		return nil
	}
	var params fastcgi.Params
	params.Add("SCRIPT_NAME", s.options.PingPath)
	params.Add("SCRIPT_FILENAME", s.options.PingPath)
	params.Add("REQUEST_METHOD", http.MethodGet)
	params.Add("REQUEST_URI", s.options.PingPath)
	response, err := s.pool.Do(ctx, &fastcgi.Request{Params: &params, Safe: true})
	if err != nil {
		return err
	}
	defer response.Close()
	if response.Status != http.StatusOK {
		return problem.New(problem.Unavailable, "cannot reach PHP: its ping answers %d", response.Status)
	}
	for err == nil {
		_, err = response.Next()
	}
	return nil
}

// Rest gives up every descriptor: called when the DROP goes to sleep, so that
// php-fpm can stop. The next request opens what it needs.
func (s *Server) Rest() {
	s.pool.CloseIdle()
	s.docroot.rest()
	s.assets.clear()
	s.scripts.clear()
}

// Close refuses new requests, waits for those in flight, aborts what
// has not ended after ten seconds, and gives everything up.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.docroot.close()
	s.assets.close()
	err := s.pool.Drain(ctx)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "cannot end the DROP's requests in time: they were aborted")
	}
	return nil
}
