package mesh

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"pantheon/events/problem"
	"pantheon/runtime/identity"
)

// One question and one answer, JSON after its length in four bytes.

type question struct {
	Join  *JoinRequest  `json:"join,omitzero"`
	Renew *renewRequest `json:"renew,omitzero"`
}

type reaction struct {
	Refused *refusal     `json:"refused,omitzero"`
	Join    *JoinReply   `json:"join,omitzero"`
	Renew   *Certificate `json:"renew,omitzero"`
}

type refusal struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
	Hint string `json:"hint,omitzero"`
}

func writeMessage(w io.Writer, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "cannot write a message")
	}
	if len(content) > maxMessageBytes {
		return problem.New(problem.Invalid, "cannot send a message of %d bytes: it may have %d", len(content), maxMessageBytes)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...))
	return err
}

func readMessage[T any](r io.Reader) (value T, err error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return value, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxMessageBytes {
		return value, errHead
	}
	content := make([]byte, n)
	if _, err := io.ReadFull(r, content); err != nil {
		return value, err
	}
	if json.Unmarshal(content, &value) != nil {
		return value, errHead
	}
	return value, nil
}

// answerJoin answers the one question of a machine that is no member, and
// closes the connection.
func (m *Mesh) answerJoin(ctx context.Context, conn *tls.Conn) {
	defer func() { _ = conn.Close() }()
	select {
	case m.joins <- struct{}{}:
		defer func() { <-m.joins }()
	default:
		return
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	defer stop()
	asked, err := readMessage[question](conn)
	if err != nil {
		return // whoever it was left, or is none of ours
	}
	answer, err := m.joinOrRenew(ctx, conn.ConnectionState(), asked)
	if err != nil {
		answer = reaction{Refused: &refusal{problem.KindOf(err).String(), err.Error(), problem.HintOf(err)}}
		m.logger.Info("refused a machine that wants to join", "from", conn.RemoteAddr().String(), "err", err)
	}
	if err := writeMessage(conn, answer); err != nil {
		m.logger.Info("cannot answer a machine that wants to join", "from", conn.RemoteAddr().String(), "err", err)
	}
}

func (m *Mesh) joinOrRenew(ctx context.Context, state tls.ConnectionState, asked question) (reaction, error) {
	switch {
	case asked.Renew != nil && asked.Join == nil:
		applicant, err := m.options.Node.Applicant(state)
		if err != nil {
			return reaction{}, err
		}
		certificate, err := m.renew(ctx, applicant.ID, asked.Renew.CSR)
		return reaction{Renew: &certificate}, err
	case asked.Join != nil && asked.Renew == nil:
		if m.options.Joiner == nil {
			return reaction{}, problem.New(problem.Unsupported, "cannot join here: machine %s is no control machine", m.self).
				WithHint("give the token a control machine's address")
		}
		joined, err := m.options.Joiner.Join(ctx, *asked.Join)
		return reaction{Join: &joined}, err
	}
	return reaction{}, errHead
}

// Join redeems a token: it asks the control machines that the token names, one
// after the other, until one has answered. request's Invitation and Secret are
// the token's. The same request again, after its answer was lost, is no
// second use of the token.
func Join(ctx context.Context, token identity.Token, request JoinRequest) (JoinReply, error) {
	request.Invitation, request.Secret = token.Invitation, token.Secret.Reveal()
	answer, err := apply(ctx, token.Addresses, token.JoinClient(JoinProtocol), question{Join: &request})
	if err != nil {
		return JoinReply{}, err
	}
	if answer.Join == nil {
		return JoinReply{}, errHead
	}
	return *answer.Join, nil
}

// Rejoin renews a certificate that may have ended, which lets no connection of
// the mesh be made. addresses are those of control machines' meshes.
func Rejoin(ctx context.Context, node *identity.Node, addresses []string, csr []byte) (Certificate, error) {
	answer, err := apply(ctx, addresses, node.Client("", JoinProtocol), question{Renew: &renewRequest{csr}})
	if err != nil {
		return Certificate{}, err
	}
	if answer.Renew == nil {
		return Certificate{}, errHead
	}
	return *answer.Renew, nil
}

// apply asks one address after the other until one has answered.
func apply(ctx context.Context, addresses []string, config *tls.Config, asked question) (reaction, error) {
	var failed []error
	for _, address := range slices.Compact(slices.Clone(addresses)) {
		answer, err := applyAt(ctx, address, config, asked)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if r := answer.Refused; r != nil {
			return reaction{}, &problem.Error{Kind: problem.ParseKind(r.Kind), Text: r.Text, Hint: r.Hint}
		}
		return answer, nil
	}
	return reaction{}, problem.Wrap(problem.Unavailable, errors.Join(failed...), "cannot reach a control machine of the cell at %v", addresses).
		WithHint("look whether this machine can reach these addresses, and whether the clocks agree")
}

func applyAt(ctx context.Context, address string, config *tls.Config, asked question) (reaction, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	dialing, done := context.WithTimeout(ctx, handshakeTimeout)
	defer done()
	raw, err := new(net.Dialer).DialContext(dialing, "tcp", address)
	if err != nil {
		return reaction{}, err
	}
	defer raw.Close()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(dialing); err != nil {
		return reaction{}, err
	}
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := writeMessage(conn, asked); err != nil {
		return reaction{}, err
	}
	return readMessage[reaction](conn)
}
