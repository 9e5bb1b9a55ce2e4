package drop

import (
	"pantheon/events"
	"pantheon/events/problem"
)

// Decide gives the events that carry out the command, none where its wish is
// fulfilled already or its fact is known.
func Decide(s State, command Command) ([]events.Event, error) {
	if c, requesting := command.(Request); requesting {
		return request(s, c)
	}
	if !s.exists() {
		return nil, problem.New(problem.NotFound, "cannot find the DROP").WithHint("pantheon drop list")
	}
	switch c := command.(type) {
	case Place:
		return place(s, c)
	case Displace:
		if s.Host != c.Host || s.Host == "" || s.Retired {
			return nil, nil // it is not there
		}
		return []events.Event{events.DropDisplaced{
			Drop: s.Requested.Drop, Environment: s.Requested.Environment, Host: c.Host, Reason: events.Reason(c.Reason),
		}}, nil
	case RequestMove:
		return requestMove(s, c)
	case Report:
		return report(s, c)
	case RequestRetirement:
		if s.Retiring {
			return nil, nil
		}
		return []events.Event{events.DropRetirementRequested{Drop: s.Requested.Drop, Environment: s.Requested.Environment}}, nil
	case Retire:
		return retire(s)
	case Request: // above
	}
	return nil, problem.New(problem.Invalid, "cannot carry out %T: a DROP has no such command", command)
}

func request(s State, c Request) ([]events.Event, error) {
	requested := events.DropRequested(c)
	if s.exists() {
		if s.Requested == requested && !s.Retiring {
			return nil, nil
		}
		return nil, problem.New(problem.Conflict, "cannot request DROP %s: it exists already", c.Drop).WithHint("request it with a new id")
	}
	if _, err := events.ParseDropID(string(c.Drop)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot request the DROP")
	}
	if _, err := events.ParseEnvironmentID(string(c.Environment)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot request DROP %s", c.Drop)
	}
	if c.MemoryMiB <= 0 {
		return nil, problem.New(problem.Invalid, "cannot request DROP %s: %d MiB of memory", c.Drop, c.MemoryMiB)
	}
	return []events.Event{requested}, nil
}

func place(s State, c Place) ([]events.Event, error) {
	switch {
	case s.Retiring:
		return nil, problem.New(problem.Conflict, "cannot place DROP %s: it is being retired", s.Requested.Drop)
	case s.Host == c.Host && s.Host != "":
		return nil, nil
	case s.Host != "":
		return nil, problem.New(problem.Conflict, "cannot place DROP %s on host %s: it is on host %s", s.Requested.Drop, c.Host, s.Host)
	}
	if _, err := events.ParseHostID(string(c.Host)); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "cannot place DROP %s", s.Requested.Drop)
	}
	return []events.Event{events.DropPlaced{Drop: s.Requested.Drop, Environment: s.Requested.Environment, Host: c.Host}}, nil
}

func requestMove(s State, c RequestMove) ([]events.Event, error) {
	switch {
	case s.Retiring:
		return nil, problem.New(problem.Conflict, "cannot move DROP %s: it is being retired", s.Requested.Drop)
	case s.Host == "":
		return nil, problem.New(problem.Conflict, "cannot move DROP %s: it has no host yet", s.Requested.Drop)
	case s.Moving && (c.To == "" || c.To == s.MovingTo):
		return nil, nil
	case s.Moving:
		return nil, problem.New(problem.Conflict, "cannot move DROP %s to host %s: another one takes its place already", s.Requested.Drop, c.To).
			WithHint("move that one when it is there: pantheon drop list")
	case c.To == s.Host:
		return nil, problem.New(problem.Conflict, "cannot move DROP %s to host %s: it is there", s.Requested.Drop, c.To)
	}
	if c.To != "" {
		if _, err := events.ParseHostID(string(c.To)); err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot move DROP %s", s.Requested.Drop)
		}
	}
	return []events.Event{events.DropMoveRequested{
		Drop: s.Requested.Drop, Environment: s.Requested.Environment, Host: s.Host, To: c.To, Reason: events.Reason(c.Reason),
	}}, nil
}

func retire(s State) ([]events.Event, error) {
	switch {
	case s.Retired:
		return nil, nil
	case s.Retiring:
		return []events.Event{events.DropRetired{Drop: s.Requested.Drop, Environment: s.Requested.Environment}}, nil
	}
	return nil, problem.New(problem.Conflict, "cannot retire DROP %s: its retirement was not requested", s.Requested.Drop)
}
