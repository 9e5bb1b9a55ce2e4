package agent

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/drop"
	"pantheon/runtime/identity"
)

// Certifier signs the client certificates of this host's DROPs with the CA of
// the cell, which it gives with them; both in PEM.
type Certifier interface {
	SignBinding(ctx context.Context, csr []byte, drop events.DropID, environment events.EnvironmentID) (certificate, authority []byte, err error)
}

// runCertificates keeps $HOME/certs of every DROP of this host in force,
// awake or not, until ctx ends. No DROP waits for it but at its first
// preparation: an application without certificate misses the services that want
// one, and nothing else.
func (a *Agent) runCertificates(ctx context.Context) error {
	if a.options.Certifier == nil {
		return nil
	}
	ticker := time.NewTicker(certificatePause)
	defer ticker.Stop()
	for {
		for _, e := range a.allEntries() {
			err := a.certify(ctx, e)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				a.logger.Warn("cannot renew the certificate of a DROP; it is tried again", "drop", e.id, "in", certificatePause, "error", err)
			}
			if problem.KindOf(err) == problem.Unavailable {
				break // nobody signs now: not for the others either
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// certifyFirst is certify for a DROP that has just been prepared.
func (a *Agent) certifyFirst(ctx context.Context, e *entry) {
	if a.options.Certifier == nil {
		return
	}
	if err := a.certify(ctx, e); err != nil {
		a.logger.Warn("a DROP has no certificate yet; it is tried again", "drop", e.id, "in", certificatePause, "error", err)
	}
}

// certify gives a DROP its next certificate, if it is time. Until the DROP is
// prepared for the first time it has no folder for one.
func (a *Agent) certify(ctx context.Context, e *entry) error {
	now := time.Now()
	if now.Unix() < e.certifyAt.Load() || e.dismissed.Load() {
		return nil
	}
	paths := drop.Paths{Drop: e.id, Dir: a.folder(e.id)}
	made, err := paths.CertifiedAt()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if due := made.Add(identity.BindingLifetime / 2); now.Before(due) && !made.After(now) {
		e.certifyAt.Store(due.Unix())
		return nil
	}
	spec := e.spec.Load()
	files, err := a.newCertificate(ctx, e.id, spec.Environment)
	if err != nil {
		return err
	}
	e.mu.Lock() // the folder stays while it is written to
	defer e.mu.Unlock()
	if err := paths.Certify(spec.UID, files); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (a *Agent) newCertificate(ctx context.Context, id events.DropID, environment events.EnvironmentID) (files identity.BindingFiles, err error) {
	ctx, cancel := context.WithTimeout(ctx, certificateTimeout)
	defer cancel()
	request, err := identity.NewRequest()
	if err != nil {
		return files, err
	}
	certificate, authority, err := a.options.Certifier.SignBinding(ctx, request.CSR, id, environment)
	if err != nil {
		return files, err
	}
	return request.BindingFiles(certificate, authority)
}
