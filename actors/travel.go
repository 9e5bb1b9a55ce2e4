package actors

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"pantheon/actors/binding"
	"pantheon/actors/drop"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
)

// Request is a command on its way to a machine that decides.
type Request struct {
	Meta    events.Meta
	To      events.StreamID
	Command any
}

// traveller is one line of the table of commands that travel.
type traveller struct {
	name    string
	kind    events.Kind // of the actors that it is for
	command reflect.Type
	encode  func(command any) (jsontext.Value, error)
	decode  func(text jsontext.Value) (any, error)
}

// travellers is THE table of the commands that may travel between machines: what
// a machine says that decides nothing itself. A name stays what it is: machines
// of two versions are in one cell while it is upgraded.
var travellers = []traveller{
	travels[host.Register](events.KindHost, "host.Register"),
	travels[host.ReportAddresses](events.KindHost, "host.ReportAddresses"),
	travels[host.ReportEndpoint](events.KindHost, "host.ReportEndpoint"),
	travels[host.TakeRoles](events.KindHost, "host.TakeRoles"),
	travels[host.ReportSoftware](events.KindHost, "host.ReportSoftware"),
	reports(events.KindDrop, "drop.Report",
		func(r drop.Report) (events.HostID, events.Event) { return r.Host, r.Fact },
		func(host events.HostID, fact events.Event) drop.Report { return drop.Report{Host: host, Fact: fact} }),
	reports(events.KindBinding, "binding.Report",
		func(r binding.Report) (events.HostID, events.Event) { return r.Host, r.Fact },
		func(host events.HostID, fact events.Event) binding.Report {
			return binding.Report{Host: host, Fact: fact}
		}),
}

var strict = json.RejectUnknownMembers(true)

// travels makes the line of a command that is its own wire form.
func travels[C any](kind events.Kind, name string) traveller {
	return traveller{name, kind, reflect.TypeFor[C](),
		func(command any) (jsontext.Value, error) { return json.Marshal(command) },
		func(text jsontext.Value) (any, error) {
			var command C
			err := json.Unmarshal(text, &command, strict)
			return command, err
		}}
}

// travellingReport is the wire form of a report; the fact is that of the events'
// codec.
type travellingReport struct {
	Host events.HostID   `json:"host"`
	Fact travellingEvent `json:"fact"`
}

type travellingEvent struct {
	Name    string         `json:"name"`
	Payload jsontext.Value `json:"payload"`
}

func reports[C any](kind events.Kind, name string, open func(C) (events.HostID, events.Event), seal func(events.HostID, events.Event) C) traveller {
	return traveller{name, kind, reflect.TypeFor[C](),
		func(command any) (jsontext.Value, error) {
			of, fact := open(command.(C))
			wire, err := encodeEvent(fact)
			if err != nil {
				return nil, err
			}
			return json.Marshal(travellingReport{of, wire})
		},
		func(text jsontext.Value) (any, error) {
			var wire travellingReport
			if err := json.Unmarshal(text, &wire, strict); err != nil {
				return nil, err
			}
			fact, err := decodeEvent(wire.Fact)
			return seal(wire.Host, fact), err
		}}
}

func encodeEvent(event events.Event) (wire travellingEvent, err error) {
	wire.Name = events.NameOf(event)
	wire.Payload, err = json.Marshal(event)
	return wire, err
}

func decodeEvent(wire travellingEvent) (events.Event, error) {
	event, err := events.DecodePayload(wire.Name, wire.Payload)
	if _, unknown := event.(events.Unknown); unknown {
		return nil, fmt.Errorf("event %.80q is not known here", wire.Name)
	}
	return event, err
}

// travellingRequest is the wire form of a Request.
type travellingRequest struct {
	Meta    events.Meta    `json:"meta"`
	To      string         `json:"to"`
	Command string         `json:"command"`
	Body    jsontext.Value `json:"body"`
}

// EncodeRequest gives a request's wire form.
func EncodeRequest(request Request) ([]byte, error) {
	for _, t := range travellers {
		if t.command != reflect.TypeOf(request.Command) {
			continue
		}
		body, err := t.encode(request.Command)
		if err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot send %s to %s", t.name, request.To)
		}
		text, err := json.Marshal(travellingRequest{request.Meta, request.To.String(), t.name, body})
		if err == nil && len(text) > MaxRequestBytes {
			err = fmt.Errorf("it has %d bytes, and may have %d", len(text), MaxRequestBytes)
		}
		if err != nil {
			return nil, problem.Wrap(problem.Invalid, err, "cannot send %s to %s", t.name, request.To)
		}
		return text, nil
	}
	return nil, problem.New(problem.Unsupported, "cannot send %T to %s: it is no command that travels between machines", request.Command, request.To).
		WithHint("a control machine takes it")
}

// DecodeRequest is the inverse of EncodeRequest. It takes nothing that it does
// not know in whole.
func DecodeRequest(text []byte) (Request, error) {
	if len(text) > MaxRequestBytes {
		return Request{}, problem.New(problem.Invalid, "cannot take the command: it has %d bytes, and may have %d", len(text), MaxRequestBytes)
	}
	var wire travellingRequest
	if err := json.Unmarshal(text, &wire, strict); err != nil {
		return Request{}, problem.Wrap(problem.Invalid, err, "cannot read the command")
	}
	to, err := events.ParseStreamID(wire.To)
	if err != nil {
		return Request{}, problem.Wrap(problem.Invalid, err, "cannot read whom the command is for")
	}
	for _, t := range travellers {
		if t.name != wire.Command {
			continue
		}
		if t.kind != to.Kind {
			return Request{}, problem.New(problem.Invalid, "cannot take %s for %s: it is for a %s", t.name, to, t.kind)
		}
		command, err := t.decode(wire.Body)
		if err != nil {
			return Request{}, problem.Wrap(problem.Invalid, err, "cannot read %s for %s", t.name, to)
		}
		return Request{wire.Meta, to, command}, nil
	}
	return Request{}, problem.New(problem.Denied, "cannot take %.80q: it is no command that travels between machines", wire.Command).
		WithHint("what people want is asked of the API, which asks who they are")
}

// travellingAnswer is the wire form of a receipt or of an error.
type travellingAnswer struct {
	Kind     string            `json:"kind,omitzero"`
	Error    string            `json:"error,omitzero"`
	Hint     string            `json:"hint,omitzero"`
	Revision events.Revision   `json:"revision,omitzero"`
	Position events.Position   `json:"position,omitzero"`
	Hash     string            `json:"hash,omitzero"`
	Repeated bool              `json:"repeated,omitzero"`
	Events   []travellingEvent `json:"events,omitzero"`
}

// EncodeAnswer gives the wire form of a command's end.
func EncodeAnswer(receipt events.Receipt, err error) []byte {
	var wire travellingAnswer
	if err == nil {
		wire = travellingAnswer{Revision: receipt.Tip.Revision, Position: receipt.Tip.Position, Hash: receipt.Tip.Hash.String(), Repeated: receipt.Repeated}
		for _, event := range receipt.Events {
			var one travellingEvent
			if one, err = encodeEvent(event); err != nil {
				break
			}
			wire.Events = append(wire.Events, one)
		}
	}
	if err != nil {
		wire = travellingAnswer{Kind: problem.KindOf(err).String(), Error: bounded(err.Error()), Hint: bounded(problem.HintOf(err))}
	}
	text, err := json.Marshal(wire, jsontext.AllowInvalidUTF8(true)) // an error may quote what it was sent
	if err != nil {
		text = []byte(`{"kind":"internal","error":"internal error: the answer cannot be written"}`)
	}
	return text
}

func bounded(text string) string { return text[:min(len(text), maxAnswerTextBytes)] }

// DecodeAnswer is the inverse of EncodeAnswer. An answer that cannot be read is
// problem.Unavailable: another machine may give one that can.
func DecodeAnswer(to events.StreamID, text []byte) (events.Receipt, error) {
	var wire travellingAnswer
	err := json.Unmarshal(text, &wire)
	if err == nil && wire.Error != "" {
		return events.Receipt{}, &problem.Error{Kind: problem.ParseKind(wire.Kind), Text: wire.Error, Hint: wire.Hint}
	}
	receipt := events.Receipt{Stream: to, Tip: events.Tip{Revision: wire.Revision, Position: wire.Position}, Repeated: wire.Repeated}
	var hashErr error
	receipt.Tip.Hash, hashErr = events.ParseHash(wire.Hash)
	if err = errors.Join(err, hashErr); err != nil {
		return events.Receipt{}, problem.Wrap(problem.Unavailable, err, "cannot read what became of the command for %s", to)
	}
	for _, one := range wire.Events {
		event, err := events.DecodePayload(one.Name, one.Payload)
		if err != nil {
			return events.Receipt{}, problem.Wrap(problem.Unavailable, err, "cannot read what became of the command for %s", to)
		}
		receipt.Events = append(receipt.Events, event)
	}
	return receipt, nil
}
