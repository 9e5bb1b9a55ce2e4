package events

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// # Wire form of a commit
//
// Lines of UTF-8, each ended by a line feed. The first is the header, a JSON
// object (type header); each further line is one event:
//
//	<event name> SP <version> SP <payload: one JSON object>
//
// JSON as written here holds no line feed, so a reader splits before it
// parses. The commit's hash is SHA-256 over all these bytes, and the header
// names the hash of the commit before it in its stream: changing, removing or
// reordering a commit breaks the chain.

// wireFormat is the version of the form above; a reader refuses others.
const wireFormat = 1

type header struct {
	Format   int      `json:"format"`
	Stream   string   `json:"stream"`
	Revision Revision `json:"revision"`
	Previous string   `json:"previous"` // hex; empty at revision 1
	Meta
}

// row is one line of the codec table.
type row struct {
	name    string
	version uint16
	kind    Kind // the only kind of stream it stands in
	typ     reflect.Type
	// decode reads a payload of this version and gives today's type.
	decode func(payload []byte) (Event, error)
}

// current makes the row of a type's newest version.
func current[T Event](kind Kind, name string, version uint16) row {
	return row{name, version, kind, reflect.TypeFor[T](), func(payload []byte) (Event, error) {
		var event T
		if err := json.Unmarshal(payload, &event, json.RejectUnknownMembers(true)); err != nil {
			return nil, err
		}
		return event, nil
	}}
}

// table is THE table: event name ↔ version ↔ Go type. Lines are added, never
// changed; an old version keeps its line with a decode that is its upcaster.
var table = []row{
	current[SiteCreated](KindSite, "SiteCreated", 1),
	current[SiteActivated](KindSite, "SiteActivated", 1),
	current[SiteDeletionRequested](KindSite, "SiteDeletionRequested", 1),
	current[SiteDeleted](KindSite, "SiteDeleted", 1),

	current[EnvironmentCreated](KindEnvironment, "EnvironmentCreated", 1),
	current[EnvironmentSettingsChanged](KindEnvironment, "EnvironmentSettingsChanged", 1),
	current[CodeDeployed](KindEnvironment, "CodeDeployed", 1),
	current[SeedRotated](KindEnvironment, "SeedRotated", 1),
	current[EnvironmentDeletionRequested](KindEnvironment, "EnvironmentDeletionRequested", 1),
	current[EnvironmentDeleted](KindEnvironment, "EnvironmentDeleted", 1),

	current[DropRequested](KindDrop, "DropRequested", 1),
	current[DropPlaced](KindDrop, "DropPlaced", 1),
	current[DropDisplaced](KindDrop, "DropDisplaced", 1),
	current[DropReady](KindDrop, "DropReady", 1),
	current[DropPrepareFailed](KindDrop, "DropPrepareFailed", 1),
	current[DropAwoke](KindDrop, "DropAwoke", 1),
	current[DropSlept](KindDrop, "DropSlept", 1),
	current[DropCrashed](KindDrop, "DropCrashed", 1),
	current[DropStartFailed](KindDrop, "DropStartFailed", 1),
	current[DropRetirementRequested](KindDrop, "DropRetirementRequested", 1),
	current[DropRetired](KindDrop, "DropRetired", 1),

	current[HostRegistered](KindHost, "HostRegistered", 1),
	current[HostLost](KindHost, "HostLost", 1),
	current[HostReturned](KindHost, "HostReturned", 1),
	current[DropAdmitted](KindHost, "DropAdmitted", 1),
	current[DropSpecChanged](KindHost, "DropSpecChanged", 1),
	current[DropDismissed](KindHost, "DropDismissed", 1),
	current[BindingAdmitted](KindHost, "BindingAdmitted", 1),
	current[BindingDismissed](KindHost, "BindingDismissed", 1),
	current[DropSleepOrdered](KindHost, "DropSleepOrdered", 1),
	current[DropWakeOrdered](KindHost, "DropWakeOrdered", 1),

	current[BindingRequested](KindBinding, "BindingRequested", 1),
	current[BindingPlaced](KindBinding, "BindingPlaced", 1),
	current[BindingProvisioned](KindBinding, "BindingProvisioned", 1),
	current[BindingFailed](KindBinding, "BindingFailed", 1),
	current[BindingRetirementRequested](KindBinding, "BindingRetirementRequested", 1),
	current[BindingRetired](KindBinding, "BindingRetired", 1),

	current[WorkflowStarted](KindWorkflow, "WorkflowStarted", 1),
	current[WorkflowStepDone](KindWorkflow, "WorkflowStepDone", 1),
	current[WorkflowStepFailed](KindWorkflow, "WorkflowStepFailed", 1),
	current[WorkflowSucceeded](KindWorkflow, "WorkflowSucceeded", 1),
	current[WorkflowFailed](KindWorkflow, "WorkflowFailed", 1),

	current[AccountRegistered](KindAccount, "AccountRegistered", 1),
	current[TokenIssued](KindAccount, "TokenIssued", 1),
	current[TokenRevoked](KindAccount, "TokenRevoked", 1),
	current[UpstreamAdded](KindAccount, "UpstreamAdded", 1),
	current[UpstreamRemoved](KindAccount, "UpstreamRemoved", 1),

	current[NameClaimed](KindName, "NameClaimed", 1),
	current[NameReleased](KindName, "NameReleased", 1),

	current[ZoneAdded](KindZone, "ZoneAdded", 1),
	current[ZoneConfigured](KindZone, "ZoneConfigured", 1),
	current[ZoneRemoved](KindZone, "ZoneRemoved", 1),
	current[RecordsAdded](KindZone, "RecordsAdded", 1),
	current[RecordsRemoved](KindZone, "RecordsRemoved", 1),
	current[ChallengePresented](KindZone, "ChallengePresented", 1),
	current[ChallengeCleared](KindZone, "ChallengeCleared", 1),
	current[SecondaryAdded](KindZone, "SecondaryAdded", 1),
	current[SecondaryRemoved](KindZone, "SecondaryRemoved", 1),
	current[ZoneKeyIntroduced](KindZone, "ZoneKeyIntroduced", 1),
	current[ZoneKeyActivated](KindZone, "ZoneKeyActivated", 1),
	current[ZoneKeyRetired](KindZone, "ZoneKeyRetired", 1),
	current[ZoneKeyRemoved](KindZone, "ZoneKeyRemoved", 1),

	current[HostAddressesChanged](KindHost, "HostAddressesChanged", 1),

	current[SiteForgettingRequested](KindSite, "SiteForgettingRequested", 1),
	current[SiteForgotten](KindSite, "SiteForgotten", 1),
	current[AccountForgettingRequested](KindAccount, "AccountForgettingRequested", 1),
	current[AccountForgotten](KindAccount, "AccountForgotten", 1),

	current[HostRolesChanged](KindHost, "HostRolesChanged", 1),
	current[HostDrainRequested](KindHost, "HostDrainRequested", 1),
	current[HostDrainEnded](KindHost, "HostDrainEnded", 1),
	current[HostRemoved](KindHost, "HostRemoved", 1),
	current[DropMoveRequested](KindDrop, "DropMoveRequested", 1),
	current[HostInvited](KindAccount, "HostInvited", 1),
	current[HostInvitationUsed](KindAccount, "HostInvitationUsed", 1),
	current[HostInvitationRevoked](KindAccount, "HostInvitationRevoked", 1),

	current[ZoneResigned](KindZone, "ZoneResigned", 1),
	current[ZoneSigningDecided](KindZone, "ZoneSigningDecided", 1),

	current[HostEndpointChanged](KindHost, "HostEndpointChanged", 1),

	current[HostWrittenOff](KindHost, "HostWrittenOff", 1),
	current[BindingLost](KindBinding, "BindingLost", 1),
	current[BindingRenewalRequested](KindBinding, "BindingRenewalRequested", 1),

	current[HostSoftwareChanged](KindHost, "HostSoftwareChanged", 1),
}

type nameVersion struct {
	name    string
	version uint16
}

var byName, byType = indexTable()

func indexTable() (map[nameVersion]*row, map[reflect.Type]*row) {
	names := make(map[nameVersion]*row, len(table))
	types := make(map[reflect.Type]*row, len(table))
	for i := range table {
		r := &table[i]
		names[nameVersion{r.name, r.version}] = r
		// The newest version of a type is the one that is written.
		if old, known := types[r.typ]; !known || old.version < r.version {
			types[r.typ] = r
		}
	}
	return names, types
}

// Names lists every event name of the codec table once, in table order.
func Names() []string {
	var names []string
	seen := make(map[string]bool, len(table))
	for _, r := range table {
		if !seen[r.name] {
			seen[r.name] = true
			names = append(names, r.name)
		}
	}
	return names
}

// NameOf gives an event's name on the wire.
func NameOf(event Event) string {
	if unknown, ok := event.(Unknown); ok {
		return unknown.Name
	}
	if r, known := byType[reflect.TypeOf(event)]; known {
		return r.name
	}
	return fmt.Sprintf("%T", event)
}

// Encode gives the wire form of a commit that follows previous in its stream,
// and the hash over it. The commit is checked: every event is of the table and
// belongs to the stream's kind, and all bounds hold.
func Encode(commit Commit, previous Tip) ([]byte, Hash, error) {
	if err := checkCommit(commit); err != nil {
		return nil, Hash{}, fmt.Errorf("cannot encode commit of %s: %w", commit.Stream, err)
	}
	head := header{Format: wireFormat, Stream: commit.Stream.String(), Revision: previous.Revision + 1, Meta: commit.Meta}
	if previous.Revision > 0 {
		head.Previous = previous.Hash.String()
	}
	head.Time = head.Time.UTC()
	var out bytes.Buffer
	if err := writeLine(&out, head); err != nil {
		return nil, Hash{}, fmt.Errorf("cannot encode header of commit of %s: %w", commit.Stream, err)
	}
	for _, event := range commit.Events {
		if err := encodeEvent(&out, commit.Stream, event); err != nil {
			return nil, Hash{}, err
		}
	}
	if out.Len() > MaxCommitBytes {
		return nil, Hash{}, fmt.Errorf("cannot encode commit of %s: %d bytes, %d are allowed", commit.Stream, out.Len(), MaxCommitBytes)
	}
	return out.Bytes(), sha256.Sum256(out.Bytes()), nil
}

// checkCommit refuses what a reader would refuse, before it is written.
func checkCommit(commit Commit) error {
	if n := len(commit.Events); n == 0 || n > MaxCommitEvents {
		return fmt.Errorf("it has %d events, 1 to %d are allowed", n, MaxCommitEvents)
	}
	if n := len(commit.Meta.Command); n > MaxCommandIDBytes {
		return fmt.Errorf("the command id has %d bytes, %d are allowed", n, MaxCommandIDBytes)
	}
	_, err := ParseStreamID(commit.Stream.String())
	return err
}

func encodeEvent(out *bytes.Buffer, stream StreamID, event Event) error {
	r, known := byType[reflect.TypeOf(event)]
	switch {
	case !known:
		return fmt.Errorf("cannot encode event %T: it is not in the codec table", event)
	case r.kind != stream.Kind:
		return fmt.Errorf("cannot encode event %s in stream %s: it belongs in streams of kind %s", r.name, stream, r.kind)
	}
	out.WriteString(r.name)
	out.WriteByte(' ')
	out.WriteString(strconv.Itoa(int(r.version)))
	out.WriteByte(' ')
	if err := writeLine(out, event); err != nil {
		return fmt.Errorf("cannot encode event %s: %w", r.name, err)
	}
	return nil
}

func writeLine(out *bytes.Buffer, value any) error {
	line, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return err
	}
	out.Write(line)
	out.WriteByte('\n')
	return nil
}

// NewerError: the bytes are of a newer version of the platform, and this one
// cannot tell what they say.
type NewerError struct {
	Format int // of the commit; wireFormat is what this version reads
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("a newer version of pantheon wrote it: it has format %d, this version reads %d", e.Format, wireFormat)
}

// ErrWire is wrapped by every error of Decode: the bytes are no commit as
// Encode writes them.
var ErrWire = errors.New("not a commit")

// Decode reads one commit. Position is left 0: only the log knows it. Events
// this version does not know become Unknown; anything else out of order is an
// error that wraps ErrWire.
func Decode(wire []byte) (Envelope, error) {
	envelope, err := decode(wire)
	if err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrWire, err)
	}
	return envelope, nil
}

func decode(wire []byte) (Envelope, error) {
	if len(wire) > MaxCommitBytes {
		return Envelope{}, fmt.Errorf("%d bytes, %d are allowed", len(wire), MaxCommitBytes)
	}
	line, rest, found := bytes.Cut(wire, []byte{'\n'})
	if !found {
		return Envelope{}, errors.New("the header has no end")
	}
	envelope, err := decodeHeader(line)
	if err != nil {
		return Envelope{}, err
	}
	count := bytes.Count(rest, []byte{'\n'})
	if count == 0 || count > MaxCommitEvents {
		return Envelope{}, fmt.Errorf("%d events, 1 to %d are allowed", count, MaxCommitEvents)
	}
	envelope.Events = make([]Event, 0, count)
	for len(rest) > 0 {
		if line, rest, found = bytes.Cut(rest, []byte{'\n'}); !found {
			return Envelope{}, errors.New("the last event has no end")
		}
		event, err := decodeEvent(envelope.Stream, line)
		if err != nil {
			return Envelope{}, err
		}
		envelope.Events = append(envelope.Events, event)
	}
	envelope.Hash = sha256.Sum256(wire)
	return envelope, nil
}

func decodeHeader(line []byte) (Envelope, error) {
	head, fast := fastHeader(line)
	if !fast {
		head = header{}
		if err := json.Unmarshal(line, &head, json.RejectUnknownMembers(true)); err != nil {
			return Envelope{}, headerError(line, err)
		}
	}
	if head.Format != wireFormat {
		return Envelope{}, headerError(line, fmt.Errorf("format %d, this version reads %d", head.Format, wireFormat))
	}
	stream, err := ParseStreamID(head.Stream)
	if err != nil {
		return Envelope{}, err
	}
	envelope := Envelope{Commit: Commit{Stream: stream, Meta: head.Meta}, Revision: head.Revision}
	if head.Revision == 0 || (head.Revision == 1) != (head.Previous == "") {
		return Envelope{}, fmt.Errorf("revision %d with previous hash %q", head.Revision, head.Previous)
	}
	if head.Previous != "" {
		var ok bool
		if envelope.Previous, ok = previousHash(head.Previous); !ok {
			return Envelope{}, fmt.Errorf("previous hash %.80q is no SHA-256", head.Previous)
		}
	}
	return envelope, nil
}

// headerError tells a header of a newer format, whatever else is in it, from
// one that is wrong.
func headerError(line []byte, cause error) error {
	var newer struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(line, &newer); err == nil && newer.Format > wireFormat {
		return &NewerError{newer.Format}
	}
	return fmt.Errorf("header: %w", cause)
}

func decodeEvent(stream StreamID, line []byte) (Event, error) {
	name, rest, _ := bytes.Cut(line, []byte{' '})
	digits, payload, found := bytes.Cut(rest, []byte{' '})
	version, err := strconv.ParseUint(string(digits), 10, 16)
	if !found || err != nil || !utf8.Valid(name) {
		return nil, fmt.Errorf("event line %.60q is not <name> <version> <payload>", line)
	}
	r, known := byName[nameVersion{string(name), uint16(version)}]
	if !known {
		return Unknown{string(name), uint16(version), bytes.Clone(payload)}, nil
	}
	if r.kind != stream.Kind {
		return nil, fmt.Errorf("event %s stands in stream %s", name, stream)
	}
	event, err := r.decode(payload)
	if err != nil {
		return nil, fmt.Errorf("event %s version %d: %w", name, version, err)
	}
	return event, nil
}
