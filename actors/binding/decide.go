package binding

import (
	"reflect"
	"slices"

	"pantheon/events"
	"pantheon/events/problem"
)

// Bounds that keep a commit small; what they mean is checked where it is used.
const (
	// MaxTextBytes bounds each text of a source and of what code asks for;
	// paths end at 4,096 bytes on Linux.
	MaxTextBytes = 4096
	// MaxCodePaths bounds the protected paths that code may ask for; a site may
	// have 24.
	MaxCodePaths = 32
)

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already or its fact is known.
func Decide(s State, command Command) ([]events.Event, error) {
	if c, requesting := command.(Request); requesting {
		return request(s, c)
	}
	if !s.exists() {
		return nil, problem.New(problem.NotFound, "cannot find the binding")
	}
	switch c := command.(type) {
	case Place:
		return place(s, c)
	case Report:
		return report(s, c)
	case Lose:
		return lose(s, c)
	case Renew:
		return renew(s)
	case RequestRetirement:
		if s.Retiring {
			return nil, nil
		}
		return []events.Event{events.BindingRetirementRequested{Binding: s.Requested.Binding}}, nil
	case Retire:
		return retire(s)
	case Request: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: a binding has no such command", command)
}

func request(s State, c Request) ([]events.Event, error) {
	requested := events.BindingRequested(c)
	if s.exists() {
		if s.Requested == requested && !s.Retiring {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot request binding %s: it exists already", c.Binding).WithHint("request it with a new id")
	}
	if err := check(c); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot request binding %.40q", c.Binding)
	}
	return []events.Event{requested}, nil
}

func check(c Request) error {
	if _, err := events.ParseStreamID(c.Binding.Stream().String()); err != nil {
		return err
	}
	if _, err := events.ParseSiteID(string(c.Spec.Site)); err != nil {
		return err
	}
	switch {
	case !c.Spec.Kind.Known():
		return problem.New(problem.Invalid, "its kind %.40q is not known", c.Spec.Kind)
	case c.Spec.MemoryMiB < 0:
		return problem.New(problem.Invalid, "it asks for %d MiB of memory", c.Spec.MemoryMiB)
	case c.Spec.Kind == events.CodeServer && c.Spec.Environment != "":
		return problem.New(problem.Invalid, "a code server belongs to a site, not to environment %s", c.Spec.Environment)
	case c.Spec.Kind == events.CodeServer:
		return checkTexts(c.Spec.Source.Location, c.Spec.Source.Branch)
	case c.Spec.Source != (events.CodeSource{}):
		return problem.New(problem.Invalid, "only a code server has a source")
	}
	_, err := events.ParseEnvironmentID(string(c.Spec.Environment))
	if err == nil && c.Spec.Environment.Site() != c.Spec.Site {
		err = problem.New(problem.Invalid, "environment %s is not of site %s", c.Spec.Environment, c.Spec.Site)
	}
	return err
}

func place(s State, c Place) ([]events.Event, error) {
	switch {
	case s.Retired:
		return nil, problem.New(problem.Conflict, "cannot place binding %s: it is retired", s.Requested.Binding)
	case s.Host == c.Host && s.Host != "":
		return nil, nil
	case s.Host != "":
		return nil, problem.New(problem.Conflict, "cannot place binding %s on host %s: its data is on host %s", s.Requested.Binding, c.Host, s.Host)
	}
	if _, err := events.ParseHostID(string(c.Host)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot place binding %s", s.Requested.Binding)
	}
	return []events.Event{events.BindingPlaced{Binding: s.Requested.Binding, Host: c.Host}}, nil
}

func retire(s State) ([]events.Event, error) {
	switch {
	case s.Retired:
		return nil, nil
	case !s.Retiring:
		return nil, problem.New(problem.Conflict, "cannot retire binding %s: its retirement was not requested", s.Requested.Binding)
	case s.Host != "" && !s.Lost:
		return nil, problem.New(problem.Conflict, "cannot retire binding %s: host %s has not reported that it is gone", s.Requested.Binding, s.Host)
	}
	return []events.Event{events.BindingRetired{Binding: s.Requested.Binding}}, nil
}

func lose(s State, c Lose) ([]events.Event, error) {
	switch {
	case s.Retired, s.Lost && s.Host == c.Host:
		return nil, nil
	case s.Host != c.Host || c.Host == "":
		return nil, problem.New(problem.Conflict, "cannot give up binding %s with host %s: its data is not there", s.Requested.Binding, c.Host)
	}
	spec := s.Requested.Spec
	return []events.Event{events.BindingLost{Binding: s.Requested.Binding, Host: c.Host, Kind: spec.Kind, Site: spec.Site, Environment: spec.Environment}}, nil
}

func renew(s State) ([]events.Event, error) {
	switch {
	case s.Renewing:
		return nil, nil
	case !s.Lost || s.Retiring:
		return nil, problem.New(problem.Conflict, "cannot have another one in the place of binding %s: it was not lost", s.Requested.Binding)
	}
	return []events.Event{events.BindingRenewalRequested{Binding: s.Requested.Binding}}, nil
}

// report takes a fact from the binding's host, gives nothing for one that is
// known, and refuses one from any other host.
func report(s State, c Report) ([]events.Event, error) {
	binding, host, known := subject(c.Fact)
	switch {
	case !known:
		return nil, problem.New(problem.Invalid, "cannot take the report: %s is no fact about a binding", events.NameOf(c.Fact))
	case binding != s.Requested.Binding || host != c.Host:
		return nil, problem.New(problem.Invalid, "cannot take the report: %s is about binding %.40q on host %.40q, it was sent to binding %s by host %.40q", events.NameOf(c.Fact), binding, host, s.Requested.Binding, c.Host)
	case s.Retired, s.Lost:
		return nil, nil // the last word is in
	case s.Host != c.Host && s.Host != "" && isGone(c.Fact):
		return nil, nil // what it should not have had
	case s.Host != c.Host || c.Host == "":
		return nil, problem.New(problem.Conflict, "cannot take %s from host %s: it does not hold binding %s", events.NameOf(c.Fact), c.Host, s.Requested.Binding)
	}
	switch e := c.Fact.(type) {
	case events.BindingProvisioned:
		return provisioned(s, e)
	case events.BindingFailed:
		e.Reason = events.Reason(e.Reason)
		if e == s.Failed {
			return nil, nil
		}
		return []events.Event{e}, nil
	case events.BindingRetired:
		if !s.Retiring {
			return nil, problem.New(problem.Conflict, "cannot retire binding %s: its retirement was not requested", s.Requested.Binding)
		}
		return []events.Event{e}, nil
	}
	return nil, nil
}

func isGone(fact events.Event) bool {
	_, gone := fact.(events.BindingRetired)
	return gone
}

func provisioned(s State, e events.BindingProvisioned) ([]events.Event, error) {
	if e.Code != nil {
		code := *e.Code
		if len(code.ProtectedWebPaths) > MaxCodePaths {
			return nil, problem.New(problem.Invalid, "cannot take the report: the code asks for %d protected paths, %d are allowed", len(code.ProtectedWebPaths), MaxCodePaths)
		}
		if err := checkTexts(append([]string{code.Commit, code.PHPVersion, code.FileMount}, code.ProtectedWebPaths...)...); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot take the report about the code")
		}
		code.ProtectedWebPaths = slices.Clone(code.ProtectedWebPaths)
		e.Code = &code
	}
	if s.Provisioned != nil && s.Failed == (events.BindingFailed{}) && reflect.DeepEqual(*s.Provisioned, e) {
		return nil, nil
	}
	return []events.Event{e}, nil
}

func checkTexts(texts ...string) error {
	for _, text := range texts {
		if err := events.CheckText("a text", text, MaxTextBytes); err != nil {
			return err
		}
	}
	return nil
}

// subject says which binding and host a fact is about.
func subject(fact events.Event) (binding events.BindingID, host events.HostID, known bool) {
	switch e := fact.(type) {
	case events.BindingProvisioned:
		return e.Binding, e.Host, true
	case events.BindingFailed:
		return e.Binding, e.Host, true
	case events.BindingRetired:
		return e.Binding, e.Host, true
	}
	return "", "", false
}
