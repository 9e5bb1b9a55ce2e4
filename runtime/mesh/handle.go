package mesh

import (
	"context"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/events/problem/page"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh/mux"
)

// rule is one row of the table of verbs.
type rule struct {
	name  string
	roles []events.HostRole // the peer has one of them; any where empty
	run   func(m *Mesh, peer identity.Host, stream *mux.Stream, head []byte) error
}

// verbs is THE table of what a peer may ask. An error of run that came before
// an answer is the answer.
func verbs() map[verb]rule {
	entry, host, control := events.RoleEntry, events.RoleHost, events.RoleControl
	return map[verb]rule{
		verbServe:   {"serve", []events.HostRole{entry}, (*Mesh).handleServe},
		verbPing:    {"ping", []events.HostRole{entry, host, control}, (*Mesh).handlePing},
		verbSocket:  {"socket", []events.HostRole{host}, (*Mesh).handleSocket},
		verbKey:     {"key", []events.HostRole{host, control}, (*Mesh).handleKey},
		verbRenew:   {"renew", nil, (*Mesh).handleRenew},
		verbFiles:   {"files", []events.HostRole{host}, (*Mesh).handleFiles},
		verbBinding: {"binding", []events.HostRole{host}, (*Mesh).handleBinding},
		verbNames:   {"names", []events.HostRole{events.RoleDNS}, (*Mesh).handleNames},
	}
}

// handler serves the streams of one connection.
func (m *Mesh) handler(peer identity.Host) func(*mux.Stream, []byte) {
	table := verbs()
	return func(stream *mux.Stream, head []byte) {
		var what verb
		if len(head) > 0 {
			what = verb(head[0])
		}
		row, known := table[what]
		if !known {
			stream.Reset(problem.New(problem.Unsupported, "cannot do what machine %s asks: this version does not know verb %d", peer.ID, what))
			return
		}
		if len(row.roles) > 0 && !slices.ContainsFunc(row.roles, peer.Has) {
			stream.Reset(problem.New(problem.Denied, "machine %s may not ask for %s: it has none of the roles %v", peer.ID, row.name, row.roles))
			return
		}
		defer func() {
			if caught := recover(); caught != nil {
				m.logger.Error("internal error: a request of the mesh panicked", "verb", row.name, "host", peer.ID, "panic", caught, "stack", string(debug.Stack()))
				stream.Reset(problem.New(problem.Internal, "internal error of machine %s", m.self))
			}
		}()
		if err := row.run(m, peer, stream, head); err != nil {
			stream.Reset(err)
		}
	}
}

// handleServe gives the request to this host's agent.
func (m *Mesh) handleServe(peer identity.Host, stream *mux.Stream, head []byte) error {
	if m.options.Agent == nil {
		return errNoAgent
	}
	p, err := parseRequest(stream.Context(), head)
	if err != nil {
		return err
	}
	r := p.request
	if r.Body = http.NoBody; p.hasBody {
		r.Body = io.NopCloser(stream)
	}
	w := &response{stream: stream, header: make(http.Header, responseFields)}
	defer w.free()
	return m.runAgent(w, r, p.drop, peer)
}

// runAgent ends the response. A panic before anything was sent leaves it open
// whether PHP has begun: that is a page and no refusal.
func (m *Mesh) runAgent(w *response, r *http.Request, drop events.DropID, peer identity.Host) (err error) {
	defer func() {
		caught := recover()
		if caught == nil {
			return
		}
		if caught != http.ErrAbortHandler {
			m.logger.Error("internal error: a request panicked", "host", peer.ID, "drop", drop, "panic", caught, "stack", string(debug.Stack()))
		}
		err = problem.New(problem.Unavailable, "the response broke off")
		if !w.committed() {
			clear(w.header)
			page.BadGateway.Write(w, r.Header.Get("X-Styx-Req-Id"))
			err = w.finish()
		}
	}()
	if err := m.options.Agent.ServeDrop(w, r, drop, m.self); err != nil {
		if w.wrote && !w.sent {
			_ = w.flush(false) // a response that has begun, and broke off
		}
		return err
	}
	return w.finish()
}

var pieces = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// response is the http.ResponseWriter of a request from another machine. It
// sends when pieceBytes have come together, when it is flushed, and at the end,
// so that a small response is one write. A response that is written at once goes
// out at once.
type response struct {
	stream *mux.Stream
	header http.Header
	head   *[]byte // to be sent with what follows, on loan
	piece  *[pieceBytes]byte
	n      int    // bytes in piece
	wrote  bool   // the final status is known
	sent   bool   // something of the final response has gone out
	ended  bool   // so has its end
	length string // of the body, as announced
	err    error
}

func (w *response) Header() http.Header { return w.header }

// committed says that the other side may have seen a final status.
func (w *response) committed() bool { return w.sent }

func (w *response) WriteHeader(status int) {
	switch {
	case w.wrote:
	case status < 200 && status != http.StatusSwitchingProtocols:
		if err := w.stream.Send(appendResponse(nil, status, w.header), nil, true, false); err != nil {
			w.err = err
		}
	default:
		w.wrote = true
		w.head = heads.Get().(*[]byte)
		*w.head = appendResponse((*w.head)[:0], status, w.header)
		w.length = w.header.Get("Content-Length")
	}
}

func (w *response) begin() {
	w.implicit()
	if w.piece == nil && !w.ended {
		w.piece = pieces.Get().(*[pieceBytes]byte)
	}
}

// implicit is the status of a handler that gives none.
func (w *response) implicit() {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
}

func (w *response) Write(p []byte) (int, error) {
	if w.implicit(); w.isWhole(len(p)) {
		w.send(p, false, true)
		return len(p), w.err
	}
	w.begin()
	if w.ended && w.err == nil {
		return 0, http.ErrContentLength
	}
	total := len(p)
	for len(p) > 0 && w.err == nil {
		n := copy(w.piece[w.n:], p)
		w.n += n
		if p = p[n:]; w.n == pieceBytes {
			w.sendPiece(false, false)
		}
	}
	return total - len(p), w.err
}

// isWhole says that n bytes are the response, by its own account.
func (w *response) isWhole(n int) bool {
	return !w.sent && w.n == 0 && n > 0 && w.length == strconv.Itoa(n)
}

// ReadFrom reads a file straight into what is sent.
func (w *response) ReadFrom(src io.Reader) (total int64, err error) {
	if w.begin(); w.ended {
		return 0, http.ErrContentLength
	}
	for w.err == nil {
		n, err := src.Read(w.piece[w.n:])
		w.n += n
		total += int64(n)
		if w.n == pieceBytes {
			w.sendPiece(false, false)
		}
		if err == io.EOF {
			return total, w.err
		}
		if err != nil {
			return total, err
		}
	}
	return total, w.err
}

func (w *response) send(data []byte, flush, end bool) {
	if w.err != nil || w.ended {
		return
	}
	var head []byte
	if w.head != nil {
		head = *w.head
	}
	w.sent, w.ended = true, end
	w.err = w.stream.Send(head, data, flush, end)
	w.freeHead()
}

func (w *response) freeHead() {
	if w.head != nil {
		heads.Put(w.head)
		w.head = nil
	}
}

func (w *response) sendPiece(flush, end bool) {
	var data []byte
	if w.piece != nil {
		data = w.piece[:w.n]
	}
	w.n = 0
	w.send(data, flush, end)
}

func (w *response) flush(end bool) error {
	w.begin()
	w.sendPiece(!end, end)
	return w.err
}

// FlushError is Flush for http.ResponseController.
func (w *response) FlushError() error { return w.flush(false) }

// Flush sends what there is.
func (w *response) Flush() { _ = w.flush(false) }

func (w *response) finish() error { return w.flush(true) }

func (w *response) free() {
	w.freeHead()
	if w.piece != nil {
		pieces.Put(w.piece)
		w.piece = nil
	}
}

// message reads the JSON behind the verb.
func message[T any](head []byte) (T, error) {
	var asked T
	if len(head) > maxMessageBytes {
		return asked, errHead
	}
	if err := json.Unmarshal(head[1:], &asked); err != nil {
		return asked, errHead
	}
	return asked, nil
}

func reply(stream *mux.Stream, answer any) error {
	head, err := json.Marshal(answer)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "cannot answer")
	}
	return stream.Send(head, nil, false, true)
}

type pingRequest struct {
	Drop events.DropID `json:"drop"`
}

type keyRequest struct {
	Site events.SiteID `json:"site"`
}

type keyReply struct {
	Key []byte `json:"key"`
}

type renewRequest struct {
	CSR []byte `json:"csr"`
}

func (m *Mesh) handlePing(_ identity.Host, stream *mux.Stream, head []byte) error {
	asked, err := message[pingRequest](head)
	switch {
	case err != nil:
		return err
	case m.options.Agent == nil:
		return errNoAgent
	}
	if _, err := events.ParseDropID(string(asked.Drop)); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot wake a DROP")
	}
	if err := m.options.Agent.Ping(stream.Context(), asked.Drop, m.self); err != nil {
		return err
	}
	return reply(stream, struct{}{})
}

func (m *Mesh) handleKey(peer identity.Host, stream *mux.Stream, head []byte) error {
	asked, err := message[keyRequest](head)
	switch {
	case err != nil:
		return err
	case m.options.Keys == nil:
		return problem.New(problem.Unsupported, "cannot give the key of a site: this machine has none")
	}
	if _, err := events.ParseSiteID(string(asked.Site)); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot give the key of a site")
	}
	key, err := m.options.Keys.SiteKey(stream.Context(), peer.ID, asked.Site)
	if err != nil {
		return err
	}
	return reply(stream, keyReply{key})
}

func (m *Mesh) handleRenew(peer identity.Host, stream *mux.Stream, head []byte) error {
	asked, err := message[renewRequest](head)
	if err != nil {
		return err
	}
	certificate, err := m.renew(stream.Context(), peer.ID, asked.CSR)
	if err != nil {
		return err
	}
	return reply(stream, certificate)
}

func (m *Mesh) renew(ctx context.Context, host events.HostID, csr []byte) (Certificate, error) {
	if m.options.Renewer == nil {
		return Certificate{}, problem.New(problem.Unsupported, "cannot renew a certificate: machine %s is no control machine", m.self)
	}
	if m.options.Directory.Removed(host) {
		return Certificate{}, removed(host)
	}
	return m.options.Renewer.Renew(ctx, host, csr)
}

func (m *Mesh) handleBinding(peer identity.Host, stream *mux.Stream, head []byte) error {
	asked, err := message[BindingRequest](head)
	switch {
	case err != nil:
		return err
	case m.options.Certifier == nil:
		return problem.New(problem.Unsupported, "cannot sign the certificate of a DROP: machine %s is no control machine", m.self)
	}
	certificate, err := m.options.Certifier.SignBinding(stream.Context(), peer.ID, asked)
	if err != nil {
		return err
	}
	return reply(stream, Certificate{Certificate: certificate})
}
