package main

import (
	"context"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/mesh"
)

// bindingCertifier has the certificates of this machine's DROPs signed: here,
// where the CA is, by a control machine elsewhere.
type bindingCertifier struct{ *platform }

func (b bindingCertifier) SignBinding(ctx context.Context, csr []byte, drop events.DropID, environment events.EnvironmentID) (certificate, authority []byte, err error) {
	if b.authority != nil {
		certificate, err = b.authority.SignBinding(csr, drop, environment, time.Now())
		return certificate, b.authority.Certificate(), err
	}
	request := mesh.BindingRequest{Drop: drop, Environment: environment, CSR: csr}
	certificate, err = askControl(ctx, b.cell, func(ctx context.Context, control events.HostID) ([]byte, error) {
		return b.cell.mesh.SignBinding(ctx, control, request)
	})
	return certificate, b.cell.node.Authority(), err
}

// bindingSigner signs those of other machines, each for the DROPs it holds.
type bindingSigner struct{ *platform }

func (b bindingSigner) SignBinding(ctx context.Context, from events.HostID, request mesh.BindingRequest) ([]byte, error) {
	drop, known := b.caughtUp(ctx).Drop(request.Drop)
	if !known || drop.Host != from || drop.Environment != request.Environment {
		return nil, problem.New(problem.Denied, "host %s holds no DROP %s of environment %s", from, request.Drop, request.Environment)
	}
	return b.authority.SignBinding(request.CSR, request.Drop, request.Environment, time.Now())
}
