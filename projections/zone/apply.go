package zone

import (
	"cmp"
	"slices"
	"strings"

	"pantheon/events"
)

// Apply folds one commit.
func (s *State) Apply(envelope events.Envelope) *State {
	f := s.begin()
	if f.position == 0 {
		for z := range f.All() {
			f.touch(z).opaque = true // serial 0 ends
		}
	}
	f.position, f.byStart = envelope.Position, envelope.Meta.Gateway == StartGateway
	for _, event := range envelope.Events {
		switch envelope.Stream.Kind {
		case events.KindSite:
			f.applySite(event)
		case events.KindEnvironment:
			f.applyEnvironment(event)
		case events.KindDrop:
			f.applyDrop(event)
		case events.KindHost:
			f.applyHost(event)
		case events.KindName:
			f.applyName(event)
		case events.KindZone:
			f.applyZone(event)
		case events.KindBinding:
			f.applyBinding(event)
		case events.KindWorkflow, events.KindAccount:
			// What a host holds is said in the host's own stream.
		}
	}
	return f.end(envelope.Position, envelope.Meta.Time)
}

func (f *fold) applySite(event events.Event) {
	switch e := event.(type) {
	case events.SiteCreated:
		created := &site{ID: e.Site, Name: strings.ToLower(e.Name)}
		if old, known := f.sites.Get(e.Site); known {
			*created = *old
		}
		f.sites = f.sites.Set(f.edit, created.ID, created)
		f.siteNames = f.siteNames.Set(f.edit, created.Name, created.ID)
		for _, name := range firstEnvironments {
			f.addEnvironment(events.EnvironmentOf(e.Site, name))
		}
	case events.SiteDeleted:
		owner, known := f.sites.Get(e.Site)
		if !known {
			return
		}
		for _, id := range owner.Environments {
			f.forgetEnvironment(id)
		}
		f.sites = f.sites.Delete(f.edit, owner.ID)
		if f.siteNames.At(owner.Name) == owner.ID {
			f.siteNames = f.siteNames.Delete(f.edit, owner.Name)
		}
	default: // the rest changes no name
	}
}

// addEnvironment makes an environment known, which gives it its names.
func (f *fold) addEnvironment(id events.EnvironmentID) {
	owner, known := f.sites.Get(id.Site())
	if !known {
		return
	}
	if _, known := f.environments.Get(id); known {
		return
	}
	changed := *owner
	changed.Environments = append(slices.Clone(owner.Environments), id)
	f.sites = f.sites.Set(f.edit, owner.ID, &changed)
	e := &environment{ID: id}
	f.environments = f.environments.Set(f.edit, id, e)
	f.refreshText(f.webNames(owner, e)...)
	f.refreshServices(id, string(events.CodeServer))
}

func (f *fold) refreshServices(id events.EnvironmentID, servers ...string) {
	for _, server := range servers {
		f.refreshText(f.serviceNames(id, server)...)
	}
}

// forgetEnvironment ends the names of an environment.
func (f *fold) forgetEnvironment(id events.EnvironmentID) {
	e, known := f.environments.Get(id)
	if !known {
		return
	}
	owner := *f.sites.At(id.Site())
	owner.Environments = slices.DeleteFunc(slices.Clone(owner.Environments), func(other events.EnvironmentID) bool { return other == id })
	f.sites = f.sites.Set(f.edit, owner.ID, &owner)
	f.environments = f.environments.Delete(f.edit, id)
	for _, text := range e.Claims {
		f.setClaim(text, "")
	}
	f.refreshText(f.webNames(&owner, e)...)
	f.refreshServices(id, servers[:]...)
}

func (f *fold) applyEnvironment(event events.Event) {
	switch e := event.(type) {
	case events.EnvironmentCreated:
		f.addEnvironment(e.Environment)
	case events.EnvironmentDeleted:
		// dev, test and live stay as names: they can be initialised again.
		if !slices.Contains(firstEnvironments[:], e.Environment.Name()) {
			f.forgetEnvironment(e.Environment)
		}
	default: // the rest changes no name
	}
}

// change replaces an environment by a changed copy.
func (f *fold) change(id events.EnvironmentID, with func(*environment)) bool {
	old, known := f.environments.Get(id)
	if !known {
		return false
	}
	changed := *old
	with(&changed)
	f.environments = f.environments.Set(f.edit, id, &changed)
	return true
}

func (f *fold) applyDrop(event events.Event) {
	switch e := event.(type) {
	case events.DropPlaced:
		f.placeDrop(e.Environment, e.Drop, e.Host)
	case events.DropDisplaced:
		f.placeDrop(e.Environment, e.Drop, "")
	case events.DropRetired:
		f.placeDrop(e.Environment, e.Drop, "")
	default: // awake or asleep, it is where it is
	}
}

func (f *fold) placeDrop(id events.EnvironmentID, drop events.DropID, on events.HostID) {
	known := f.change(id, func(changed *environment) {
		order := func(p placed, drop events.DropID) int { return cmp.Compare(p.Drop, drop) }
		i, found := slices.BinarySearchFunc(changed.Drops, drop, order)
		changed.Drops = slices.Clone(changed.Drops)
		switch {
		case found && on == "":
			changed.Drops = slices.Delete(changed.Drops, i, i+1)
		case found:
			changed.Drops[i].Host = f.interned(on)
		case on != "":
			changed.Drops = slices.Insert(changed.Drops, i, placed{drop, f.interned(on)})
		}
	})
	if known {
		f.refreshServices(id, appServer)
	}
}

// interned gives an equal identifier that is in memory once.
func (f *fold) interned(id events.HostID) events.HostID {
	if h, known := f.hosts.Get(id); known {
		return h.ID
	}
	return id
}

func (f *fold) applyHost(event events.Event) {
	switch e := event.(type) {
	case events.HostRegistered:
		f.changeHost(e.Host, func(h *host) {
			h.Name = ""
			if _, ok := wireName(e.Name); ok {
				h.Name = strings.ToLower(strings.TrimSuffix(e.Name, "."))
			}
		})
	case events.HostAddressesChanged:
		f.changeHost(e.Host, func(h *host) { h.Addresses = e.Addresses })
	case events.HostRemoved:
		f.removeHost(e.Host)
	case events.HostWrittenOff:
		f.removeHost(e.Host)
	case events.BindingAdmitted:
		f.bind(bound{e.Spec.Kind, e.Binding, f.interned(e.Host)}, e.Spec, true)
	case events.BindingDismissed:
		f.bind(bound{e.Spec.Kind, e.Binding, e.Host}, e.Spec, false)
	default: // a lost host keeps its names: what it held moves with its own events
	}
}

func (f *fold) removeHost(id events.HostID) {
	f.changeHost(id, func(h *host) { *h = host{ID: h.ID} })
	f.hosts = f.hosts.Delete(f.edit, id)
}

// applyBinding takes the names from what is gone with its host, whose own stream
// does not name it.
func (f *fold) applyBinding(event events.Event) {
	if e, lost := event.(events.BindingLost); lost {
		f.bind(bound{e.Kind, e.Binding, e.Host}, events.BindingSpec{Kind: e.Kind, Site: e.Site, Environment: e.Environment}, false)
	}
}

func (f *fold) changeHost(id events.HostID, with func(*host)) {
	old, known := f.hosts.Get(id)
	if !known {
		old = &host{ID: id}
	}
	changed := *old
	with(&changed)
	f.weighHost(&changed)
	f.hosts = f.hosts.Set(f.edit, id, &changed)
	if old.Name != changed.Name {
		f.refreshText(old.Name + "." + f.options.Internal)
	}
	if changed.Name != "" {
		f.refreshText(changed.Name + "." + f.options.Internal)
	}
	if !slices.Equal(old.Addresses, changed.Addresses) {
		f.refreshAllServices()
	}
}

// weighHost makes a host's address sets anew.
func (f *fold) weighHost(h *host) {
	ttl := int64(defaultInternalTTL)
	if internal := f.Named(events.ZoneName(f.options.Internal)); internal != nil {
		ttl = internal.effective.TTLSeconds
	}
	h.sets = addressSets(h.Addresses, ttl)
}

// refreshAllServices is for the rare commit that moves a whole host to another
// address.
func (f *fold) refreshAllServices() {
	f.eachEnvironment(func(id events.EnvironmentID) { f.refreshServices(id, servers[:]...) })
}

// eachEnvironment calls back for each environment; the callback may change
// zones, but no environment.
func (f *fold) eachEnvironment(visit func(events.EnvironmentID)) {
	for id := range f.environments.All() {
		visit(id)
	}
}

// bind notes that a host holds a binding, or no longer does.
func (f *fold) bind(b bound, spec events.BindingSpec, held bool) {
	if spec.Kind == events.CodeServer {
		f.bindCode(b, spec.Site, held)
		return
	}
	known := f.change(spec.Environment, func(changed *environment) { changed.Bindings = rebound(changed.Bindings, b, held) })
	if known {
		f.refreshServices(spec.Environment, string(spec.Kind))
	}
}

// rebound gives a list with a binding at a host as the newest of its kind, or
// without it.
func rebound(list []bound, b bound, held bool) []bound {
	list = slices.DeleteFunc(slices.Clone(list), func(other bound) bool { return other == b })
	if !held {
		return list
	}
	i, _ := slices.BinarySearchFunc(list, b.Kind, func(other bound, kind events.BindingKind) int {
		if other.Kind <= kind {
			return -1
		}
		return 1
	})
	return slices.Insert(list, i, b)
}

func (f *fold) bindCode(b bound, id events.SiteID, held bool) {
	owner, known := f.sites.Get(id)
	if !known {
		return
	}
	changed := *owner
	changed.Codes = rebound(owner.Codes, b, held)
	f.sites = f.sites.Set(f.edit, id, &changed)
	for _, environment := range owner.Environments {
		f.refreshServices(environment, string(events.CodeServer))
	}
}

func (f *fold) applyName(event events.Event) {
	switch e := event.(type) {
	case events.NameClaimed:
		kind, id, _ := strings.Cut(e.By, "/")
		if e.Name.Space() != events.SpaceHost || kind != string(events.KindEnvironment) {
			return
		}
		text := e.Name.Name()
		known := f.change(events.EnvironmentID(id), func(changed *environment) {
			if i, found := slices.BinarySearch(changed.Claims, text); !found {
				changed.Claims = slices.Insert(slices.Clone(changed.Claims), i, text)
			}
		})
		if known {
			if old, held := f.claimOf(text); held && old.env != events.EnvironmentID(id) {
				f.unclaim(old)
			}
			f.setClaim(text, events.EnvironmentID(id))
			f.refreshText(text)
		}
	case events.NameReleased:
		text := e.Name.Name()
		if e.Name.Space() != events.SpaceHost {
			return
		}
		if old, known := f.claimOf(text); known {
			f.unclaim(old)
			f.setClaim(text, "")
			f.refreshText(text)
		}
	default: // names know no other events
	}
}

func (f *fold) claimOf(text string) (claim, bool) {
	name, ok := wireName(text)
	if !ok {
		return claim{}, false
	}
	return f.claims.Get(fullKey(name))
}

// unclaim takes a claim from the environment that made it.
func (f *fold) unclaim(old claim) {
	f.change(old.env, func(changed *environment) {
		changed.Claims = slices.DeleteFunc(slices.Clone(changed.Claims), func(c string) bool { return c == old.text })
	})
}

// setClaim notes who claims a host name, nobody where env is empty.
func (f *fold) setClaim(text string, env events.EnvironmentID) {
	name, ok := wireName(text)
	switch {
	case !ok:
	case env == "":
		f.claims = f.claims.Delete(f.edit, fullKey(name))
	default:
		f.claims = f.claims.Set(f.edit, fullKey(name), claim{text, env})
	}
}
