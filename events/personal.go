package events

import "reflect"

// personalRow is one line of the table of personal and secret texts.
type personalRow struct {
	event  string
	fields []string // by their names on the wire
	visit  func(event Event, stream Owner, visit func(Owner, string) string) Event
}

// personal makes a line. The texts belong to what own names; where the event
// itself does not tell, to the stream's owner.
func personal[T Event](own func(T) Owner, texts func(*T, func(*string)), fields ...string) personalRow {
	name := reflect.TypeFor[T]().Name()
	return personalRow{name, fields, func(event Event, stream Owner, visit func(Owner, string) string) Event {
		e := event.(T)
		owner := stream
		if own != nil {
			owner = own(e)
		}
		changed := false
		texts(&e, func(text *string) {
			if *text == "" {
				return
			}
			if now := visit(owner, *text); now != *text {
				*text, changed = now, true
			}
		})
		if !changed {
			return event
		}
		return e
	}}
}

// personalTable is THE list of what is sealed: texts that say something about
// a person, that people typed, or that may hold a credential or a piece of a
// site's own output. clearTexts in the tests is the list of all other texts,
// each with the reason why it is not here; a new field has to be in one of
// them. Beside these, the address in a commit's Meta is sealed, see
// events/eventlog/sealed.
var personalTable = []personalRow{
	personal(func(e SiteCreated) Owner { return Owner{Site: e.Site} },
		func(e *SiteCreated, text func(*string)) { text(&e.Label); eachOfSource(&e.Source, text) },
		"label", "source.location", "source.branch"),
	personal(func(e SiteDeletionRequested) Owner { return Owner{Site: e.Site} },
		func(e *SiteDeletionRequested, text func(*string)) { text(&e.Reason) }, "reason"),

	personal(func(e CodeDeployed) Owner { return Owner{Site: e.Environment.Site()} },
		func(e *CodeDeployed, text func(*string)) { text(&e.Message) }, "message"),

	personal(nil, func(e *DropPrepareFailed, text func(*string)) { text(&e.Reason) }, "reason"),
	personal(nil, func(e *DropCrashed, text func(*string)) { text(&e.Reason) }, "reason"),
	personal(nil, func(e *DropStartFailed, text func(*string)) { text(&e.Reason) }, "reason"),

	personal(func(e BindingAdmitted) Owner { return Owner{Site: e.Spec.Site} },
		func(e *BindingAdmitted, text func(*string)) { eachOfSource(&e.Spec.Source, text) },
		"spec.source.location", "spec.source.branch"),
	personal(func(e BindingDismissed) Owner { return Owner{Site: e.Spec.Site} },
		func(e *BindingDismissed, text func(*string)) { eachOfSource(&e.Spec.Source, text) },
		"spec.source.location", "spec.source.branch"),
	personal(func(e BindingRequested) Owner { return Owner{Site: e.Spec.Site} },
		func(e *BindingRequested, text func(*string)) { eachOfSource(&e.Spec.Source, text) },
		"spec.source.location", "spec.source.branch"),
	personal(nil, func(e *BindingFailed, text func(*string)) { text(&e.Reason) }, "reason"),

	personal(func(e WorkflowStarted) Owner { return Owner{Site: e.Site} }, eachOfWorkflow,
		"create.label", "create.source.location", "create.source.branch"),
	personal(nil, func(e *WorkflowStepFailed, text func(*string)) { text(&e.Reason) }, "reason"),
	personal(nil, func(e *WorkflowFailed, text func(*string)) { text(&e.Reason) }, "reason"),

	personal(func(e AccountRegistered) Owner { return Owner{Account: e.Account} },
		func(e *AccountRegistered, text func(*string)) { text(&e.Name); text(&e.Email) }, "name", "email"),
	personal(func(e TokenIssued) Owner { return Owner{Account: e.Account} },
		func(e *TokenIssued, text func(*string)) { text(&e.Device) }, "device"),
	personal(func(e UpstreamAdded) Owner { return Owner{Account: e.Account} },
		func(e *UpstreamAdded, text func(*string)) { text(&e.Label); eachOfSource(&e.Source, text) },
		"label", "source.location", "source.branch"),
}

func eachOfSource(source *CodeSource, text func(*string)) {
	text(&source.Location)
	text(&source.Branch)
}

// eachOfWorkflow works on a copy of what the event refers to: others have it
// too.
func eachOfWorkflow(e *WorkflowStarted, text func(*string)) {
	if e.Create == nil {
		return
	}
	create := *e.Create
	text(&create.Label)
	eachOfSource(&create.Source, text)
	e.Create = &create
}

var personalByName = indexPersonal()

func indexPersonal() map[string]*personalRow {
	rows := make(map[string]*personalRow, len(personalTable))
	for i := range personalTable {
		rows[personalTable[i].event] = &personalTable[i]
	}
	return rows
}

// HasPersonal says whether the event has texts that MapPersonal visits.
func HasPersonal(event Event) bool { return personalByName[NameOf(event)] != nil }

// MapPersonal gives the event with each of its personal and secret texts that
// is not empty replaced by what visit gives for it and its owner. The owner is
// stream, the one of the stream it stands in, where the event does not tell.
// The event itself is left as it is.
func MapPersonal(event Event, stream Owner, visit func(Owner, string) string) Event {
	if _, unknown := event.(Unknown); unknown {
		return event
	}
	if row := personalByName[NameOf(event)]; row != nil {
		return row.visit(event, stream, visit)
	}
	return event
}

// OwnerOf gives the owner of a stream, as far as its id and first event tell;
// first may be nil where there is none yet.
func OwnerOf(stream StreamID, first Event) Owner {
	switch stream.Kind {
	case KindSite:
		return Owner{Site: SiteID(stream.ID)}
	case KindEnvironment:
		return Owner{Site: EnvironmentID(stream.ID).Site()}
	case KindAccount:
		return Owner{Account: AccountID(stream.ID)}
	default: // its id does not tell
	}
	switch e := first.(type) {
	case DropRequested:
		return Owner{Site: e.Environment.Site()}
	case BindingRequested:
		return Owner{Site: e.Spec.Site}
	case WorkflowStarted:
		return Owner{Site: e.Site}
	default: // of the cell: a host, a name
		return Owner{}
	}
}
