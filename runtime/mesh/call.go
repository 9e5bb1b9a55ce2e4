package mesh

import (
	"context"

	"github.com/go-json-experiment/json"

	"pantheon/events"
	"pantheon/events/problem"
)

// call asks a host and waits for its answer.
func call[T any](ctx context.Context, m *Mesh, host events.HostID, what verb, question any) (answer T, err error) {
	content, err := json.Marshal(question)
	if err != nil {
		return answer, problem.Wrap(problem.Internal, err, "cannot ask machine %s", host)
	}
	stream, err := m.openStream(ctx, host, append([]byte{byte(what)}, content...), nil, true)
	if err != nil {
		return answer, err
	}
	stop := context.AfterFunc(ctx, func() { stream.Reset(context.Cause(ctx)) })
	defer stop()
	head, err := stream.ReadHead()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return answer, err
	}
	if len(head) > maxMessageBytes || json.Unmarshal(head, &answer) != nil {
		stream.Reset(nil)
		return answer, errHead
	}
	return answer, nil
}

// Ping wakes a DROP, here or on another host, and returns when it would serve a
// request. It is the router's port, as ServeDrop is.
func (m *Mesh) Ping(ctx context.Context, drop events.DropID, host events.HostID) error {
	if host == m.self {
		if m.options.Agent == nil {
			return errNoAgent
		}
		return m.options.Agent.Ping(ctx, drop, host)
	}
	_, err := call[struct{}](ctx, m, host, verbPing, pingRequest{drop})
	return err
}

// SiteKey asks a host for the key of a site.
func (m *Mesh) SiteKey(ctx context.Context, host events.HostID, site events.SiteID) ([]byte, error) {
	answer, err := call[keyReply](ctx, m, host, verbKey, keyRequest{site})
	return answer.Key, err
}

// Renew asks a control machine for the next certificate of this machine.
func (m *Mesh) Renew(ctx context.Context, host events.HostID, csr []byte) (Certificate, error) {
	if host == m.self {
		return m.renew(ctx, host, csr)
	}
	return call[Certificate](ctx, m, host, verbRenew, renewRequest{csr})
}

// SignBinding asks a control machine for the certificate of a DROP of this host.
func (m *Mesh) SignBinding(ctx context.Context, host events.HostID, request BindingRequest) ([]byte, error) {
	answer, err := call[Certificate](ctx, m, host, verbBinding, request)
	return answer.Certificate, err
}
