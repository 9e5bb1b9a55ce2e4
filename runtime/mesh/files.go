package mesh

import (
	"context"
	"errors"
	"io"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh/mux"
)

// Files connects to the files of an environment on their host: what is spoken
// there is Volumes' own. ctx bounds the connecting alone.
func (m *Mesh) Files(ctx context.Context, host events.HostID, request FilesRequest) (*Conn, error) {
	return m.openConn(ctx, host, verbFiles, request)
}

// CutFiles ends the connections of other machines to files here that stale says
// are of the past; see CutSockets.
func (m *Mesh) CutFiles(stale func(host events.HostID, request FilesRequest) bool) (cut int) {
	return m.files.cut(stale)
}

func (m *Mesh) handleFiles(peer identity.Host, stream *mux.Stream, head []byte) error {
	asked, err := message[FilesRequest](head)
	if err != nil {
		return err
	}
	if m.options.Volumes == nil {
		return problem.New(problem.Unsupported, "cannot connect to the files: machine %s has none", m.self)
	}
	_, environmentErr := events.ParseEnvironmentID(string(asked.Environment))
	_, dropErr := events.ParseDropID(string(asked.Drop))
	if err := errors.Join(environmentErr, dropErr); err != nil {
		return problem.Wrap(problem.Invalid, err, "cannot connect to the files")
	}
	guest, leave, err := m.files.enter(peer.ID, asked, stream)
	if err != nil {
		return err
	}
	defer leave()
	var serve func(context.Context, io.ReadWriteCloser) error
	if err := m.files.allow(guest, func() (err error) {
		serve, err = m.options.Volumes.Volume(stream.Context(), peer.ID, asked)
		return err
	}); err != nil {
		return err
	}
	if err := stream.Send([]byte("{}"), nil, true, false); err != nil {
		return err
	}
	// Nobody ends such a stream of its own accord: the end of this mesh does not
	// wait for it.
	stop := context.AfterFunc(m.ending(), func() { stream.Reset(errEnding) })
	defer stop()
	if err := serve(stream.Context(), &Conn{stream}); err != nil {
		return err
	}
	return stream.CloseWrite()
}

// ending ends with Run.
func (m *Mesh) ending() context.Context {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ctx
}
