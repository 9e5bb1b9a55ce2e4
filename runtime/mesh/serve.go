package mesh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/events/problem/page"
	"pantheon/runtime/abort"
	"pantheon/runtime/mesh/mux"
)

// heads hold the buffers of requests' heads.
var heads = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// ServeDrop answers r from drop on host: by this host's agent, or by asking
// host. It is the port of the router; see Agent and the package comment.
func (m *Mesh) ServeDrop(w http.ResponseWriter, r *http.Request, drop events.DropID, host events.HostID) error {
	if host == m.self {
		if m.options.Agent == nil {
			return errNoAgent
		}
		return m.options.Agent.ServeDrop(w, r, drop, host)
	}
	data, whole, err := inline(r)
	if err != nil {
		return err
	}
	// A safe request may be sent twice (RFC 9110 §9.2.1).
	safe := whole && len(data) == 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead)
	err = m.exchange(w, r, drop, host, data, whole, safe)
	if err == errAgain {
		err = m.exchange(w, r, drop, host, data, whole, false)
	}
	return err
}

// errAgain: the request was sent, and may be once more.
var errAgain = problem.New(problem.Unavailable, "the connection was lost before the response began")

// exchange sends the request once. With again, a connection that is lost before
// anything of the response was there is errAgain, and nothing is written; without,
// it is a page.
func (m *Mesh) exchange(w http.ResponseWriter, r *http.Request, drop events.DropID, host events.HostID, data []byte, whole, again bool) error {
	stream, err := m.open(r, drop, host, data, whole)
	if err != nil {
		return err
	}
	defer stream.Free()
	var exchange abort.Exchange
	m.leaving.Begin(&exchange, r.Context(), visitor{stream})
	defer m.leaving.End(&exchange)
	if !whole {
		upload := startUpload(r.Body, stream)
		defer upload.end(w, r, stream)
	}
	return answer(w, r, stream, again)
}

// visitor closes a stream by leaving.
type visitor struct{ stream *mux.Stream }

func (v visitor) Close() error {
	v.stream.Reset(context.Canceled)
	return nil
}

var errNoAgent = problem.New(problem.Unavailable, "cannot serve: no DROPs run on this machine")

// inline reads a small body, so that it can be sent with the request, and
// again. whole says that there is no more of it.
func inline(r *http.Request) (data []byte, whole bool, err error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0:
		return nil, true, nil
	case r.ContentLength < 0 || r.ContentLength > inlineBodyBytes:
		return nil, false, nil
	}
	data = make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, data); err != nil {
		return nil, false, problem.Wrap(problem.Invalid, err, "cannot read the request")
	}
	_, _ = r.Body.Read(make([]byte, 1)) // the end, from which on the router counts the application's time
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	return data, true, nil
}

// open sends the request. An error means that it was not sent.
func (m *Mesh) open(r *http.Request, drop events.DropID, host events.HostID, data []byte, whole bool) (*mux.Stream, error) {
	buffer := heads.Get().(*[]byte)
	defer heads.Put(buffer)
	head := appendRequest((*buffer)[:0], r, drop, len(data) > 0 || !whole)
	*buffer = head
	return m.openStream(r.Context(), host, head, data, whole)
}

// openStream opens a stream on the connection to a host, and on another one
// if the first has just ended: nothing was sent on it.
func (m *Mesh) openStream(ctx context.Context, host events.HostID, head, data []byte, end bool) (*mux.Stream, error) {
	for attempt := 0; ; attempt++ {
		link, err := m.link(ctx, host)
		if err != nil {
			return nil, err
		}
		stream, err := link.Open(head, data, end)
		if err == nil || attempt > 0 || !link.Spent() {
			return stream, err
		}
		link.peer.notify()
	}
}

// answer copies the response. It gives an error before anything was written
// only if the other side has refused the request.
func answer(w http.ResponseWriter, r *http.Request, stream *mux.Stream, again bool) error {
	for {
		head, err := stream.ReadHead()
		if again && errors.Is(err, mux.ErrLost) && r.Context().Err() == nil {
			return errAgain
		}
		if err != nil {
			return unanswered(w, r, stream, err)
		}
		h := w.Header()
		status, err := parseResponse(head, h)
		if err != nil {
			clear(h)
			return unanswered(w, r, stream, err)
		}
		w.WriteHeader(status)
		if status >= 200 || status == http.StatusSwitchingProtocols {
			return copyBody(w, stream)
		}
		clear(h)
		again = false
	}
}

// unanswered ends a request whose response never began. A refusal of the
// other side is an error; whatever leaves it open whether the request was
// begun is a page, after which a router repeats only what may be repeated.
func unanswered(w http.ResponseWriter, r *http.Request, stream *mux.Stream, err error) error {
	if r.Context().Err() != nil {
		return context.Cause(r.Context())
	}
	var refused *problem.Error
	if errors.As(err, &refused) && !errors.Is(err, mux.ErrLost) && err != errHead {
		return err
	}
	stream.Reset(nil)
	page.RoutingFailure.Write(w, r.Header.Get("X-Styx-Req-Id"))
	return nil
}

func copyBody(w http.ResponseWriter, stream *mux.Stream) error {
	var control *http.ResponseController
	for {
		piece, flush, err := stream.Take()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return problem.Wrap(problem.Unavailable, err, "the response broke off")
		}
		if len(piece) > 0 {
			if _, err := w.Write(piece); err != nil {
				stream.Reset(nil)
				return err
			}
		}
		if flush {
			if control == nil {
				control = http.NewResponseController(w)
			}
			if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				stream.Reset(nil)
				return err
			}
		}
	}
}

// upload sends a large body beside the response.
type upload struct {
	stopping atomic.Bool
	done     chan struct{}
}

func startUpload(body io.Reader, stream *mux.Stream) *upload {
	u := &upload{done: make(chan struct{})}
	go u.run(body, stream)
	return u
}

func (u *upload) run(body io.Reader, stream *mux.Stream) {
	defer close(u.done)
	piece := make([]byte, pieceBytes)
	for !u.stopping.Load() {
		n, err := body.Read(piece)
		if n > 0 && stream.Send(nil, piece[:n], false, false) != nil {
			return // the other side wants no more
		}
		if err == io.EOF {
			_ = stream.CloseWrite() // fails only if nobody reads
			return
		}
		if err != nil {
			stream.Reset(problem.Wrap(problem.Invalid, err, "cannot read the request"))
			return
		}
	}
}

// end returns when the body is not read any more. A visitor who is silent in the
// middle of an upload that nobody wants is cut off.
func (u *upload) end(w http.ResponseWriter, r *http.Request, stream *mux.Stream) {
	u.stopping.Store(true)
	stream.Reset(nil) // nothing happens if all is said; else, sending does not wait for credit
	control := http.NewResponseController(w)
	for {
		select {
		case <-u.done:
			return
		case <-time.After(stopStep):
		}
		if control.SetReadDeadline(time.Unix(1, 0)) != nil {
			_ = r.Body.Close()
			<-u.done
			return
		}
	}
}
