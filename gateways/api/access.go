package api

import (
	"pantheon/events"
	"pantheon/events/problem"
)

// access is who may use a route.
type access uint8

const (
	// open: anybody, without a login.
	open access = iota
	// signedIn: any account.
	signedIn
	// self: the account that {user} names ("me" is the caller), and the operator.
	self
	// team: those who work on the site that {site} names, and the operator. To
	// everybody else the site does not exist.
	team
	// operator: the cell's own account.
	operator
)

// check applies the rule, and looks up what the path names.
func (a access) check(c *call) error {
	if a == open {
		return nil
	}
	if c.who.account == "" {
		return problem.New(problem.Unauthenticated, "cannot tell who you are").
			WithHint("log in with a machine token: pantheon token create makes one on the platform's machine")
	}
	switch a {
	case operator:
		if !c.who.operator {
			return problem.New(problem.Denied, "cannot do this: only the platform's operator may")
		}
	case self:
		return c.resolveAccount()
	case team:
		return c.resolveSite()
	case open, signedIn:
	}
	return nil
}

func (c *call) resolveAccount() error {
	name := c.request.PathValue("user")
	if name == "me" {
		name = string(c.who.account)
	}
	c.account = events.AccountID(name)
	if c.account == c.who.account {
		return nil
	}
	if !c.who.operator {
		return problem.New(problem.Denied, "cannot do this: it is another account's")
	}
	if _, known := c.view.account(c.account); !known {
		return problem.New(problem.NotFound, "cannot find account %.40q", name)
	}
	return nil
}

// resolveSite takes a UUID or a machine name, and an environment's name where
// the path has one.
func (c *call) resolveSite() error {
	name := c.request.PathValue("site")
	facts, known := c.view.site(name)
	if known && !c.who.operator && facts.owner != c.who.account {
		known = false
	}
	if !known && !c.moment.past {
		facts, known = c.server.pending.site(events.SiteID(name), c.who, c.server.options.Now())
	}
	if !known {
		return problem.New(problem.NotFound, "cannot find site %.60q", name).WithHint("pantheon site list")
	}
	c.site = facts
	environment := c.request.PathValue("env")
	if environment == "" {
		return nil
	}
	id := events.EnvironmentOf(facts.id, events.EnvironmentName(environment))
	if !c.view.hasEnvironment(id) {
		return problem.New(problem.NotFound, "cannot find environment %.20q of site %s", environment, facts.name).
			WithHint("pantheon env list %s", facts.name)
	}
	c.environment = id
	return nil
}
