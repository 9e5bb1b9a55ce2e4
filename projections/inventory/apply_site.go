package inventory

import (
	"fmt"

	"pantheon/events"
)

func (s State) applySite(at when, event events.Event) State {
	switch e := event.(type) {
	case events.SiteCreated:
		created := &Site{
			ID: e.Site, Name: e.Name, Label: e.Label, Owner: e.Owner, Upstream: e.Upstream,
			Framework: e.Framework, Source: e.Source, Status: Creating, Created: at.meta.Time,
		}
		return s.putSite(created)
	case events.SiteActivated:
		s.sites = change(s.sites, s.edit, e.Site, func(changed *Site) {
			if changed.Status == Creating {
				changed.Status = Active
			}
		})
	case events.SiteDeletionRequested:
		s.sites = change(s.sites, s.edit, e.Site, func(changed *Site) {
			changed.Status, changed.Reason = Deleting, e.Reason
		})
	case events.SiteDeleted:
		return s.deleteSite(at, e.Site)
	case events.SiteForgettingRequested:
		return s.putForgetting(&events.Owner{Site: e.Site})
	case events.SiteForgotten:
		s.forgetting = s.forgetting.Delete(s.edit, e.Site.Stream().String())
	default: // unknown events are skipped
	}
	return s
}

func (s State) putSite(site *Site) State {
	s.sites = s.sites.Set(s.edit, site.ID, site)
	s.siteNames = s.siteNames.Set(s.edit, site.Name, site.ID)
	s.owned = s.owned.Set(s.edit, string(site.Owner)+" "+site.Name, site.ID)
	return s
}

// deleteSite takes a site and all that is left of it from the lists; its
// workflows stay until KeptGraves younger sites have gone too.
func (s State) deleteSite(at when, id events.SiteID) State {
	site, known := s.sites.Get(id)
	if !known {
		return s
	}
	for _, name := range site.Environments {
		s = s.deleteEnvironment(events.EnvironmentOf(id, name))
	}
	for _, binding := range site.Bindings {
		s.bindings = s.bindings.Delete(s.edit, binding)
	}
	s.sites = s.sites.Delete(s.edit, id)
	if holder, _ := s.siteNames.Get(site.Name); holder == id {
		s.siteNames = s.siteNames.Delete(s.edit, site.Name)
	}
	s.owned = s.owned.Delete(s.edit, string(site.Owner)+" "+site.Name)
	s.graves = s.graves.Set(s.edit, positionKey(at.position), id)
	if s.graves.Len() > KeptGraves {
		for key, oldest := range s.graves.From("") {
			s.graves = s.graves.Delete(s.edit, key)
			return s.forgetWorkflows(oldest)
		}
	}
	return s
}

// positionKey sorts as positions do.
func positionKey(position events.Position) string { return fmt.Sprintf("%016x", uint64(position)) }

func (s State) applyEnvironment(at when, event events.Event) State {
	switch e := event.(type) {
	case events.EnvironmentCreated:
		s.environments = s.environments.Set(s.edit, e.Environment, &Environment{
			ID: e.Environment, Site: e.Environment.Site(), Name: e.Environment.Name(), SiteName: e.SiteName,
			Framework: e.Framework, Status: Preparing, Created: at.meta.Time, UID: e.UID, Settings: e.Settings,
		})
		s.sites = change(s.sites, s.edit, e.Environment.Site(), func(changed *Site) {
			changed.Environments = added(changed.Environments, e.Environment.Name())
		})
	case events.EnvironmentSettingsChanged:
		s = s.changeEnvironment(e.Environment, func(changed *Environment) { changed.Settings = e.Settings })
	case events.CodeDeployed:
		s = s.changeEnvironment(e.Environment, func(changed *Environment) {
			changed.Commit, changed.Message, changed.Deployment = e.Commit, e.Message, e.Deployment
			changed.Deployed = at.meta.Time
			if changed.Status == Preparing {
				changed.Status = Serving
			}
		})
	case events.SeedRotated:
		s = s.changeEnvironment(e.Environment, func(changed *Environment) { changed.Seed = e.Generation })
	case events.EnvironmentDeletionRequested:
		s = s.changeEnvironment(e.Environment, func(changed *Environment) { changed.Status = Deleting })
	case events.EnvironmentDeleted:
		s = s.deleteEnvironment(e.Environment)
		s.sites = change(s.sites, s.edit, e.Environment.Site(), func(changed *Site) {
			changed.Environments = without(changed.Environments, e.Environment.Name())
		})
	default: // unknown events are skipped
	}
	return s
}

func (s State) changeEnvironment(id events.EnvironmentID, with func(*Environment)) State {
	s.environments = change(s.environments, s.edit, id, with)
	return s
}

func (s State) deleteEnvironment(id events.EnvironmentID) State {
	environment, known := s.environments.Get(id)
	if !known {
		return s
	}
	for _, drop := range environment.Drops {
		s = s.deleteDrop(drop)
	}
	for _, binding := range environment.Bindings {
		s.bindings = s.bindings.Delete(s.edit, binding)
	}
	s.environments = s.environments.Delete(s.edit, id)
	return s
}
