package api

import (
	"strings"

	"pantheon/actors/account"
	"pantheon/actors/site"
	"pantheon/events"
	"pantheon/events/problem"
)

// Forgetting is what was forgotten, and for good.
type Forgetting struct {
	ID   string `json:"id"`
	Name string `json:"name"` // a site's; it is public and stays
	// Position of the log up to which everything was written before.
	Position events.Position `json:"position"`
}

// forgetSite destroys the key of a deleted site. The site is in no view any
// more: the log tells what it was, and whose.
func forgetSite(c *call) (reply, error) {
	id, err := c.deletedSite(c.request.PathValue("site"))
	if err != nil {
		return reply{}, err
	}
	created, err := c.siteCreated(id)
	if err != nil {
		return reply{}, err
	}
	if !c.who.operator && created.Owner != c.who.account {
		return reply{}, noSuchSite(string(id))
	}
	if inClear(created.Label, created.Source.Location, created.Source.Branch) {
		return reply{}, inClearProblem("site " + created.Name)
	}
	return c.forget(id.Stream(), site.Forget{}, events.Owner{Site: id}, created.Name)
}

// forgetAccount ends an account and destroys its key.
func forgetAccount(c *call) (reply, error) {
	user, known := c.view.state.Account(c.account)
	if !known {
		return reply{}, problem.New(problem.NotFound, "cannot find account %.40q", c.account)
	}
	for owned := range c.view.state.SitesOf(c.account, "") {
		return reply{}, problem.New(problem.Conflict, "cannot forget account %s: it owns site %s", c.account, owned.Name).
			WithHint("pantheon site delete %s", owned.Name)
	}
	if inClear(user.Name, user.Email) {
		return reply{}, inClearProblem("account " + string(c.account))
	}
	return c.forget(c.account.Stream(), account.Forget{}, events.Owner{Account: c.account}, "")
}

// forget has it written who wants it, and then done. Both may be repeated.
func (c *call) forget(stream events.StreamID, command any, owner events.Owner, name string) (reply, error) {
	if c.server.options.Forget == nil {
		return reply{}, problem.New(problem.Unsupported, "cannot forget anything: this cell keeps no keys")
	}
	if err := c.do(stream, command); err != nil {
		return reply{}, err
	}
	position, err := c.server.options.Forget(c.request.Context(), owner)
	if err != nil {
		return reply{}, err
	}
	return reply{body: Forgetting{ID: stream.ID, Name: name, Position: position}}, nil
}

// deletedSite finds a site that may be gone by its id or by the name it had;
// the name of a living one is that one's.
func (c *call) deletedSite(idOrName string) (events.SiteID, error) {
	if id, err := events.ParseSiteID(idOrName); err == nil {
		return id, nil
	}
	if living, known := c.view.site(idOrName); known {
		return living.id, nil
	}
	name := events.UniqueName(events.SpaceSite, idOrName).Stream()
	if _, err := events.ParseStreamID(name.String()); err != nil {
		return "", noSuchSite(idOrName)
	}
	var holders []string
	for envelope, err := range c.server.options.Log.Stream(c.request.Context(), name, 0) {
		if err != nil {
			return "", problem.Wrap(problem.Unavailable, err, "cannot read the log")
		}
		for _, event := range envelope.Events {
			claimed, is := event.(events.NameClaimed)
			if id, isSite := strings.CutPrefix(claimed.By, string(events.KindSite)+"/"); is && isSite {
				holders = append(holders, id)
			}
		}
	}
	switch len(holders) {
	case 0:
		return "", noSuchSite(idOrName)
	case 1:
		return events.SiteID(holders[0]), nil
	}
	return "", problem.New(problem.Conflict, "cannot tell which site %s is meant: %d sites had this name", idOrName, len(holders)).
		WithHint("give the id: %s", strings.Join(holders[max(0, len(holders)-maxNamedHolders):], ", "))
}

// siteCreated gives the beginning of a site.
func (c *call) siteCreated(id events.SiteID) (events.SiteCreated, error) {
	for envelope, err := range c.server.options.Log.Stream(c.request.Context(), id.Stream(), 0) {
		if err != nil {
			return events.SiteCreated{}, problem.Wrap(problem.Unavailable, err, "cannot read the log")
		}
		for _, event := range envelope.Events {
			if created, is := event.(events.SiteCreated); is {
				return created, nil
			}
		}
	}
	return events.SiteCreated{}, noSuchSite(string(id))
}

func noSuchSite(name string) error {
	return problem.New(problem.NotFound, "cannot find a site %.60q in the log", name).
		WithHint("pantheon events tail --type SiteDeleted shows the ids of deleted sites")
}

// inClear: a text was written before texts were sealed.
func inClear(texts ...string) bool {
	for _, text := range texts {
		if text != "" && text != events.Forgotten && !events.IsSealed(text) {
			return true
		}
	}
	return false
}

func inClearProblem(what string) error {
	return problem.New(problem.Conflict, "cannot forget %s: its events were written by a version that did not seal them", what).
		WithHint("only the removal of the whole log takes them away")
}
