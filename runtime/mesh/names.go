package mesh

import (
	"context"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/identity"
	"pantheon/runtime/mesh/mux"
)

// NameKeysRequest asks a control machine for the secrets of the cell's name servers,
// a part at a time.
type NameKeysRequest struct {
	// Digest of those that the machine has: the same are not given again.
	Digest []byte `json:"digest,omitzero"`
	// After is the last that it was given of those it asks for; empty to begin.
	After string `json:"after,omitzero"`
}

// NameKeysReply has the next of them, in the order of their names.
type NameKeysReply struct {
	Digest []byte            `json:"digest"` // of all
	Files  map[string][]byte `json:"files,omitzero"`
	More   bool              `json:"more,omitzero"`
}

// NameKeys gives them to a machine that answers for the cell's names.
type NameKeys interface {
	NameKeys(ctx context.Context, host events.HostID, request NameKeysRequest) (NameKeysReply, error)
}

// MaxNameKeysBytes of files that one reply may have: in JSON they are a third more.
const MaxNameKeysBytes = maxMessageBytes / 2

func (m *Mesh) handleNames(peer identity.Host, stream *mux.Stream, head []byte) error {
	asked, err := message[NameKeysRequest](head)
	switch {
	case err != nil:
		return err
	case m.options.NameKeys == nil:
		return problem.New(problem.Unsupported, "cannot give the keys of names: machine %s is no control machine", m.self)
	}
	answer, err := m.options.NameKeys.NameKeys(stream.Context(), peer.ID, asked)
	if err != nil {
		return err
	}
	return reply(stream, answer)
}

// NameKeys asks a control machine for the secrets of the name servers.
func (m *Mesh) NameKeys(ctx context.Context, host events.HostID, request NameKeysRequest) (NameKeysReply, error) {
	return call[NameKeysReply](ctx, m, host, verbNames, request)
}
