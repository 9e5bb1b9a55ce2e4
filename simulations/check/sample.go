package check

import (
	"strings"

	"pantheon/events"
)

// sample is one site in so many, with all that is the site's, and every host.
type sample struct {
	oneIn int
	drops map[events.DropID]bool // of the sites
}

func (s sample) site(id events.SiteID) bool { return hash(string(id), "names")%uint64(s.oneIn) == 0 }

// part gives what of a commit is the sample's; false for nothing.
func (s sample) part(envelope events.Envelope) (events.Envelope, bool) {
	if s.oneIn <= 1 {
		return envelope, true
	}
	var kept []events.Event
	for _, event := range envelope.Events {
		if s.has(envelope.Stream, event) {
			kept = append(kept, event)
		}
	}
	envelope.Events = kept
	return envelope, len(kept) > 0
}

func (s sample) has(stream events.StreamID, event events.Event) bool {
	switch stream.Kind {
	case events.KindSite:
		return s.site(events.SiteID(stream.ID))
	case events.KindEnvironment:
		return s.site(events.EnvironmentID(stream.ID).Site())
	case events.KindDrop:
		if e, requested := event.(events.DropRequested); requested && s.site(e.Environment.Site()) {
			s.drops[e.Drop] = true
		}
		return s.drops[events.DropID(stream.ID)]
	case events.KindName:
		switch e := event.(type) {
		case events.NameClaimed:
			return s.holder(e.By)
		case events.NameReleased:
			return s.holder(e.By)
		}
	case events.KindHost:
		return s.onHost(event)
	case events.KindBinding, events.KindWorkflow, events.KindAccount, events.KindZone:
	}
	return true
}

func (s sample) holder(by string) bool {
	kind, id, _ := strings.Cut(by, "/")
	switch events.Kind(kind) {
	case events.KindSite:
		return s.site(events.SiteID(id))
	case events.KindEnvironment:
		return s.site(events.EnvironmentID(id).Site())
	case events.KindDrop, events.KindHost, events.KindBinding, events.KindWorkflow, events.KindAccount, events.KindName, events.KindZone:
	}
	return true
}

func (s sample) onHost(event events.Event) bool {
	switch e := event.(type) {
	case events.BindingAdmitted:
		return s.site(e.Spec.Site)
	case events.BindingDismissed:
		return s.site(e.Spec.Site)
	case events.DropAdmitted:
		return s.drops[e.Drop]
	case events.DropSpecChanged:
		return s.drops[e.Drop]
	case events.DropDismissed:
		return s.drops[e.Drop]
	}
	return true
}
