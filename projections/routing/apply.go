package routing

import (
	"slices"
	"strings"

	"pantheon/events"
)

// firstEnvironments exist as names from the site's creation on.
var firstEnvironments = [...]events.EnvironmentName{"dev", "test", "live"}

// Apply folds one commit.
func (s State) Apply(envelope events.Envelope) State {
	for _, event := range envelope.Events {
		switch envelope.Stream.Kind {
		case events.KindSite:
			s = s.applySite(event)
		case events.KindEnvironment:
			s = s.applyEnvironment(event)
		case events.KindDrop:
			s = s.applyDrop(event)
		case events.KindHost:
			s = s.applyHost(event)
		case events.KindName:
			s = s.applyName(event)
		case events.KindBinding, events.KindWorkflow, events.KindAccount, events.KindZone:
			// Nobody routes by these.
		}
	}
	return s
}

func (s State) applySite(event events.Event) State {
	switch e := event.(type) {
	case events.SiteCreated:
		s.sites = s.sites.Set(s.edit, e.Site, &site{ID: e.Site, Name: strings.ToLower(e.Name), Framework: e.Framework})
		for _, env := range firstEnvironments {
			s = s.addEnvironment(&environment{ID: events.EnvironmentOf(e.Site, env)})
		}
	case events.SiteDeletionRequested:
		return s.changeSite(e.Site, func(changed *site) { changed.Deleting = true })
	case events.SiteDeleted:
		return s.forgetSite(e.Site)
	default: // the rest changes no route
	}
	return s
}

func (s State) changeSite(id events.SiteID, change func(*site)) State {
	old, known := s.sites.Get(id)
	if !known {
		return s
	}
	changed := *old
	change(&changed)
	s.sites = s.sites.Set(s.edit, id, &changed)
	for _, env := range changed.environments(s) {
		s = s.refresh(env)
	}
	return s
}

func (o *site) environments(s State) []*environment {
	var list []*environment
	for _, id := range o.Environments {
		if e, known := s.environments.Get(id); known {
			list = append(list, e)
		}
	}
	return list
}

func (s State) forgetSite(id events.SiteID) State {
	owner, known := s.sites.Get(id)
	if !known {
		return s
	}
	for _, e := range owner.environments(s) {
		for _, text := range e.Claims {
			s = s.own(text, s.names.At(text).owner(), "")
		}
		text := s.PlatformHost(e.ID.Name(), owner.Name)
		s = s.own(text, "", s.names.At(text).claimant())
		s.environments = s.environments.Delete(s.edit, e.ID)
	}
	s.sites = s.sites.Delete(s.edit, id)
	return s
}

func (n *name) owner() events.EnvironmentID {
	if n == nil {
		return ""
	}
	return n.platform
}

func (n *name) claimant() events.EnvironmentID {
	if n == nil {
		return ""
	}
	return n.claim
}

// addEnvironment makes an environment known to its site and gives it its
// platform name.
func (s State) addEnvironment(e *environment) State {
	owner, known := s.sites.Get(e.ID.Site())
	if !known {
		return s
	}
	if !slices.Contains(owner.Environments, e.ID) {
		changed := *owner
		changed.Environments = append(slices.Clone(owner.Environments), e.ID)
		owner = &changed
		s.sites = s.sites.Set(s.edit, owner.ID, owner)
	}
	s.environments = s.environments.Set(s.edit, e.ID, e)
	text := s.PlatformHost(e.ID.Name(), owner.Name)
	s = s.own(text, e.ID, s.names.At(text).claimant())
	if len(e.Claims) == 0 {
		return s
	}
	return s.refresh(e)
}

func (s State) applyEnvironment(event events.Event) State {
	switch e := event.(type) {
	case events.EnvironmentCreated:
		created := environment{ID: e.Environment}
		if old, known := s.environments.Get(e.Environment); known {
			created = *old
		}
		created.Framework, created.Settings = e.Framework, &e.Settings
		created.Initialized, created.Deleting = false, false
		return s.addEnvironment(&created)
	case events.EnvironmentSettingsChanged:
		return s.changeEnvironment(e.Environment, func(changed *environment) { changed.Settings = &e.Settings })
	case events.CodeDeployed:
		return s.changeEnvironment(e.Environment, func(changed *environment) { changed.Initialized = true })
	case events.EnvironmentDeletionRequested:
		return s.changeEnvironment(e.Environment, func(changed *environment) { changed.Deleting = true })
	case events.EnvironmentDeleted:
		return s.forgetEnvironment(e.Environment)
	default: // the rest changes no route
	}
	return s
}

func (s State) changeEnvironment(id events.EnvironmentID, change func(*environment)) State {
	old, known := s.environments.Get(id)
	if !known {
		return s
	}
	changed := *old
	change(&changed)
	return s.refresh(&changed)
}

// forgetEnvironment ends an environment: dev, test and live go back to being
// names that are not initialised, others vanish.
func (s State) forgetEnvironment(id events.EnvironmentID) State {
	old, known := s.environments.Get(id)
	if !known {
		return s
	}
	if slices.Contains(firstEnvironments[:], id.Name()) {
		return s.refresh(&environment{ID: id, Claims: old.Claims, drops: old.drops, doubtful: old.doubtful})
	}
	owner := s.sites.At(id.Site())
	for _, text := range old.Claims {
		s = s.own(text, s.names.At(text).owner(), "")
	}
	text := s.PlatformHost(id.Name(), owner.Name)
	s = s.own(text, "", s.names.At(text).claimant())
	changed := *owner
	changed.Environments = slices.DeleteFunc(slices.Clone(owner.Environments), func(e events.EnvironmentID) bool { return e == id })
	s.sites = s.sites.Set(s.edit, owner.ID, &changed)
	s.environments = s.environments.Delete(s.edit, id)
	return s
}

func (s State) applyDrop(event events.Event) State {
	switch e := event.(type) {
	case events.DropRequested:
		return s.moveDrop(drop{ID: e.Drop, Environment: e.Environment})
	case events.DropPlaced:
		return s.moveDrop(drop{ID: e.Drop, Environment: e.Environment, Host: e.Host})
	case events.DropDisplaced:
		return s.moveDrop(drop{ID: e.Drop, Environment: e.Environment})
	case events.DropReady:
		// A late fact of a host that has lost the DROP says nothing.
		if old, known := s.drops.Get(e.Drop); known && old.Host == e.Host && !old.Ready {
			ready := *old
			ready.Ready = true
			return s.moveDrop(ready)
		}
	case events.DropRetirementRequested, events.DropRetired:
		return s.retireDrop(e)
	default: // sleeping, waking and failing change no route: the host's agent answers
	}
	return s
}

func (s State) retireDrop(event events.Event) State {
	var id events.DropID
	ended := false
	switch e := event.(type) {
	case events.DropRetirementRequested:
		id = e.Drop
	case events.DropRetired:
		id, ended = e.Drop, true
	}
	old, known := s.drops.Get(id)
	if !known {
		return s
	}
	s = s.moveDrop(drop{ID: id, Environment: old.Environment})
	if ended {
		s.drops = s.drops.Delete(s.edit, id)
	}
	return s
}

// moveDrop replaces what is known of a DROP and keeps its hosts' lists.
func (s State) moveDrop(d drop) State {
	if old, known := s.drops.Get(d.ID); known && old.Host != "" && old.Host != d.Host {
		if h, known := s.hosts.Get(old.Host); known {
			s.hosts = s.hosts.Set(s.edit, h.id, &host{h.id, h.lost, h.drops.Delete(s.edit, d.ID)})
		}
	}
	if d.Host != "" {
		h, known := s.hosts.Get(d.Host)
		if !known {
			h = &host{id: d.Host}
		}
		if _, listed := h.drops.Get(d.ID); !listed {
			s.hosts = s.hosts.Set(s.edit, h.id, &host{h.id, h.lost, h.drops.Set(s.edit, d.ID, struct{}{})})
		}
	}
	s.drops = s.drops.Set(s.edit, d.ID, &d)
	return s.serve(&d)
}

func (s State) applyHost(event events.Event) State {
	switch e := event.(type) {
	case events.HostRegistered:
		return s.setLost(e.Host, false)
	case events.HostLost:
		return s.setLost(e.Host, true)
	case events.HostWrittenOff:
		return s.setLost(e.Host, true)
	case events.HostReturned:
		return s.setLost(e.Host, false)
	default: // what a host admits is not yet ready
	}
	return s
}

func (s State) setLost(id events.HostID, lost bool) State {
	h, known := s.hosts.Get(id)
	if !known {
		h = &host{id: id}
	}
	s.hosts = s.hosts.Set(s.edit, id, &host{id, lost, h.drops})
	if h.lost == lost {
		return s
	}
	for dropID := range h.drops.All() {
		s = s.serve(s.drops.At(dropID))
	}
	return s
}

func (s State) applyName(event events.Event) State {
	switch e := event.(type) {
	case events.NameClaimed:
		kind, id, _ := strings.Cut(e.By, "/")
		if e.Name.Space() == events.SpaceHost && kind == string(events.KindEnvironment) {
			return s.claim(e.Name.Name(), events.EnvironmentID(id))
		}
	case events.NameReleased:
		if e.Name.Space() == events.SpaceHost {
			return s.release(e.Name.Name())
		}
	default: // names know no other events
	}
	return s
}

func (s State) claim(text string, id events.EnvironmentID) State {
	e, known := s.environments.Get(id)
	if !known {
		return s
	}
	changed := *e
	if i, found := slices.BinarySearch(e.Claims, text); !found {
		changed.Claims = slices.Insert(slices.Clone(e.Claims), i, text)
	}
	s.environments = s.environments.Set(s.edit, id, &changed)
	return s.own(text, s.names.At(text).owner(), id)
}

func (s State) release(text string) State {
	n, known := s.names.Get(text)
	if !known || n.claim == "" {
		return s
	}
	if e, known := s.environments.Get(n.claim); known {
		changed := *e
		changed.Claims = slices.DeleteFunc(slices.Clone(e.Claims), func(c string) bool { return c == text })
		s.environments = s.environments.Set(s.edit, changed.ID, &changed)
	}
	return s.own(text, n.platform, "")
}
