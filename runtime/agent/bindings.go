package agent

import (
	"context"
	"time"

	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/runtime/code"
)

// reconcileBinding brings one binding to what the stream says.
func (a *Agent) reconcileBinding(ctx context.Context, id events.BindingID) error {
	spec, wanted, dismissed := a.desiredBinding(id)
	var err error
	switch {
	case wanted:
		err = a.provideBinding(ctx, id, spec)
	case dismissed:
		err = a.removeBinding(ctx, id, spec)
	}
	return err
}

func (a *Agent) provideBinding(ctx context.Context, id events.BindingID, spec events.BindingSpec) error {
	marker, known, err := a.markers.binding(id)
	if err != nil {
		return err
	}
	if known && marker.Reported {
		return nil
	}
	if err := a.markers.setBinding(id, bindingMarker{Spec: spec}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, provisionTimeout)
	defer cancel()
	facts, err := a.provision(ctx, id, spec)
	if err != nil {
		return a.reportBindingFailure(ctx, id, err)
	}
	fact := events.BindingProvisioned{Binding: id, Host: a.options.Host, Code: facts}
	if err := a.settled(ctx, id.Stream(), fact); err != nil {
		return err
	}
	return a.markers.setBinding(id, bindingMarker{Spec: spec, Reported: true})
}

// provision does the deed; each can be repeated.
func (a *Agent) provision(ctx context.Context, id events.BindingID, spec events.BindingSpec) (*events.CodeFacts, error) {
	switch spec.Kind {
	case events.CodeServer:
		return a.importCode(ctx, spec)
	case events.DBServer:
		key, err := a.options.Keys.Site(spec.Site)
		if err != nil {
			return nil, err
		}
		if err := a.options.Database.Ensure(ctx); err != nil {
			return nil, err
		}
		return nil, a.options.Database.Provision(ctx, id, key.Derive(databasePassword, string(id), spec.Credential))
	case events.FileServer:
		return nil, a.options.Files.Create(spec.Environment, spec.UID, spec.Framework)
	case events.CacheServer, events.IndexServer:
	}
	return nil, errNoSuchService(spec.Kind)
}

func (a *Agent) importCode(ctx context.Context, spec events.BindingSpec) (*events.CodeFacts, error) {
	// In clear only here: what the agent keeps holds the sealed form.
	source := events.CodeSource{Location: a.options.Open(spec.Source.Location), Branch: a.options.Open(spec.Source.Branch)}
	imported, err := a.options.Code.Import(ctx, spec.Site, source)
	if err != nil {
		return nil, err
	}
	settings, err := a.options.Code.Settings(ctx, spec.Site, imported.Commit)
	if err != nil {
		return nil, err
	}
	return &events.CodeFacts{
		Commit:            imported.Commit,
		PHPVersion:        a.installedPHP(settings.PHPVersion),
		WebDocroot:        settings.WebDocroot,
		FileMount:         settings.FileMount,
		ProtectedWebPaths: settings.ProtectedWebPaths,
	}, nil
}

// reportBindingFailure says why; an error that a retry cannot mend is final
// and ends the attempts.
func (a *Agent) reportBindingFailure(ctx context.Context, id events.BindingID, cause error) error {
	final := code.Final(cause)
	fact := events.BindingFailed{Binding: id, Host: a.options.Host, Reason: events.Reason(withHint(cause)), Final: final}
	if !final {
		fact.RetryAfterSeconds = int64(a.nextDelay(bindingKey(id)) / time.Second)
	}
	if err := a.settled(ctx, id.Stream(), fact); err != nil {
		return err
	}
	if final {
		return nil
	}
	return cause
}

// removeBinding removes the service with its data, then reports it.
func (a *Agent) removeBinding(ctx context.Context, id events.BindingID, spec events.BindingSpec) error {
	var err error
	switch spec.Kind {
	case events.CodeServer:
		err = a.options.Code.Remove(ctx, spec.Site)
	case events.DBServer:
		if err = a.options.Database.Ensure(ctx); err == nil {
			err = a.options.Database.Drop(ctx, id)
		}
	case events.FileServer:
		err = a.options.Files.Remove(spec.Environment)
	case events.CacheServer, events.IndexServer:
	}
	if err != nil {
		return err
	}
	if err := a.settled(ctx, id.Stream(), events.BindingRetired{Binding: id, Host: a.options.Host}); err != nil {
		return err
	}
	a.forgetDismissed(id)
	return a.markers.removeBinding(id)
}

// withHint gives an error's words with the next thing to do: whoever reads the
// fact has no error to ask.
func withHint(err error) string {
	if hint := problem.HintOf(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}
